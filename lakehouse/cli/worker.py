"""``lakehouse worker``: from file to mart in seconds, until Ctrl-C."""

from __future__ import annotations

import click


@click.command(
    epilog="""\b
Examples:
  lakehouse worker
  LAKEHOUSE_WORKER_LOOK_SECONDS=0.5 lakehouse worker     a drop zone on S3, listed twice a second
"""
)
def command() -> int:
    """Watch all drop zones and bring what arrives to the marts within seconds, until Ctrl-C or SIGTERM.

    `lakehouse up` runs one by itself. Its runs are the sensor's runs (job `file_arrival`), in one warm process; while
    it works the sensor leaves everything to it, and takes over when it falls silent. `lakehouse status` shows it.
    """
    from datetime import UTC, datetime

    from lakehouse.settings import load_settings
    from orchestration.worker.main import serve

    serve(load_settings(), lambda text: click.echo(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC  {text}"))
    return 0
