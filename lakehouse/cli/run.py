"""``lakehouse run``: the pipeline in this process, with progress and a closing table."""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from orchestration.progress import AssetLine
    from orchestration.run import RunSummary

INTERACTIVE_RETRY_DELAY = 5.0
ORDER = ("raw", "staging", "intermediate", "curated", "mart")
COLOURS = {
    "built": "green",
    "unchanged": "cyan",
    "held": "yellow",
    "failed": "red",
    "blocked": "red",
    "skipped": "yellow",
    "empty": "yellow",
}


@click.command(
    epilog="""\b
Examples:
  lakehouse run                                  everything, raw to marts
  lakehouse run --select dbt_postgres_marts      one layer
  lakehouse run --select 'dbt_staging_models+'   a layer and what follows
  lakehouse run --select bioreactor              a domain
  lakehouse run --select dim_batch               one model
  lakehouse run --accept-stale                   a load of old data
"""
)
@click.option(
    "--select",
    "-s",
    default="*",
    show_default="everything",
    help="Layers, domains, assets, or Dagster's selection syntax.",
)
@click.option("--full-refresh", is_flag=True, help="Rebuild incremental models from what is in the lake.")
@click.option("--full-checks", is_flag=True, help="Test all data, not only what is new (the nightly run does).")
@click.option("--accept-stale", is_flag=True, help="Accept data older than the declared freshness.")
@click.option("--force", is_flag=True, help="Build although something upstream failed; recorded as an alert.")
@click.option(
    "--retry-delay",
    type=click.FloatRange(min=0),
    default=INTERACTIVE_RETRY_DELAY,
    show_default=True,
    help="Seconds before the first retry of a transient failure; doubles each time.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON on standard output.")
@click.option("--quiet", "-q", is_flag=True, help="No progress, only the result.")
def command(
    select: str,
    full_refresh: bool,
    full_checks: bool,
    accept_stale: bool,
    force: bool,
    retry_delay: float,
    as_json: bool,
    quiet: bool,
) -> int:
    """Run the pipeline in this process: raw → staging → curated → marts.

    The run is recorded in the same instance the web pages show. Ends with a table of what was built; exit code 0
    when everything selected is in order, 6 when a gate held it up, 1 when something failed.
    """
    began = time.monotonic()

    def note(text: str) -> None:
        if not quiet:
            click.echo(f"{click.style(f'{time.monotonic() - began:7.1f} s', dim=True)}  {text}", err=True)

    note("Starting.")
    from lakehouse import postgres
    from lakehouse.settings import load_settings

    settings = load_settings()
    with postgres.ready(settings):
        from orchestration.options import RunOptions
        from orchestration.run import run

        options = RunOptions(force, accept_stale, full_refresh, full_checks, retry_delay)
        summary = run(settings, select=select, options=options, on_note=note, on_line=lambda line: note(told(line)))
        seconds = time.monotonic() - began
        if as_json:
            click.echo(json.dumps(as_dict(summary, seconds), indent=2))
        else:
            print_summary(summary, seconds)
        sys.stdout.flush()  # nobody who reads this waits for what follows
        from orchestration.lineage.mapping import map_here

        map_here(settings)
    return 0 if summary.success else 6 if summary.blocked else 1


def told(line: AssetLine) -> str:
    """One line of progress."""
    rows = "" if line.rows is None else f", {line.rows:,} rows"
    return f"{click.style(line.asset, bold=True)} {click.style(line.status, fg=COLOURS[line.status])}{rows}"


def _sorted(summary: RunSummary) -> list[AssetLine]:
    return sorted(summary.lines, key=lambda line: (ORDER.index(line.layer), line.asset))


def as_dict(summary: RunSummary, seconds: float) -> dict[str, object]:
    """The result for machines; ``seconds`` with start-up."""
    from dataclasses import asdict

    return {
        "run_id": summary.run_id,
        "success": summary.success,
        "blocked": summary.blocked,
        "seconds": round(summary.seconds, 3),
        "seconds_with_start": round(seconds, 3),
        "assets": [asdict(line) for line in _sorted(summary)],
        "errors": summary.errors,
    }


def print_summary(summary: RunSummary, seconds: float) -> None:
    """The closing table; ``seconds`` with start-up."""
    from lakehouse.cli.tables import print_table

    rows = []
    for line in _sorted(summary):
        checks = [f"{line.passed} passed"] if line.passed else []
        checks += [f"{line.warned} warned"] if line.warned else []
        checks += [f"{line.failed} failed"] if line.failed else []
        rows.append(
            [
                line.layer,
                line.asset,
                line.status,
                "" if line.rows is None else f"{line.rows:,}",
                f"{line.seconds:.2f}",
                ", ".join(checks) or "–",
            ]
        )
    print_table(
        ["layer", "asset", "status", "rows", "seconds", "checks"], rows, right={"rows", "seconds"}, colours=COLOURS
    )
    for line in _sorted(summary):
        if line.reason and line.status != "skipped":
            colour = "red" if line.failed or line.status == "failed" else "yellow"
            click.echo(f"{click.style(line.asset, fg=colour)}: {line.reason}")
    for error in summary.errors:
        click.echo(click.style("Failed: ", fg="red", bold=True) + error, err=True)
    verdict = click.style("in order", fg="green") if summary.success else click.style("not in order", fg="red")
    click.echo(f"\nRun {summary.run_id[:8]} {verdict} after {summary.seconds:.1f} s ({seconds:.1f} s with start-up).")
    if summary.success and not any(line.status == "empty" for line in summary.lines):
        _next_steps()


def _next_steps() -> None:
    # Without an activated environment the shell does not know the bare name.
    name = "lakehouse" if shutil.which("lakehouse") else str(Path(sys.argv[0]).resolve())
    with contextlib.suppress(ValueError):
        name = str(Path(name).relative_to(Path.cwd()))
    click.echo(
        "Next:\n"
        f'  {name} query "select batch_id, parameter, avg_value, unit from marts.mart_bioreactor_overview limit 6"\n'
        f"  {name} status            what is fresh, late, failing\n"
        f"  {name} up                web pages, schedule and worker (make up)"
    )
