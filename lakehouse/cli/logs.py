"""``lakehouse logs``: what the services of `lakehouse up` write."""

from __future__ import annotations

import os

import click

SERVICES = ("code-server", "webserver", "worker", "daemon", "lineage", "postgres", "dbt")


@click.command(
    epilog="""\b
Examples:
  lakehouse logs                   # the end of every log
  lakehouse logs worker -n 200
  lakehouse logs daemon -f         # go on showing what is added, until Ctrl-C
"""
)
@click.argument("services", nargs=-1, type=click.Choice(SERVICES))
@click.option("-n", "--lines", default=20, show_default=True, type=click.IntRange(min=0), help="Lines of each log.")
@click.option("-f", "--follow", is_flag=True, help="Go on showing what is added.")
def command(services: tuple[str, ...], lines: int, follow: bool) -> int:
    """Show the logs of the services (default: all) with the system's `tail`."""
    from lakehouse.errors import DataError
    from lakehouse.services.logs import path_of
    from lakehouse.settings import load_settings

    settings = load_settings()
    wanted = {service: path_of(settings, service) for service in services or SERVICES}
    paths = [str(path) for path in wanted.values() if path.exists()]
    if not paths:
        raise DataError(
            f"There is no log yet of: {', '.join(wanted)}.",
            remedy=f"`lakehouse up` writes them to {settings.data_path / 'logs'}; with external Postgres servers look "
            "for their logs there.",
        )
    command = ["tail", "-n", str(lines), *(["-F"] if follow else []), *paths]
    os.execvp("tail", command)  # noqa: S606 - this process becomes tail
