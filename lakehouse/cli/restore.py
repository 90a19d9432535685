"""``lakehouse restore``: a backup back into its place."""

from __future__ import annotations

import json
from pathlib import Path

import click

SHOWN = 10


@click.command(
    epilog="""\b
Examples:
  lakehouse restore /mnt/backups/2026-01-31T02-30-00Z
  lakehouse restore --force /mnt/backups/2026-01-31T02-30-00Z      over what is there
The lake (raw zone) is not in a backup; files that have gone from it since are listed.
"""
)
@click.argument("backup", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Replace what is there; it is backed up first.")
@click.option("--no-safety-copy", is_flag=True, help="With --force: do not back up what is there.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
def command(backup: Path, force: bool, no_safety_copy: bool, as_json: bool) -> int:
    """Replace state, marts and warehouse by those of BACKUP, a folder that `lakehouse backup` wrote.

    Refuses while `lakehouse up` or a run works on the platform, a damaged backup, and one of a newer version. A restore
    that was cut off is finished by running it again; nothing else works until then.
    """
    from ingestion.journal import forget
    from lakehouse.backup.restore import restore
    from lakehouse.settings import load_settings

    settings = load_settings()
    done = restore(
        settings,
        backup.resolve(),
        force=force,
        safety_copy=not no_safety_copy,
        progress=lambda text: click.echo(f"  {text}", err=True),
        finish=lambda: forget(settings),
    )
    if as_json:
        shown = {
            "backup": str(done.backup),
            "shows": done.held.created_at,
            "safety_copy": str(done.safety_copy) if done.safety_copy else None,
            "roles_created": done.roles_created,
            "migrated": done.migrated,
            "raw_files_missing": done.raw_files_missing,
        }
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return 0
    click.echo(f"Restored {done.backup}: the platform is as it was at {done.held.created_at}.")
    if done.safety_copy:
        click.echo(f"What was there before: {done.safety_copy}")
    if done.migrated:
        click.echo("The databases were of an older version and have been migrated.")
    if done.roles_created:
        click.echo(f"Roles created without login and password: {', '.join(done.roles_created)}")
    if missing := done.raw_files_missing:
        click.echo(f"{len(missing):,} raw files of then are not in the lake now; what they gave stays served:")
        for key in missing[:SHOWN]:
            click.echo(f"  {key}")
        if len(missing) > SHOWN:
            click.echo(f"  … (--json lists all {len(missing):,})")
    click.echo("Next: lakehouse run")
    return 0
