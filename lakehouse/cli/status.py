"""``lakehouse status``: what is fresh, late, failing, and since when; from the state database alone."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import click

COLOURS = {
    "ok": "green",
    "up": "green",
    "starting": "yellow",
    "waiting": "yellow",
    "fresh": "green",
    "late": "yellow",
    "failed": "red",
    "error": "red",
    "warning": "yellow",
    "building": "cyan",
    "empty": "yellow",
}
MAX_ALERTS = 20


@click.command(
    epilog="""\b
Examples:
  lakehouse status
  lakehouse status --json
Exit code 0 when nothing fails, 1 when something does; late data alone is not a failure.
"""
)
@click.option("--json", "as_json", is_flag=True, help="Print as JSON.")
def command(as_json: bool) -> int:
    """Show sources, assets, failing checks and open alerts."""
    from lakehouse import postgres
    from lakehouse.settings import load_settings

    settings = load_settings()
    with postgres.ready(settings):
        report = collect(settings)
    if as_json:
        click.echo(json.dumps(report, default=str, indent=2))
    else:
        _print(report)
    failing = [item for item in report["assets"] if item["state"] == "failed"]
    failing += [item for item in report["checks"] if item["severity"] == "error"]
    return 1 if failing else 0


def collect(settings: Any) -> dict[str, Any]:
    """Everything the page shows, as plain data.

    Args:
        settings: the platform's settings; Postgres must be ready.

    Returns:
        ``services``, ``worker``, ``sources``, ``assets``, ``checks`` (those that do not pass), open ``alerts``,
        ``lineage``.
    """
    from ingestion.declarations import load_all
    from lakehouse.cli import lineage_status
    from lakehouse.cli.arriving import arriving, worker
    from lakehouse.duckdb.lock import holder
    from lakehouse.postgres.connect import connect_state
    from lakehouse.services import record

    now = datetime.now(UTC)
    writer = holder(settings.warehouse)
    connection = connect_state(settings)
    try:
        with connection, connection.cursor() as cursor:
            declared = list(load_all().values())
            sources = [_source(cursor, item, settings, now) for item in declared]
            assets = _rows(
                cursor,
                "select asset_key as asset, status as state, rows, last_ok_at, failing_since, reason,"
                " run_id from data_platform.asset_status order by asset_key",
            )
            checks = _rows(
                cursor,
                "select asset_key as asset, check_name as check, severity, message, checked_at"
                " from data_platform.check_status where not passed order by severity, asset_key, check_name",
            )
            alerts = _rows(
                cursor,
                "select raised_at, severity, kind, subject, message, remedy from data_platform.alert_history"
                f" where resolved_at is null order by raised_at desc limit {MAX_ALERTS}",
            )
        for item, found in zip(declared, sources, strict=True):
            found["arriving"] = arriving(connection, settings, item)
        present = worker(connection)
        lineage = lineage_status.collect(connection)
    finally:
        connection.close()
    return {
        "at": now,
        "worker": present,
        "services": {
            "up": record.runs(settings),
            "processes": record.read(settings),
            "warehouse_writer": None if writer is None else str(writer),
        },
        "sources": sources,
        "assets": assets,
        "checks": checks,
        "alerts": alerts,
        "lineage": lineage,
    }


def _source(cursor: Any, declaration: Any, settings: Any, now: datetime) -> dict[str, Any]:
    found = _rows(
        cursor,
        "select count(*) filter (where status = 'accepted') as files,"
        " count(*) filter (where status = 'quarantined') as quarantined,"
        " count(*) filter (where status = 'missing') as missing,"
        " coalesce(sum(row_count) filter (where status = 'accepted'), 0)::bigint as rows,"
        " max(ingested_at) filter (where status = 'accepted') as last_arrival,"
        " max(min_time) filter (where status = 'accepted') as newest_batch_start"
        " from data_platform.ingestion_runs where source_name = %s",
        (declaration.source,),
    )[0]
    limit = settings.freshness_hours or declaration.freshness.max_age_hours
    newest = found["newest_batch_start"]
    deadline = None if newest is None else newest + timedelta(hours=limit)
    state = "empty" if deadline is None else "fresh" if deadline >= now else "late"
    return {
        "source": declaration.source,
        "state": state,
        "late_since": deadline if state == "late" else None,
        "limit_hours": limit,
        **found,
    }


def _rows(cursor: Any, sql: str, values: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
    cursor.execute(sql, values)
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _print(report: dict[str, Any]) -> None:
    from lakehouse.cli.arriving import print_arriving, print_worker
    from lakehouse.cli.lineage_status import line
    from lakehouse.cli.tables import print_table

    now = report["at"]
    services = report["services"]
    click.echo(
        f"lakehouse up: {'running' if services['up'] else 'not running'}   "
        f"warehouse: {services['warehouse_writer'] or 'free'}"
    )
    print_worker(report["worker"])
    click.echo(line(report["lineage"]))
    click.echo()
    if services["processes"]:
        print_table(
            ["service", "state", "pid", "since", "restarts"],
            [
                [item["name"], item["state"], item["pid"] or "", _ago(_moment(item["since"]), now), item["restarts"]]
                for item in services["processes"]
            ],
            right={"pid", "restarts"},
            colours=COLOURS,
        )
        click.echo()
    print_table(
        ["source", "state", "files", "quarantined", "rows", "last arrival", "newest batch began"],
        [
            [
                item["source"],
                item["state"],
                item["files"],
                item["quarantined"],
                f"{item['rows']:,}",
                _ago(item["last_arrival"], now),
                _ago(item["newest_batch_start"], now),
            ]
            for item in report["sources"]
        ],
        right={"files", "quarantined", "rows"},
        colours=COLOURS,
    )
    for item in report["sources"]:
        if item["state"] == "late":
            click.echo(
                f"{item['source']} is late since {item['late_since']:%Y-%m-%d %H:%M} UTC: its newest batch began "
                f"{_ago(item['newest_batch_start'], now)}, the limit is {item['limit_hours']:g} h."
            )
    print_arriving(report["sources"])
    click.echo()
    print_table(
        ["asset", "state", "rows", "last in order", "failing for"],
        [
            [
                item["asset"],
                item["state"],
                "" if item["rows"] is None else f"{item['rows']:,}",
                _ago(item["last_ok_at"], now),
                _ago(item["failing_since"], now).removesuffix(" ago"),
            ]
            for item in report["assets"]
        ],
        right={"rows"},
        colours=COLOURS,
    )
    for item in report["assets"]:
        if item["state"] == "failed" and item["reason"]:
            click.echo(f"{click.style(item['asset'], fg='red')}: {item['reason']}")
    if report["checks"]:
        click.echo("\nChecks that do not pass:")
        for item in report["checks"]:
            colour = "red" if item["severity"] == "error" else "yellow"
            click.echo(
                f"  {click.style(item['severity'], fg=colour)} {item['asset']}: {item['check']} {item['message']}"
            )
    if report["alerts"]:
        click.echo("\nOpen alerts:")
        for item in report["alerts"]:
            text = click.style(item["severity"], fg=COLOURS.get(item["severity"], "white"))
            click.echo(f"  {text} {_ago(item['raised_at'], now)}: {item['message']}")
            if item["remedy"]:
                click.echo(f"      → {item['remedy']}")
    if not report["assets"]:
        click.echo("Nothing has been built yet. Build it: lakehouse run")


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _ago(moment: datetime | None, now: datetime) -> str:
    if moment is None:
        return ""
    seconds = (now - moment).total_seconds()
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.1f} {unit} ago"
    return f"{max(seconds, 0):.0f} s ago"
