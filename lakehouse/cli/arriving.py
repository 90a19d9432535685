"""What ``lakehouse status`` says of arrivals: the worker, what waits in the drop zones, how fast it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from ingestion.declarations import DropZoneSource
    from lakehouse.settings import Settings

COLOURS = {"running": "green", "stale": "red", "not running": "yellow"}
LAST_RUNS = 200


def worker(connection: Connection) -> dict[str, Any]:
    """The worker that was heard of last; ``state`` is ``running``, ``stale`` or ``not running``."""
    from lakehouse import workers

    found = workers.latest(connection)
    if found is None:
        return {"state": "not running"}
    beat = found.beat
    return {
        "state": found.verdict,
        "worker_id": beat.worker_id,
        "process": beat.process,
        "started_at": found.started_at,
        "silent_seconds": round(found.silent_seconds, 1),
        "activity": beat.state,
        "doing": beat.doing,
        "last_run": beat.run_id,
        "runs": beat.runs,
        "failed_runs": beat.failed_runs,
        "files": beat.files,
        "memory_bytes": beat.memory_bytes,
    }


def arriving(connection: Connection, settings: Settings, source: DropZoneSource) -> dict[str, Any]:
    """What waits in a drop zone, since when, and how fast files of this source went lately.

    Returns:
        ``files_waiting`` and ``lag_seconds`` (age of the oldest complete file that the ledger does not know yet; None
        where nothing waits), ``files_unfinished``, ``files_per_minute`` and ``rows_per_minute`` over the last hour,
        ``file_to_mart`` (p50, p95, max in seconds over the last runs), ``trouble`` where the lake cannot be listed.
    """
    from datetime import UTC, datetime

    from ingestion.look import look
    from lakehouse import health
    from lakehouse.errors import LakehouseError

    waiting: dict[str, Any] = {"files_waiting": None, "files_unfinished": None, "lag_seconds": None, "trouble": None}
    try:
        found = look(settings, source)
        pending = [*found.new, *found.changed]
        ages = [(datetime.now(UTC) - item.since).total_seconds() for item in pending]
        waiting |= {
            "files_waiting": len(pending),
            "files_unfinished": len(found.waiting),
            "lag_seconds": round(max(*ages, 0.0), 1) if ages else None,
        }
    except LakehouseError as error:
        waiting["trouble"] = error.message
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select count(*) / 60.0, coalesce(sum(row_count), 0) / 60.0 from data_platform.ingestion_runs"
            " where source_name = %s and ingested_at > now() - interval '1 hour'",
            (source.source,),
        )
        files, rows = cursor.fetchone() or (0, 0)
    latency = health.file_latency(connection, source.source, runs=LAST_RUNS)
    return {
        **waiting,
        "files_per_minute": round(float(files), 2),
        "rows_per_minute": round(float(rows), 1),
        "file_to_mart": None
        if latency is None
        else {
            "files": latency.files,
            "p50": round(latency.p50, 2),
            "p95": round(latency.p95, 2),
            "max": round(latency.most, 2),
        },
    }


def print_worker(found: dict[str, Any]) -> None:
    """One line about the worker."""
    text = f"worker: {click.style(found['state'], fg=COLOURS[found['state']])}"
    if found["state"] == "running":
        doing = f", {found['doing']}" if found["doing"] else ""
        memory = f", {found['memory_bytes'] / 10**6:,.0f} MB" if found["memory_bytes"] else ""
        text += f" ({found['activity']}{doing}), {found['files']:,} files in {found['runs']:,} runs"
        text += f", {found['failed_runs']:,} of them failed" if found["failed_runs"] else ""
        text += f", last {found['last_run'][:8]}" if found["last_run"] else ""
        text += memory
    elif found["state"] == "stale":
        text += f": {found['worker_id']} has been silent for {found['silent_seconds']:.0f} s, the sensor takes over"
    elif "worker_id" in found:
        text += f": {found['worker_id']} left {found['silent_seconds']:.0f} s ago; the sensor takes what arrives"
    click.echo(text)


def print_arriving(sources: list[dict[str, Any]]) -> None:
    """One line per source that something can be said about."""
    for item in sources:
        now = item["arriving"]
        if now["trouble"]:
            click.echo(f"{item['source']}: {click.style('its drop zone cannot be listed', fg='red')}: {now['trouble']}")
            continue
        waits = f"{now['files_waiting']:,} files wait"
        if now["lag_seconds"] is not None:
            waits += f", the oldest for {now['lag_seconds']:.0f} s"
        if now["files_unfinished"]:
            waits += f"; {now['files_unfinished']:,} still being written"
        speed = f"last hour {now['files_per_minute']:g} files and {now['rows_per_minute']:,.0f} rows a minute"
        took = now["file_to_mart"]
        latency = ""
        if took is not None:
            latency = (
                f"; file to mart p50 {took['p50']:.1f} s, p95 {took['p95']:.1f} s, at most {took['max']:.1f} s"
                f" (last {took['files']:,} files)"
            )
        click.echo(f"{item['source']}: {waits}; {speed}{latency}")
