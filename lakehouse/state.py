"""What is known about assets and their checks between runs: the table the gates read and ``status`` shows.

What belongs here: reading and writing ``data_platform.asset_status`` and ``check_status``, and the alerts that follow.
What does not: Dagster's event log (history and pages are its business) and the ingestion ledger.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lakehouse import alerts

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection


NOT_REACHED = "not built, because something above it failed in the same run"


@dataclass(frozen=True)
class AssetResult:
    """How one asset came out of one run.

    Attributes:
        asset_key: the asset.
        ok: whether it was built.
        rows: rows it holds, where known.
        reason: why it failed.
        built_from: digest of the code and inputs it was built from; None where it cannot vouch for the result.
        checked_arrival: arrival sequence up to which all its blocking checks have passed (staging models).
    """

    asset_key: str
    ok: bool
    rows: int | None = None
    reason: str | None = None
    built_from: str | None = None
    checked_arrival: int | None = None


@dataclass(frozen=True)
class CheckResult:
    """How one check came out; ``severity`` is ``error`` (blocks what is downstream) or ``warn``."""

    asset_key: str
    check_name: str
    passed: bool
    severity: str
    message: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Blocker:
    """Why an asset upstream holds up what is downstream of it."""

    asset_key: str
    what: str
    since: datetime | None

    def __str__(self) -> str:
        since = f" (since {self.since:%Y-%m-%d %H:%M} UTC)" if self.since else ""
        return f"{self.asset_key}: {self.what}{since}"


def mark_building(connection: Connection, asset_keys: Iterable[str], run_id: str) -> None:
    """Note, before the work starts, that these assets are being built: a killed process then leaves a trace."""
    with connection, connection.cursor() as cursor:
        for key in sorted(asset_keys):
            cursor.execute(
                "insert into data_platform.asset_status (asset_key, status, run_id, started_at)"
                " values (%s, 'building', %s, now())"
                " on conflict (asset_key) do update set status = 'building', run_id = excluded.run_id,"
                " started_at = excluded.started_at, finished_at = null",
                (key, run_id),
            )


def record(connection: Connection, run_id: str, assets: Sequence[AssetResult], checks: Sequence[CheckResult]) -> None:
    """Store the results of one step in one transaction."""
    with connection, connection.cursor() as cursor:
        for asset in sorted(assets, key=lambda item: item.asset_key):
            cursor.execute(
                "insert into data_platform.asset_status as s (asset_key, status, run_id, started_at, finished_at,"
                " last_ok_at, rows, reason, failing_since, built_from, checked_arrival)"
                " values (%(key)s, %(status)s, %(run)s, now(), now(), case when %(ok)s then now() end, %(rows)s,"
                " %(reason)s, case when not %(ok)s then now() end, %(built_from)s, %(arrival)s)"
                " on conflict (asset_key) do update set status = excluded.status, run_id = excluded.run_id,"
                " finished_at = now(), reason = excluded.reason,"
                " last_ok_at = coalesce(excluded.last_ok_at, s.last_ok_at),"
                " rows = case when %(ok)s then excluded.rows else s.rows end,"
                " failing_since = case when %(ok)s then null else coalesce(s.failing_since, now()) end,"
                " built_from = excluded.built_from,"
                " checked_arrival = coalesce(excluded.checked_arrival, s.checked_arrival)",
                {
                    "key": asset.asset_key,
                    "status": "ok" if asset.ok else "failed",
                    "run": run_id,
                    "ok": asset.ok,
                    "rows": asset.rows,
                    "reason": asset.reason,
                    "built_from": asset.built_from,
                    "arrival": asset.checked_arrival,
                },
            )
        for check in sorted(checks, key=lambda item: (item.asset_key, item.check_name)):
            cursor.execute(
                "insert into data_platform.check_status (asset_key, check_name, passed, severity, blocking, message,"
                " metadata, run_id, checked_at) values (%s, %s, %s, %s, %s, %s, %s, %s, now())"
                " on conflict (asset_key, check_name) do update set passed = excluded.passed,"
                " severity = excluded.severity, blocking = excluded.blocking, message = excluded.message,"
                " metadata = excluded.metadata, run_id = excluded.run_id, checked_at = excluded.checked_at",
                (
                    check.asset_key,
                    check.check_name,
                    check.passed,
                    check.severity,
                    check.severity == "error",
                    check.message,
                    json.dumps(check.metadata, default=str),
                    run_id,
                ),
            )


def alert_on(connection: Connection, run_id: str, assets: Sequence[AssetResult], checks: Sequence[CheckResult]) -> None:
    """Raise an alert for each asset that failed and each check that blocks; close those that are in order again."""
    for asset in assets:
        if not asset.ok and asset.reason != NOT_REACHED:
            raise_alert(
                connection,
                severity="error",
                kind="asset_failed",
                subject=asset.asset_key,
                message=f"{asset.asset_key} failed: {(asset.reason or '').strip()}",
                remedy=f"Mend the cause, then: lakehouse run --select '{asset.asset_key}+'",
                run_id=run_id,
            )
    for check in checks:
        if not check.passed and check.severity == "error":
            raise_alert(
                connection,
                severity="error",
                kind="check_failed",
                subject=f"{check.asset_key}:{check.check_name}",
                message=f"{check.asset_key}: check {check.check_name} failed, what follows is held up. {check.message}",
                remedy=f"Mend the data or the model, then: lakehouse run --select '{check.asset_key}+'",
                run_id=run_id,
            )
    resolve_alerts(connection, kind="asset_failed", subjects=[asset.asset_key for asset in assets if asset.ok])
    passed = [f"{check.asset_key}:{check.check_name}" for check in checks if check.passed]
    resolve_alerts(connection, kind="check_failed", subjects=passed)


def forget_others(connection: Connection, asset_keys: Iterable[str], check_names: Iterable[str]) -> None:
    """Drop what is stored about assets and checks (``asset:check``) that exist no more, so nothing of them lingers."""
    with connection, connection.cursor() as cursor:
        cursor.execute("delete from data_platform.asset_status where not asset_key = any(%s)", (sorted(asset_keys),))
        cursor.execute(
            "delete from data_platform.check_status where not (asset_key || ':' || check_name) = any(%s)",
            (sorted(check_names),),
        )


def building_runs(connection: Connection) -> list[str]:
    """Ids of the runs that say they are building something."""
    with connection, connection.cursor() as cursor:
        cursor.execute("select distinct run_id from data_platform.asset_status where status = 'building'")
        return [row[0] for row in cursor.fetchall()]


def building_run(connection: Connection, asset_key: str) -> str | None:
    """Id of the run that says it is building this asset; None where none does."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select run_id from data_platform.asset_status where asset_key = %s and status = 'building'", (asset_key,)
        )
        row = cursor.fetchone()
        return row[0] if row else None


def release_interrupted(connection: Connection, run_id: str, reason: str) -> list[str]:
    """Turn what a dead run left as "building" into failed, with a reason; return the asset keys."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "update data_platform.asset_status set status = 'failed', reason = %s, finished_at = now(),"
            " failing_since = coalesce(failing_since, now())"
            " where run_id = %s and status = 'building' returning asset_key",
            (reason, run_id),
        )
        return [row[0] for row in cursor.fetchall()]


def blockers(connection: Connection, upstream: Iterable[str], *, run_id: str) -> list[Blocker]:
    """What the stored results say against building on these assets (design decision 9).

    An asset that was never built is not a blocker: dbt names the missing relation itself. An asset that this very run
    is building is not one either.

    Args:
        connection: to the state database.
        upstream: asset keys above the ones to be built.
        run_id: the asking run.
    """
    keys = sorted(set(upstream))
    found: list[Blocker] = []
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select asset_key, status, reason, coalesce(failing_since, started_at) from data_platform.asset_status"
            " where asset_key = any(%s) and status <> 'ok' and not (status = 'building' and run_id = %s)"
            " order by asset_key",
            (keys, run_id),
        )
        for key, status, reason, since in cursor.fetchall():
            first = (reason or "").strip().split("\n")[0]
            what = f"failed: {first}" if status == "failed" else "its last build has not finished"
            found.append(Blocker(key, what, since))
        cursor.execute(
            "select asset_key, check_name, message, checked_at from data_platform.check_status"
            " where asset_key = any(%s) and blocking and not passed order by asset_key, check_name",
            (keys,),
        )
        for key, name, message, since in cursor.fetchall():
            found.append(Blocker(key, f"check {name} failed: {message}", since))
    return found


def checked_through(connection: Connection, asset_keys: Sequence[str]) -> int:
    """Up to which arrival sequence the blocking checks of all these staging assets have passed; 0 if never."""
    if not asset_keys:
        return 0
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select count(*), min(checked_arrival) from data_platform.asset_status"
            " where asset_key = any(%s) and checked_arrival is not null",
            (list(asset_keys),),
        )
        known, lowest = cursor.fetchone() or (0, None)
        return int(lowest) if known == len(asset_keys) else 0


def built_from(connection: Connection, asset_keys: Iterable[str]) -> dict[str, str]:
    """Asset key → digest of what its present, good build was made from; assets without one are left out."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select asset_key, built_from from data_platform.asset_status"
            " where asset_key = any(%s) and status = 'ok' and built_from is not null",
            (sorted(asset_keys),),
        )
        return dict(cursor.fetchall())


def rows_of(connection: Connection, asset_keys: Iterable[str]) -> dict[str, int]:
    """Asset key → rows of its present, good build, where they are known."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select asset_key, rows from data_platform.asset_status where asset_key = any(%s) and rows is not null",
            (sorted(asset_keys),),
        )
        return dict(cursor.fetchall())


def forget_inputs(connection: Connection, asset_keys: Iterable[str]) -> None:
    """Forget what assets were built from: the next run does not take them for up to date."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "update data_platform.asset_status set built_from = null where asset_key = any(%s)", (sorted(asset_keys),)
        )


def stored_checks(connection: Connection, asset_keys: Iterable[str]) -> list[CheckResult]:
    """The latest results of all checks of these assets."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select asset_key, check_name, passed, severity, message, metadata from data_platform.check_status"
            " where asset_key = any(%s) order by asset_key, check_name",
            (sorted(asset_keys),),
        )
        return [CheckResult(*row) for row in cursor.fetchall()]


def raise_alert(
    connection: Connection,
    *,
    severity: str,
    kind: str,
    subject: str,
    message: str,
    remedy: str = "",
    run_id: str | None = None,
    details: dict[str, Any] | None = None,
) -> bool:
    """Write an alert unless the same one (kind, subject) is open already; return whether it was new."""
    with connection, connection.cursor() as cursor:
        alert = alerts.Alert(severity, kind, subject, message, remedy, details=details or {})
        return bool(alerts.raise_all(cursor, [alert], run_id))


def resolve_alerts(connection: Connection, *, kind: str, subjects: Sequence[str]) -> int:
    """Close open alerts of this kind about these subjects; return how many."""
    with connection, connection.cursor() as cursor:
        return alerts.resolve(cursor, kind, subjects)
