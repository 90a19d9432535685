"""``lakehouse up``: everything on this machine, until Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

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
    """Start embedded Postgres, code server, webserver, worker and daemon; print the pages; stop on Ctrl-C.

    Where a lineage server is set, also what delivers lineage to it. Schedule and sensors are on. What dies or hangs is
    started again, Postgres included; `lakehouse status` tells.
    """
    from lakehouse import maintenance
    from lakehouse.postgres import embedded
    from lakehouse.services import record
    from lakehouse.services.house import House
    from lakehouse.services.processes import services, workspace_text
    from lakehouse.services.supervisor import Supervisor
    from lakehouse.services.taken_ports import require_ports
    from lakehouse.settings import load_settings
    from lineage.openlineage_config import target

    settings = load_settings()
    lineage, zones = target(), drop_zones(settings)
    with record.only_one(settings), maintenance.using(settings):
        if left := record.end_leftovers(settings):
            _say(f"Ended what a killed `lakehouse up` had left: {', '.join(left)}")
        workspace = settings.dagster_home / "workspace.yaml"
        processes = services(settings, workspace, lineage=lineage is not None)
        require_ports(processes, PORT_VARIABLES)
        with embedded.running(settings):
            if settings.embedded_postgres:
                _say("postgres is up")
            if code := _in_a_child(lambda: _prepare(settings)):
                return code
            from orchestration.instance import dagster_environment

            workspace.write_text(workspace_text(settings), encoding="utf-8")
            house = House(settings, _say)
            supervisor = Supervisor(processes, {**os.environ, **dagster_environment(settings)}, house)
            signal.signal(signal.SIGTERM, supervisor.request_stop)
            signal.signal(signal.SIGINT, supervisor.request_stop)
            with house.guarding():
                try:
                    supervisor.start()
                    click.echo(pages(settings, lineage, zones))
                    supervisor.watch()
                    _say("Stopping.")
                finally:
                    supervisor.stop()
    _say("Stopped; nothing is left running.")
    return 0


def _prepare(settings: Settings) -> None:
    from lakehouse import postgres
    from lakehouse.dbt.manifest import ensure_manifest
    from lakehouse.postgres.migrate import migrate_state
    from orchestration.instance import prepare_home

    fresh = migrate_state(settings)
    with postgres.ready(settings):
        prepare_home(settings)
        ensure_manifest(settings)
        if fresh:  # Dagster's tables, once, before three processes would make them at the same time
            from dagster import DagsterInstance

            DagsterInstance.get().dispose()


def _in_a_child(work: Callable[[], None]) -> int:
    """Do something in a copy of this process, so that what it imports (Dagster, dbt) does not stay; its exit code."""
    from lakehouse.errors import LakehouseError

    pid = os.fork()  # this process has no threads yet
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    code = 1
    try:
        work()
        code = 0
    except LakehouseError as error:
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {error}", err=True)
        code = error.exit_code
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def pages(settings: Settings, lineage: object, zones: list[str]) -> str:
    """What a person reads once everything works: addresses, and where to go on.

    Args:
        settings: the platform's settings.
        lineage: where lineage is delivered to; None for nowhere.
        zones: of :func:`drop_zones`.
    """
    page = f"http://127.0.0.1:{settings.webserver_port}"
    zone = "on" if settings.schedules_on else "off (LAKEHOUSE_SCHEDULES_ON)"
    return (
        f"\n  Dagster          {click.style(page, fg='cyan', underline=True)}\n"
        f"  Assets           {page}/asset-groups\n"
        f"  Runs             {page}/runs\n"
        f"  Schedule, sensor {page}/automation   {zone}; nightly at {settings.nightly_cron!r} {settings.timezone}\n"
        f"  Drop zone        {f'{chr(10)}                   '.join(zones)}\n"
        f"  Marts            lakehouse query --marts \"select * from pg_tables where schemaname = 'marts'\"\n"
        f"  Lineage          {f'delivered to {lineage}' if lineage else 'lakehouse lineage open'}\n"
        f"  Logs             {settings.data_path / 'logs'}\n\n"
        "  Ctrl-C stops everything.\n"
    )


def drop_zones(settings: Settings, folder: Path | None = None) -> list[str]:
    """Where files are to be dropped: a folder for each declared source.

    Args:
        settings: for the lake.
        folder: of the declarations; by default the platform's.

    Raises:
        ConfigError: declarations have faults, with which no worker would start; names all of them.
    """
    from ingestion.declarations import SOURCES, load_all

    return [f"{settings.lake_root}/{source.path}/" for source in load_all(folder or SOURCES).values()]


def _say(text: str) -> None:
    click.echo(f"  {text}")
