"""``lakehouse lineage status``: how the delivery of lineage events stands; also its line in ``lakehouse status``."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection


@click.command(
    epilog="""\b
Examples:
  lakehouse lineage status
  lakehouse lineage status --json
Exit code 0 when nothing was refused, 1 when there are dead letters; a backlog alone is not a failure.
"""
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(as_json: bool) -> int:
    """Show what is recorded, delivered, waiting and refused."""
    from lakehouse import postgres
    from lakehouse.postgres.connect import connect_state
    from lakehouse.settings import load_settings

    settings = load_settings()
    with postgres.ready(settings):
        connection = connect_state(settings)
        try:
            report = collect(connection)
        finally:
            connection.close()
    if as_json:
        click.echo(json.dumps(report, default=str, indent=2))
    else:
        click.echo(f"server        {_server(report)}")
        click.echo(f"drainer       {_drainer(report)}")
        click.echo(f"recorded      {report['recorded']:,} events")
        click.echo(f"delivered     {report['delivered']:,}{_last(report)}")
        click.echo(f"backlog       {report['pending']:,}{_age(report)}")
        click.echo(f"dead letters  {report['dead']:,}")
    return 1 if report["dead"] else 0


def collect(connection: Connection) -> dict[str, Any]:
    """The report as plain data.

    Args:
        connection: to the state database.

    Returns:
        ``target`` (an address, or None; ``error`` where its settings are wrong), ``recorded``, ``delivered``,
        ``pending``, ``dead``, ``oldest_pending_seconds``, ``last_delivery``, ``drainer_seconds``, ``drainer_target``
        (where a drainer that worked lately delivers; it may have been given another server than this process).
    """
    from lakehouse.errors import ConfigError
    from lineage import backlog
    from lineage.openlineage_config import target

    goal, error = None, None
    try:
        goal = target()
    except ConfigError as fault:
        error = fault.message
    now = backlog.standing(connection)
    return {
        "target": None if goal is None else str(goal),
        "error": error,
        "recorded": now.recorded,
        "delivered": now.delivered,
        "pending": now.pending,
        "dead": now.dead,
        "oldest_pending_seconds": now.oldest_pending_seconds,
        "last_delivery": now.last_delivery,
        "drainer_seconds": now.drainer_seconds,
        "drainer_target": now.drainer_target,
    }


def line(report: dict[str, Any]) -> str:
    """One line for ``lakehouse status``."""
    recorded = f"lineage: {report['recorded']:,} events"
    if report["error"]:
        return f"{recorded}; {click.style(report['error'], fg='red')}"
    if report["target"] is None and report["drainer_seconds"] is None:
        return f"{recorded}, no lineage server is set"
    dead = click.style(f"{report['dead']:,} dead letters", fg="red" if report["dead"] else None)
    backlog = f"backlog {report['pending']:,}{_age(report)}"
    return f"{recorded}, {report['delivered']:,} delivered{_last(report)}, {backlog}, {dead}"


def _server(report: dict[str, Any]) -> str:
    """Where events go as this process is configured; where it knows of none, as the drainer told."""
    if report["error"]:
        return click.style(report["error"], fg="red")
    if report["target"] is None and report["drainer_target"] is not None:
        return f"{report['drainer_target']} (of the drainer; none is set here: OPENLINEAGE_URL)"
    return str(report["target"] or "none is set (OPENLINEAGE_URL)")


def _drainer(report: dict[str, Any]) -> str:
    silent = report["drainer_seconds"]
    return "none has worked so far" if silent is None else f"last heard of {_duration(silent)} ago"


def _last(report: dict[str, Any]) -> str:
    last = report["last_delivery"]
    return "" if last is None else f", the last {_duration((datetime.now(UTC) - last).total_seconds())} ago"


def _age(report: dict[str, Any]) -> str:
    oldest = report["oldest_pending_seconds"]
    return "" if oldest is None else f", the oldest for {_duration(oldest)}"


def _duration(seconds: float) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{max(seconds, 0):.0f} s"
