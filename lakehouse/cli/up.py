"""``lakehouse up``: everything on this machine, until Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator

import click

from lakehouse.settings import Settings

PORT_VARIABLES = {"webserver": "LAKEHOUSE_WEBSERVER_PORT", "code server": "LAKEHOUSE_CODE_SERVER_PORT"}


@click.command(
    epilog="""\b
Examples:
  lakehouse up
  LAKEHOUSE_WEBSERVER_PORT=3100 lakehouse up
"""
)
def command() -> int:
    """Start embedded Postgres, code server, webserver and daemon; print the pages; stop on Ctrl-C.

    The schedule and the file sensor are on. A service that dies is started again.
    """
    from lakehouse import postgres
    from lakehouse.services.processes import services, workspace_text
    from lakehouse.services.supervisor import Supervisor, require_ports
    from lakehouse.settings import load_settings

    settings = load_settings()
    with _only_one(settings):
        home = settings.dagster_home
        home.mkdir(parents=True, exist_ok=True)
        workspace = home / "workspace.yaml"
        processes = services(settings, workspace)
        require_ports(processes, PORT_VARIABLES)
        with postgres.ready(settings):
            _say("Postgres is up")
            from lakehouse.dbt.manifest import ensure_manifest
            from orchestration.instance import dagster_environment, prepare_home

            workspace.write_text(workspace_text(settings), encoding="utf-8")
            prepare_home(settings)
            ensure_manifest(settings)
            environment = {**os.environ, **dagster_environment(settings)}
            supervisor = Supervisor(processes, environment, settings.data_path / "logs", _say)
            signal.signal(signal.SIGTERM, supervisor.request_stop)
            signal.signal(signal.SIGINT, supervisor.request_stop)
            try:
                supervisor.start()
                _print_pages(settings)
                supervisor.watch()
                _say("Stopping.")
            finally:
                supervisor.stop()
    _say("Stopped; nothing is left running.")
    return 0


def _print_pages(settings: Settings) -> None:
    page = f"http://127.0.0.1:{settings.webserver_port}"
    zone = "on" if settings.schedules_on else "off (LAKEHOUSE_SCHEDULES_ON)"
    click.echo(
        f"\n  Dagster          {click.style(page, fg='cyan', underline=True)}\n"
        f"  Assets           {page}/asset-groups\n"
        f"  Runs             {page}/runs\n"
        f"  Schedule, sensor {page}/automation   {zone}; nightly at {settings.nightly_cron!r} {settings.timezone}\n"
        f"  Drop zone        {settings.lake_root}/raw/bioreactor/\n"
        f"  Marts            lakehouse query --marts \"select * from pg_tables where schemaname = 'marts'\"\n"
        f"  Logs             {settings.data_path / 'logs'}\n\n"
        "  Ctrl-C stops everything.\n"
    )


def _say(text: str) -> None:
    click.echo(f"  {text}")


@contextlib.contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    import fcntl

    from lakehouse.errors import BusyError

    settings.data_path.mkdir(parents=True, exist_ok=True)
    path = settings.data_path / "up.lock"
    with path.open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            who = path.read_text(encoding="utf-8").strip() or "unknown"
            raise BusyError(
                f"`lakehouse up` runs already on this data folder (process {who}).",
                remedy=f"Use it at http://127.0.0.1:{settings.webserver_port}, or end it with Ctrl-C (`kill {who}`).",
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield
