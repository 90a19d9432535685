"""``lakehouse backup``: state, marts and warehouse into a folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lakehouse.backup.manifest import Manifest


@click.command(
    epilog="""\b
Examples:
  lakehouse backup                              into <data_dir>/backups/<time>
  lakehouse backup /mnt/backups --keep 14       the same place every night, two weeks of them
  lakehouse backup --verify /mnt/backups/2026-01-31T02-30-00Z
The lake (raw zone) is not in it: replicate or version the object store.
"""
)
@click.argument("target", required=False, type=click.Path(file_okay=False, path_type=Path))
@click.option("--keep", type=click.IntRange(min=1), help="Afterwards delete all but the newest N backups in TARGET.")
@click.option(
    "--verify",
    type=click.Path(path_type=Path),
    help="Make none; prove that this one is whole: checksums, readable dumps, rows of the warehouse.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
def command(target: Path | None, keep: int | None, verify: Path | None, as_json: bool) -> int:
    """Back up what is not in the lake: state database, marts database, warehouse.

    TARGET is a folder that holds backups; each is a folder in it, named by its time. All parts show one moment. It
    works while `lakehouse up` runs: it waits for the step that writes the warehouse, and the next step waits for it.
    """
    from lakehouse.settings import load_settings

    if verify is not None:
        if target is not None or keep is not None:
            raise click.UsageError("--verify makes no backup: it goes with neither TARGET nor --keep.")
        from lakehouse.backup.manifest import verify as prove

        found = prove(verify.resolve())
        _tell(verify.resolve(), found, as_json, "is whole")
        return 0
    from lakehouse import postgres
    from lakehouse.backup.create import create
    from lakehouse.postgres.migrate import migrate_marts

    settings = load_settings()
    folder = (target or settings.data_path / "backups").resolve()
    with postgres.ready(settings):
        migrate_marts(settings)  # raises where the marts cannot be reached: half a backup is none
        made, held = create(settings, folder, keep=keep, progress=lambda text: click.echo(f"  {text}", err=True))
    _tell(made, held, as_json, "written and checked")
    return 0


def _tell(folder: Path, held: Manifest, as_json: bool, verdict: str) -> None:
    if as_json:
        from dataclasses import asdict

        shown = asdict(held) | {"backup": str(folder), "raw_files": len(held.raw_files)}
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
        return
    from lakehouse.cli.tables import print_table

    rows = [
        [name, part.file, f"{len(part.rows)}", f"{sum(part.rows.values()):,}", f"{part.bytes / 1e6:,.1f}"]
        for name, part in held.parts.items()
    ]
    print_table(["part", "file", "tables", "rows", "MB"], rows, right={"tables", "rows", "MB"})
    for item in held.left_out:
        click.echo(f"Not in it, although it hangs on the marts: {item}")
    click.echo(
        f"\n{folder} {click.style(verdict, fg='green')}; it shows {held.created_at}.\n"
        f"The lake {held.platform['lake']} is NOT in it ({len(held.raw_files):,} raw files are listed, not copied): "
        "replicate or version it by itself."
    )
