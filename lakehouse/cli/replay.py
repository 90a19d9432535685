"""``lakehouse replay``: quarantined files go back to the drop zone and are validated again."""

from __future__ import annotations

import click


@click.command(
    epilog="""\b
Examples:
  lakehouse replay bioreactor --list
  lakehouse replay bioreactor                 everything in its quarantine
  lakehouse replay bioreactor "raw/_quarantine/bioreactor/2026-01-31/B001.parquet"
Then build on it: lakehouse run
"""
)
@click.argument("source")
@click.argument("keys", nargs=-1)
@click.option("--list", "only_list", is_flag=True, help="Only list what lies in the quarantine.")
def command(source: str, keys: tuple[str, ...], only_list: bool) -> int:
    """Give quarantined files of SOURCE a second chance, after the file, the declaration or the source was mended.

    KEYS are paths in the lake; none means all. Exit code 3 when a file is refused again.
    """
    from ingestion.declarations import load
    from ingestion.replay import quarantined, replay
    from lakehouse import postgres
    from lakehouse.settings import load_settings
    from lakehouse.storage import open_lake

    settings = load_settings()
    declared = load(source)
    if only_list:
        for key in quarantined(open_lake(settings), declared):
            click.echo(key)
        return 0
    with postgres.ready(settings):
        report = replay(settings, declared, *keys, progress=lambda text: click.echo(f"  {text}", err=True))
    click.echo(report.text())
    return 3 if report.quarantined else 0
