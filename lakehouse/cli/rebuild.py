"""``lakehouse rebuild --from-lake``: everything but the raw zone is deleted and built again."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lakehouse.settings import Settings
    from orchestration.rebuild import Plan


@click.command(
    epilog="""\b
Examples:
  lakehouse rebuild --from-lake                      says what is deleted, asks, and builds everything again
  lakehouse rebuild --from-lake --yes                without the question
  lakehouse rebuild --from-lake --discard-postgres   the embedded database does not start any more
"""
)
@click.option("--from-lake", is_flag=True, help="From the raw zone. Must be given: nothing else is left to build from.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--without-missing", is_flag=True, help="Leave out what files gave that have left the drop zone.")
@click.option(
    "--discard-postgres", is_flag=True, help="Delete the embedded server's databases too, the served marts included."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result of the last run as JSON on standard output.")
def command(from_lake: bool, yes: bool, without_missing: bool, discard_postgres: bool, as_json: bool) -> int:
    """Delete state, warehouse, Dagster's home and dbt's artefacts, and build everything from the raw zone.

    What the ledger knew (arrival times and order, replaced, quarantined and missing files) comes from its journal in
    the raw zone. The old marts are served until the new ones take their place; views and grants on them stay. Not
    rebuilt: the history of runs, checks and resolved alerts. Exit code as `lakehouse run`.
    """
    if not from_lake:
        raise click.UsageError("Say what it is built from: lakehouse rebuild --from-lake")
    began = time.monotonic()
    from lakehouse.settings import load_settings
    from orchestration.rebuild import plan, rebuild

    settings = load_settings()
    plans = plan(settings)
    if without_missing:
        for item in plans:
            item.available.clear()
    click.echo(_announcement(settings, plans, discard_postgres), err=True)
    if not yes:
        click.confirm("Delete this and build it again?", abort=True, err=True)
    from lakehouse.cli.run import as_dict, print_summary, told

    def note(text: str) -> None:
        click.echo(f"{click.style(f'{time.monotonic() - began:7.1f} s', dim=True)}  {text}", err=True)

    summary = rebuild(
        settings,
        plans,
        discard_postgres=discard_postgres,
        on_note=note,
        on_line=lambda line: note(told(line)),
    )
    if as_json:
        click.echo(json.dumps(as_dict(summary, time.monotonic() - began), indent=2))
    else:
        print_summary(summary, time.monotonic() - began)
    return 0 if summary.success else 6 if summary.blocked else 1


def _announcement(settings: Settings, plans: list[Plan], discard_postgres: bool) -> str:
    from lakehouse.postgres.connect import marts_url, server_of, state_url

    marts = (
        "deleted with the embedded server" if discard_postgres else "served on until replaced; views and grants stay"
    )
    lines = [
        "Deleted:",
        f"  state and Dagster's storage   {server_of(state_url(settings))}",
        f"  warehouse                     {settings.warehouse}",
        f"  Dagster's home, dbt artefacts {settings.dagster_home}, {settings.dbt_dir}",
        f"Marts                           {server_of(marts_url(settings))}: {marts}",
        f"Kept                            {settings.lake_root}",
    ]
    for item in plans:
        if item.facts is None:
            lines.append(f"{item.source.source}: no journal in the raw zone; every file counts as new, arriving now.")
            continue
        counts = {status: sum(row["status"] == status for row in item.rows) for status in ("accepted", "quarantined")}
        lines.append(
            f"{item.source.source}: {counts['accepted']:,} files, {counts['quarantined']:,} quarantined, "
            f"{len(item.available):,} that have left the drop zone and are kept."
        )
        if item.lost:
            lines.append(
                f"  CANNOT come back: what {len(item.lost):,} deleted files gave ({', '.join(item.lost[:5])}…); "
                "their content is nowhere (LAKEHOUSE_KEEP_RAW_FILES)."
            )
    return "\n".join(lines)
