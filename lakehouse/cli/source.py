"""``lakehouse source``: the declared sources and the dbt files derived from them."""

from __future__ import annotations

import click


@click.group()
def command() -> None:
    """Declared sources (ingestion/sources/*.yml).

    \b
    Example:
      lakehouse source list
    """


@command.command("list", epilog="\b\nExample:\n  lakehouse source list")
def list_sources() -> int:
    """List the declared sources, their drop zones and assets."""
    from ingestion.declarations import load_all
    from lakehouse.cli.tables import print_table

    rows = [[item.source, item.domain, item.path, item.asset, item.owner] for item in load_all().values()]
    print_table(["source", "domain", "drop zone", "asset", "owner"], rows)
    return 0


@command.command("sync", epilog="\b\nExample:\n  lakehouse source sync")
def sync() -> int:
    """Write dbt's source files from the declarations; run it after a change to one."""
    from ingestion.dbt_sources import write
    from lakehouse.settings import PROJECT_ROOT

    for path in write():
        click.echo(f"written: {path.relative_to(PROJECT_ROOT)}")
    return 0
