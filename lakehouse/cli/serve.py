"""``lakehouse serve``: one service of ``lakehouse up`` alone, in the foreground; for containers, service managers."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

import click

if TYPE_CHECKING:
    from lakehouse.settings import Settings

NAMES = ("code-server", "webserver", "daemon", "worker", "lineage")


@click.command(
    epilog="""\b
Examples:
  lakehouse serve webserver
  lakehouse serve webserver --check     # exit code 0 where it works, 4 where it does not
"""
)
@click.argument("service", type=click.Choice(NAMES))
@click.option("--check", is_flag=True, help="Ask the running service whether it works, and stop.")
def command(service: str, check: bool) -> int:
    """Run one service here, with the command `lakehouse up` uses; needs external Postgres servers."""
    from lakehouse.settings import load_settings

    settings = load_settings()
    if check:
        from lakehouse.services.probes import PROBES

        PROBES[service](settings)
        click.echo(f"The {service} works.")
        return 0
    if settings.embedded_postgres:
        from lakehouse.errors import ConfigError

        raise ConfigError(
            "A single service needs Postgres servers that run by themselves.",
            remedy="Set LAKEHOUSE_STATE_URL and LAKEHOUSE_MARTS_URL, or run everything with `lakehouse up`.",
        )
    from lakehouse import maintenance

    with maintenance.using(settings):  # refuses to start on a platform that is being restored, or half restored
        pass
    return _become(service, settings)


def _become(service: str, settings: Settings) -> NoReturn:
    from lakehouse.services.processes import services, workspace_text
    from orchestration.instance import dagster_environment, prepare_home

    workspace = prepare_home(settings) / "workspace.yaml"
    fresh = workspace.with_suffix(f".{os.getpid()}.new")
    fresh.write_text(workspace_text(settings), encoding="utf-8")
    fresh.replace(workspace)
    chosen = next(
        item for item in services(settings, workspace, lineage=True) if item.name.replace(" ", "-") == service
    )
    environment = {**os.environ, **dagster_environment(settings), **chosen.environment}
    os.execvpe(chosen.command[0], chosen.command, environment)  # noqa: S606 - this process becomes the service
