"""The outbox: the table ``data_platform.lineage_outbox``, in which every event is before anybody delivers it.

What belongs here: putting events in, reading them back, and which runs are mapped. What does not: making events
(:mod:`lineage.events`), delivering them (:mod:`lineage.drainer`) or forgetting them (:mod:`lineage.retention`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from lakehouse.errors import DataError
from lineage.outgoing import Outgoing

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

Status = Literal["pending", "delivered", "dead"]
PAGE = 200
"""Events read at once: memory does not grow with the table."""


@dataclass(frozen=True)
class StoredEvent:
    """One row of the outbox.

    Attributes:
        event_id: position; a higher one was put later.
        key, order_key, kind, type, job, event_time, body: as put (:class:`lineage.outgoing.Outgoing`).
        status: ``pending``, ``delivered`` or ``dead`` (refused by the lineage server).
        attempts: deliveries tried.
        last_status: HTTP status of the last answer; None where none came.
        last_error: why it was not delivered.
        created_at, delivered_at: by the database's clock.
    """

    event_id: int
    key: str
    order_key: str
    kind: str
    type: str
    job: str
    event_time: datetime
    body: dict[str, Any]
    status: Status
    attempts: int
    last_status: int | None
    last_error: str | None
    created_at: datetime
    delivered_at: datetime | None


def put(connection: Connection, events: Sequence[Outgoing], *, run_id: str | None) -> int:
    """Store events, and that this run is mapped, in one transaction of its own.

    An event whose key is known already changes nothing.

    Args:
        connection: to the state database, with no transaction open.
        events: in the order of delivery.
        run_id: the Dagster run that they tell of; None for metadata.

    Returns:
        How many were new.

    Raises:
        DataError: Postgres cannot hold one of them; it is named, and none is stored.
    """
    import psycopg2

    bodies = [_text(event) for event in events]
    with connection, connection.cursor() as cursor:
        # Positions are drawn before they are committed: without this, a later event of the same order key could be
        # seen, and delivered, before an earlier one.
        for order_key in sorted({event.order_key for event in events}):
            cursor.execute("select pg_advisory_xact_lock(hashtextextended(%s, 1))", (f"lineage put {order_key}",))
        new = 0
        for event, body in zip(events, bodies, strict=True):
            try:
                cursor.execute(
                    "insert into data_platform.lineage_outbox (event_key, order_key, kind, type, job, event_time, body)"
                    " values (%s, %s, %s, %s, %s, %s, %s) on conflict (event_key) do nothing",
                    (event.key, event.order_key, event.kind, event.type, event.job, event.event_time, body),
                )
            except (psycopg2.DataError, psycopg2.IntegrityError, psycopg2.errors.ProgramLimitExceeded) as error:
                raise _unfit(event, str(error).split("\n")[0]) from error
            except ValueError as error:  # psycopg2's own, for NUL in a string
                raise _unfit(event, str(error)) from error
            new += cursor.rowcount
        if run_id is not None:
            cursor.execute(
                "insert into data_platform.lineage_runs as r (run_id, events) values (%s, %s) on conflict (run_id)"
                " do update set events = r.events + excluded.events, mapped_at = now() where excluded.events > 0",
                (run_id, new),
            )
    return new


def mapped(connection: Connection, run_ids: Iterable[str]) -> set[str]:
    """Those of these runs whose events are in the outbox (or were, until they were forgotten)."""
    with connection, connection.cursor() as cursor:
        cursor.execute("select run_id from data_platform.lineage_runs where run_id = any(%s)", (sorted(run_ids),))
        return {row[0] for row in cursor.fetchall()}


def events(
    connection: Connection,
    *,
    order_keys: Sequence[str] | None = None,
    jobs: Sequence[str] | None = None,
    kinds: Sequence[str] | None = None,
    status: Status | None = None,
    since: datetime | None = None,
    after: int = 0,
    page: int = PAGE,
) -> Iterator[StoredEvent]:
    """Events in the order they were put, a page at a time; each page is a transaction of its own.

    Args:
        connection: to the state database; it may be used for other things between two events.
        order_keys: only those of these runs (or ``sync``).
        jobs: only those of these jobs.
        kinds: only ``run``, ``job`` or ``dataset`` events.
        status: only those in this state.
        since: only those put at or after this moment (aware).
        after: only those after this position.
        page: how many are held in memory.
    """
    conditions, values = ["event_id > %(after)s"], {"after": after, "page": page}
    for column, test, value in (
        ("order_key", "= any(%(order_key)s)", None if order_keys is None else list(order_keys)),
        ("job", "= any(%(job)s)", None if jobs is None else list(jobs)),
        ("kind", "= any(%(kind)s)", None if kinds is None else list(kinds)),
        ("status", "= %(status)s", status),
        ("created_at", ">= %(created_at)s", since),
    ):
        if value is not None:
            conditions.append(f"{column} {test}")
            values[column] = value  # type: ignore[assignment]  # one dictionary for values of any type
    query = (
        "select event_id, event_key, order_key, kind, type, job, event_time, body, status, attempts, last_status,"
        " last_error, created_at, delivered_at from data_platform.lineage_outbox"
        f" where {' and '.join(conditions)} order by event_id limit %(page)s"
    )
    while True:
        with connection, connection.cursor() as cursor:
            cursor.execute(query, values)
            rows = cursor.fetchall()
        for row in rows:
            yield StoredEvent(*row)
        if len(rows) < page:
            return
        values["after"] = rows[-1][0]


def _text(event: Outgoing) -> str:
    try:
        return json.dumps(event.body, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise _unfit(event, str(error)) from error


def _unfit(event: Outgoing, why: str) -> DataError:
    return DataError(
        f"Lineage event {event.key} of job {event.job or '(none)'} cannot be stored: {why}",
        remedy="Nothing of its run was stored. Events are checked before they come here: this one should have been "
        "mended or refused there.",
    )
