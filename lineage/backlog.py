"""How the delivery of lineage stands: counts, the measurement, the alerts.

What belongs here: reading the outbox for people and machines. What does not: delivering (:mod:`lineage.drainer`).
"""

from __future__ import annotations

import logging
import os
import socket
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import uuid4

from lakehouse import alerts, health
from lineage import openlineage_config
from lineage.openlineage_config import Target

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from lakehouse.settings import Settings

log = logging.getLogger(__name__)

METRIC = "lineage_backlog_events"
"""Events waiting for delivery; its labels tell the age of the oldest and which drainer measured: its sign of life."""
BACKLOG, DEAD_LETTERS, REFUSED = "lineage_backlog", "lineage_dead_letters", "lineage_refused"
"""Alerts. The second is a metric, too: events that the server refused."""
METRICS = (METRIC, DEAD_LETTERS)
"""All that a drainer measures."""
OUTBOX = "outbox"
LATELY_SECONDS = 7 * 86400.0
"""A drainer that was silent for longer was taken out of service."""
REASON = "coalesce('HTTP ' || last_status || ': ', '') || coalesce(last_error, '')"
"""Why an event was not delivered, in SQL."""
NAMED_JOBS = 20
"""Jobs with dead letters that get an alert each; the rest shows in `lakehouse lineage dead-letters`."""


@dataclass(frozen=True)
class Standing:
    """The outbox at one moment.

    Attributes:
        pending, dead, delivered: events in each state.
        oldest_pending_seconds: age of the oldest that waits; None where none does.
        last_delivery: when the last was delivered; None where none ever was.
        drainer_seconds: since a drainer last told that it works; None where none ever did.
        drainer_target: where that one delivers, without secrets; None where none worked lately.
    """

    pending: int
    dead: int
    delivered: int
    oldest_pending_seconds: float | None
    last_delivery: datetime | None
    drainer_seconds: float | None
    drainer_target: str | None = None

    @property
    def recorded(self) -> int:
        """All events in the outbox."""
        return self.pending + self.dead + self.delivered


def standing(connection: Connection) -> Standing:
    """How the outbox stands."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select count(*) filter (where status = 'pending'), count(*) filter (where status = 'dead'),"
            " count(*) filter (where status = 'delivered'),"
            " extract(epoch from clock_timestamp() - min(created_at) filter (where status = 'pending'))::float,"
            " max(delivered_at) from data_platform.lineage_outbox"
        )
        pending, dead, delivered, oldest, last = cursor.fetchone() or (0, 0, 0, None, None)
        cursor.execute(
            "select extract(epoch from clock_timestamp() - measured_at)::float, labels->>'target'"
            " from data_platform.platform_health_metrics where metric = %s order by measured_at desc limit 1",
            (METRIC,),
        )
        seconds, goal = cursor.fetchone() or (None, None)
    lately = seconds is not None and seconds < LATELY_SECONDS
    return Standing(pending, dead, delivered, oldest, last, seconds, goal if lately else None)


def drainer_silence(connection: Connection, *, here: bool = False, pid: int | None = None) -> float | None:
    """Seconds since a drainer told that it works; None: it never did.

    Args:
        connection: to the state database.
        here: ask after drainers of this host only.
        pid: ask after this process of this host only.
    """
    labels = " and labels->>'host' = %(host)s" if here or pid is not None else ""
    labels += " and labels->>'pid' = %(pid)s" if pid is not None else ""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select extract(epoch from clock_timestamp() - max(measured_at))::float"
            f" from data_platform.platform_health_metrics where metric = %(metric)s{labels}",
            {"metric": METRIC, "pid": str(pid), "host": socket.gethostname()},
        )
        row = cursor.fetchone()
    return None if row is None or row[0] is None else float(row[0])


def measure(connection: Connection, target: Target) -> None:
    """Write the measurements: of dead letters, then of what waits, which is also this drainer's sign of life."""
    labels = {"pid": str(os.getpid()), "host": socket.gethostname(), "target": str(target)}
    with connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from data_platform.lineage_outbox where status = 'dead'")
        (dead,) = cursor.fetchone() or (0,)
    health.measure(connection, DEAD_LETTERS, dead, labels)
    now = waiting(connection)
    health.measure(connection, METRIC, now.events, {**labels, **now.labels})


@dataclass(frozen=True)
class Waiting:
    """What waits for delivery.

    Attributes:
        events: how many.
        oldest_seconds: age of the oldest; 0 where none waits.
    """

    events: int
    oldest_seconds: float

    @property
    def labels(self) -> dict[str, float]:
        """For the measurement."""
        return {"oldest_seconds": round(self.oldest_seconds, 1)}


def waiting(connection: Connection) -> Waiting:
    """What waits for delivery, from the index of pending events alone."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select count(*), coalesce(extract(epoch from clock_timestamp() - min(created_at)), 0)::float"
            " from data_platform.lineage_outbox where status = 'pending'"
        )
        return Waiting(*(cursor.fetchone() or (0, 0.0)))


def watch(connection: Connection, settings: Settings) -> None:
    """The alerts, for whoever looks after the platform beside the drainer, which may be down.

    Where there is no lineage server, as this process is configured, and no drainer worked lately, they are closed.
    """
    silence = drainer_silence(connection)
    if openlineage_config.target() is not None or (silence is not None and silence < LATELY_SECONDS):
        alert(connection, settings)
    else:  # nobody delivers any more, and nobody is refused
        _write(connection, [], {BACKLOG: [OUTBOX], DEAD_LETTERS: None, REFUSED: None})


def alert(connection: Connection, settings: Settings) -> None:
    """Raise what people should hear of the outbox and close what is over: a backlog that is too old, dead letters.

    Cheap enough for once a minute; a drainer calls it, and whoever looks after the platform may.
    """
    now = waiting(connection)
    limit = settings.lineage_backlog_alert_minutes
    found = []
    if now.oldest_seconds > limit * 60:
        found.append(
            alerts.Alert(
                "warning",
                BACKLOG,
                OUTBOX,
                f"Lineage events have been waiting for delivery for more than {limit:g} minutes.",
                "Look with: lakehouse lineage status. Is the lineage server up, and the drainer? Nothing is lost.",
                details={"events": now.events, "oldest_seconds": round(now.oldest_seconds)},
            )
        )
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select job, count(*), (array_agg(event_key order by event_id))[1],"
            f" (array_agg({REASON} order by event_id))[1] from data_platform.lineage_outbox"
            " where status = 'dead' group by job order by min(event_id) limit %s",
            (NAMED_JOBS,),
        )
        dead = cursor.fetchall()
    for job, count, key, reason in dead:
        found.append(
            alerts.Alert(
                "error",
                DEAD_LETTERS,
                job or "(none)",
                f"The lineage server refused events of job {job or '(none)'}, the first for: {reason}",
                "Look with: lakehouse lineage dead-letters. Mend the cause, then: lakehouse lineage replay",
                details={"events": count, "first": key},
            )
        )
    _write(connection, found, {BACKLOG: [OUTBOX], DEAD_LETTERS: None})


@dataclass(frozen=True)
class Identity:
    """Which drainer it is, for people and for other drainers.

    Attributes:
        id: of its own; not the process's, which is reused.
        began: when, by the database's clock.
        host, pid: where it runs.
    """

    id: str
    began: datetime
    host: str
    pid: int

    @classmethod
    def here(cls, connection: Connection) -> Identity:
        """One that begins now, in this process."""
        with connection, connection.cursor() as cursor:
            cursor.execute("select clock_timestamp()")
            (now,) = cursor.fetchone() or (None,)
        return cls(uuid4().hex, now, socket.gethostname(), os.getpid())


def alert_refused(connection: Connection, target: Target, drainer: Identity, why: str) -> None:
    """Raise that the server takes no events from this drainer until a setting is changed."""
    found = alerts.Alert(
        "error",
        REFUSED,
        f"{target} from {drainer.host}",
        f"The lineage server {target} takes no events from the drainer on {drainer.host}"
        f" (process {drainer.pid}): {why}",
        "Correct OPENLINEAGE_URL, OPENLINEAGE_ENDPOINT, OPENLINEAGE_API_KEY or openlineage.yml there, then restart it. "
        "Nothing is lost.",
        details={"drainer": drainer.id, "host": drainer.host, "pid": drainer.pid},
    )
    _write(connection, [found], {})


def taken(connection: Connection, drainer: Identity) -> None:
    """The server takes events from this drainer: close what it raised, and what was raised before it began.

    What another one raised since stays: that one has other settings, and would raise it again and again.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "update data_platform.alert_history set resolved_at = now() where resolved_at is null and kind = %s"
            " and (details->>'drainer' = %s or raised_at < %s)",
            (REFUSED, drainer.id, drainer.began),
        )


def _write(connection: Connection, found: list[alerts.Alert], kinds: dict[str, list[str] | None]) -> None:
    """Raise the alerts; close those of these kinds that were not found (None: whatever they are about)."""
    with connection, connection.cursor() as cursor:
        for item in found:
            if alerts.raise_all(cursor, [item], None):
                log.warning("%s", item.message)
        for kind, subjects in kinds.items():
            if subjects is None:
                cursor.execute(
                    "select distinct subject from data_platform.alert_history where resolved_at is null and kind = %s",
                    (kind,),
                )
                subjects = [row[0] for row in cursor.fetchall()]
            still = {item.subject for item in found if item.kind == kind}
            alerts.resolve(cursor, kind, [subject for subject in subjects if subject not in still])
