"""``lakehouse ingest``: the drop zones into the ledger, without Dagster."""

from __future__ import annotations

import json

import click


@click.command(epilog="\b\nExamples:\n  lakehouse ingest\n  lakehouse ingest bioreactor --json")
@click.argument("sources", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print the reports as JSON.")
def command(sources: tuple[str, ...], as_json: bool) -> int:
    """Validate and record what lies in the drop zones of SOURCES (default: all). Exit code 3 when a source failed."""
    from ingestion.declarations import load, load_all
    from ingestion.ingest import ingest
    from lakehouse import postgres
    from lakehouse.settings import load_settings

    settings = load_settings()
    declared = [load(name) for name in sources] or list(load_all().values())
    with postgres.ready(settings):
        reports = [
            ingest(settings, source, progress=None if as_json else lambda text: click.echo(f"  {text}", err=True))
            for source in declared
        ]
    if as_json:
        click.echo(json.dumps([report.to_dict() for report in reports], default=str, indent=2))
    else:
        for report in reports:
            click.echo(report.text())
    return 3 if any(report.failed for report in reports) else 0
