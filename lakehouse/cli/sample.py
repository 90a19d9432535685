"""``lakehouse sample``: plausible data into the lake, to see the platform work before real data is there."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime

import click

PROGRESS_EVERY_SECONDS = 2.0
DISK_MARGIN = 1.5


@click.group()
def command() -> None:
    """Generate sample data into the lake's drop zones.

    \b
    Example:
      lakehouse sample bioreactor --batches 24
    """


@command.command(
    epilog="""\b
Examples:
  lakehouse sample bioreactor
  lakehouse sample bioreactor --batches 48 --scale 4 --seed 7
  lakehouse sample bioreactor --broken truncated --broken wrong_types
  lakehouse sample bioreactor --batches 12 --scale 29        20 million rows
"""
)
@click.option(
    "--batches", type=click.IntRange(min=0), default=12, show_default=True, help="Fermentation batches, one file each."
)
@click.option(
    "--scale",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Sampling rate; 1 gives about 58,000 rows a batch.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Chooses the batches; the same seed gives the same data.",
)
@click.option("--until", type=click.DateTime(), default=None, help="End of the newest batch, UTC.  [default: now]")
@click.option(
    "--late",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="Share of batches whose end comes in a file of its own.",
)
@click.option(
    "--duplicates",
    type=click.FloatRange(0, 0.5),
    default=0.002,
    show_default=True,
    help="Share of readings sent twice.",
)
@click.option(
    "--gaps", type=click.FloatRange(0, 0.5), default=0.01, show_default=True, help="Share of time without readings."
)
@click.option(
    "--broken", multiple=True, metavar="KIND", help="Add a broken file; `--broken list` names the kinds. Repeatable."
)
@click.option("--if-empty", is_flag=True, help="Do nothing when the drop zone holds files already.")
def bioreactor(
    batches: int,
    scale: float,
    seed: int,
    until: datetime | None,
    late: float,
    duplicates: float,
    gaps: float,
    broken: tuple[str, ...],
    if_empty: bool,
) -> int:
    """Fed-batch bioreactor runs in long format: temperature, pH, dissolved oxygen, agitation, feed, titre."""
    from lakehouse.sample.broken import BROKEN

    if "list" in broken:
        for kind, text in BROKEN.items():
            click.echo(f"{kind:20} {text}")
        return 0
    from lakehouse.sample.parameters import KEY_PREFIX
    from lakehouse.sample.writer import estimate, generate
    from lakehouse.scratch import process_folder
    from lakehouse.settings import load_settings
    from lakehouse.storage import open_lake

    settings = load_settings()
    lake = open_lake(settings)
    if if_empty and any(True for _ in lake.list(KEY_PREFIX)):
        return 0
    work = process_folder(settings.data_path / "tmp")
    _require_disk(work, estimate(batches, scale)[1])
    told = time.monotonic()

    def progress(done: int, expected: int, key: str) -> None:
        nonlocal told
        if time.monotonic() - told > PROGRESS_EVERY_SECONDS:
            told = time.monotonic()
            click.echo(f"  {done:,} of about {expected:,} rows ({100 * done // max(expected, 1)} %), {key}", err=True)

    report = generate(
        lake.write,
        batches=batches,
        scale=scale,
        seed=seed,
        until=until or datetime.now(UTC).replace(microsecond=0),
        late_fraction=late,
        duplicate_fraction=duplicates,
        gap_fraction=gaps,
        broken=broken,
        progress=progress,
        work_dir=work,
    )
    click.echo(
        f"Sample data: {len(report.files)} files, {report.rows:,} rows, {report.size / 1e6:,.1f} MB in"
        f" {lake.uri(KEY_PREFIX)}"
    )
    return 0


def _require_disk(folder: object, needed: int) -> None:
    from lakehouse.errors import LakehouseError

    free = shutil.disk_usage(str(folder)).free
    if free < needed * DISK_MARGIN:
        raise LakehouseError(
            f"The sample would take about {needed / 1e9:.1f} GB, {free / 1e9:.1f} GB are free in {folder}.",
            remedy="Free some space, or ask for less: smaller --batches or --scale.",
        )
