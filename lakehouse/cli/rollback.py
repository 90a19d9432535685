"""``lakehouse rollback``: a mart's versions, serving a former one again, and letting go of it."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from lakehouse.marts.versions import Published


@click.command(
    epilog="""\b
Examples:
  lakehouse rollback mart_bioreactor_overview                  its versions: run, when, rows, size
  lakehouse rollback mart_bioreactor_overview --to 5f3a91c2    serve what that run published
  lakehouse rollback mart_bioreactor_overview --release        let runs publish it again
"""
)
@click.argument("mart")
@click.option("--to", "run", metavar="RUN", help="Serve the version of this run; the beginning of its id is enough.")
@click.option("--list", "only_list", is_flag=True, help="List the versions; the default.")
@click.option("--release", is_flag=True, help="Let runs publish a mart again that was rolled back.")
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(mart: str, run: str | None, only_list: bool, release: bool, as_json: bool) -> int:
    """List the versions of MART, or bring a former one back.

    A mart that was rolled back is held: runs report it and leave it alone until it is released. How many former
    versions are kept is the setting LAKEHOUSE_MARTS_KEEP_VERSIONS. Exit code 2: no such mart or version; 5: a run that
    publishes it, or readers, did not let go of it within a minute; 6: it cannot be served again, the message says why.
    """
    if sum((run is not None, only_list, release)) > 1:
        raise click.UsageError("--to, --list and --release exclude each other.")
    import contextlib

    from lakehouse import postgres
    from lakehouse.marts import rollback
    from lakehouse.marts.versions import published
    from lakehouse.postgres.connect import connect_marts
    from lakehouse.postgres.migrate import migrate_marts
    from lakehouse.settings import load_settings

    settings = load_settings()
    with postgres.ready(settings):
        migrate_marts(settings)  # says so where the server is down
        if run is not None:
            rollback.roll_back(settings, mart, run, on_wait=lambda line: click.echo(line, err=True))
        elif release:
            rollback.release(settings, mart)
        with contextlib.closing(connect_marts(settings)) as connection:
            found = published(connection, mart)
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(found), default=str, indent=2))
    else:
        _print(found, released=release)
    return 0


def _print(found: Published, *, released: bool) -> None:
    from lakehouse.cli.tables import print_table
    from lakehouse.marts.versions import human_size

    print_table(
        ["version", "run", "published (UTC)", "rows", "size"],
        [
            [
                "served" if version.number is None else "former",
                version.run_id[:8],
                f"{version.published_at:%Y-%m-%d %H:%M:%S}",
                f"{version.rows:,}",
                human_size(version.size_bytes),
            ]
            for version in found.versions
        ],
        right={"rows", "size"},
        colours={"served": "green"},
    )
    if found.held is not None:
        click.echo(
            f"\n{click.style('held', fg='yellow')}: {found.held}. Runs leave it as it is.\n"
            f"Mend the cause, then: lakehouse rollback {found.mart} --release"
        )
    elif released:
        click.echo(f"\nReleased. Publish it: lakehouse run --select {found.asset_key}")
    elif len(found.versions) > 1:
        click.echo(f"\nBring one back: lakehouse rollback {found.mart} --to {found.versions[1].run_id[:8]}")
