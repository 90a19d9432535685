"""``lakehouse trace``: from a mart's row back to the raw files."""

from __future__ import annotations

import json

import click


@click.command(
    epilog="""\b
Examples:
  lakehouse trace mart_bioreactor_overview --key batch_id=B001 --key equipment_id=BR-01 \\
      --key parameter=ph --key unit=pH
  lakehouse trace mart_bioreactor_overview --key batch_id=B001 --all     all rows of the batch together
  lakehouse trace dim_batch --key batch_id=B001 --rows 3 --json
"""
)
@click.argument("mart")
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="A column of the row, read by its type; COLUMN= is the empty text, COLUMN:null is null. Repeatable.",
)
@click.option("--all", "several", is_flag=True, help="Trace all rows that have these keys, together.")
@click.option(
    "--rows", "sample", type=click.IntRange(min=0), default=0, show_default=True, help="Rows to show of each relation."
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON, with every range of rows.")
def command(mart: str, keys: tuple[str, ...], several: bool, sample: int, as_json: bool) -> int:
    """Show which rows of which raw files a row of MART was made of, through every layer.

    MART is a mart or any other model. The way is derived from the models' SQL; where it cannot be followed (a key that
    is an aggregate), the rows found may be too many, and it says so. Exit code 2: no such mart or column, or the keys
    name several rows; 3: no such row, it shows what comes near; 4: a database cannot be reached; 5: a run writes the
    warehouse.
    """
    from lakehouse.dbt.compiled import compiled_sql
    from lakehouse.dbt.manifest import ensure_manifest
    from lakehouse.settings import load_settings
    from lineage.trace.trace import Asked, trace
    from lineage.trace.tree import lines

    settings = load_settings()
    manifest = json.loads((ensure_manifest(settings) / "manifest.json").read_text(encoding="utf-8"))
    found = trace(
        settings,
        manifest,
        Asked(mart, keys, several=several, sample=sample),
        compiled=lambda: compiled_sql(settings),
        on_wait=lambda line: click.echo(line, err=True),
    )
    if as_json:
        click.echo(json.dumps(found.as_json(), default=str, indent=2))
        return 0
    for line in lines(found):
        click.echo(click.style(line, fg="yellow") if line.lstrip("│ ").startswith(("!", "~")) else line)
    return 0
