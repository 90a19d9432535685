"""What the drainer asks of the outbox: runs to deliver, their events, and where to note what came of them.

What belongs here: the statements, on one connection in autocommit. What does not: sending, and when to try again.

A run (an order key) is claimed by an advisory lock of the session: two drainers never deliver the same run, and what a
killed one held is free as soon as Postgres has noticed.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lineage.outgoing import SYNC
from lineage.transport import Answer, Outcome

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

PAGE_EVENTS = 32
PAGE_BYTES = 1_000_000
"""Of one run in memory at once, as Postgres stores them (JSON is compressed about tenfold); one event at least."""

UNANSWERED = "no answer: "
"""How the error of an event begins that may have been stored all the same, and may even arrive yet."""
CONFIRM_WITHIN = "1 day"
CONFIRM = f"""
    with doubtful as (
        select event_id, order_key from data_platform.lineage_outbox
        where status = 'delivered' and last_error like '{UNANSWERED}%%'
        and delivered_at between now() - interval '{CONFIRM_WITHIN}' and now() - %(after)s * interval '1 second'
    ), touched as (
        select o.event_id, o.type in ('COMPLETE', 'FAIL', 'ABORT') as ends,
            o.event_id in (select event_id from doubtful) as settled
        from (select order_key, min(event_id) as event_id from doubtful group by order_key) first
        join data_platform.lineage_outbox o on o.order_key = first.order_key and o.event_id >= first.event_id
    )
    update data_platform.lineage_outbox o set
        last_error = case when not t.settled then o.last_error end,
        status = case when t.ends then 'pending' else o.status end,
        delivered_at = case when not t.ends then o.delivered_at end,
        created_at = case when t.ends then now() else o.created_at end,
        next_attempt_at = case when t.ends then now() else o.next_attempt_at end
    from touched t where o.event_id = t.event_id and (t.ends or t.settled) and o.status = 'delivered'
    returning o.status
"""
"""Each row once: of two changes to one row in one statement Postgres keeps one. A doubt too fresh to be settled stays
with its event, also where that is sent again."""
LOCK = "hashtextextended('lakehouse lineage ' || order_key, 0)"
CANDIDATES = """
    select order_key from (
        select distinct on (order_key) order_key, event_id, next_attempt_at from data_platform.lineage_outbox
        where status = 'pending' order by order_key, event_id
    ) heads where next_attempt_at <= now() and not order_key = any(%(held)s) and (
        order_key <> %(sync)s or not exists (
            select 1 from data_platform.lineage_outbox older
            where older.status = 'pending' and older.event_id < heads.event_id
        )
    ) order by event_id limit %(limit)s
"""
"""Metadata describes what runs have made: told before those runs it would make versions of its own (measured)."""
PAGES = f"""
    select wanted.order_key, e.event_id, e.event_key, e.job, e.attempts, e.doubt, e.due, o.body::text
    from unnest(%(keys)s) with ordinality as wanted (order_key, place), lateral (
        select event_id, event_key, job, attempts, next_attempt_at <= now() as due,
            case when last_error like '{UNANSWERED}%%' then last_error end as doubt,
            sum(pg_column_size(body)) over (order by event_id) - pg_column_size(body) as before
        from (
            select * from data_platform.lineage_outbox
            where order_key = wanted.order_key and status = 'pending' and (
                order_key <> %(sync)s or event_id < (
                    select coalesce(min(event_id), 9223372036854775807) from (
                        select event_id from data_platform.lineage_outbox
                        where status = 'pending' and order_key <> %(sync)s offset 0
                    ) runs
                )
            ) order by event_id limit %(events)s
        ) page
    ) e join data_platform.lineage_outbox o using (event_id)
    where e.before < %(bytes)s order by wanted.place, e.event_id
"""
"""Metadata up to the oldest waiting event of a run. ``offset 0``: else Postgres looks for the lowest position along the
primary key, past everything that was delivered."""
REPLAYS = "hashtextextended('lakehouse lineage replay', 1)"
"""Held by who makes delivered events wait again, shared by who notes answers: neither works on what the other has not
committed yet, or an event would be noted as delivered while the one before it is made to wait."""
RECORD = f"""
    select pg_advisory_xact_lock_shared({REPLAYS});
    with noted as (
        select v.*, v.status = 'delivered' and exists (
            select 1 from data_platform.lineage_outbox earlier
            where earlier.order_key = v.order_key and earlier.status = 'pending' and earlier.event_id < v.event_id
            and earlier.event_id <> all(%(ids)s)
        ) as overtaken
        from unnest(
            %(ids)s, %(order_keys)s, %(statuses)s, %(answered)s, %(codes)s::int[], %(errors)s::text[],
            %(delays)s::float[]
        ) as v (event_id, order_key, status, answered, code, error, delay)
    )
    update data_platform.lineage_outbox o set status = case when n.overtaken then 'pending' else n.status end,
        attempts = o.attempts + n.answered, last_status = n.code, last_error = n.error,
        delivered_at = case when n.status = 'delivered' and not n.overtaken then now() end,
        next_attempt_at = now() + n.delay * interval '1 second'
    from noted n where o.event_id = n.event_id and o.status = 'pending' returning o.event_id
"""
FOLLOWING = f"""
    select pg_advisory_xact_lock({REPLAYS});
    update data_platform.lineage_outbox set status = 'pending', delivered_at = null
    where order_key = %s and event_id > %s and status = 'delivered'
"""
"""Two statements in one transaction each: the second sees what was committed while the first waited."""


@dataclass(frozen=True)
class Pending:
    """An event to deliver.

    Attributes:
        event_id: its position.
        key: its unique key.
        job: its job.
        attempts: how often the server has answered for it.
        doubt: why an earlier attempt may arrive yet; None where none may.
        body: JSON.
    """

    event_id: int
    key: str
    job: str
    attempts: int
    doubt: str | None
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Lane:
    """The next events of one run, in order; claimed by this drainer."""

    order_key: str
    events: tuple[Pending, ...]


@dataclass(frozen=True)
class Result:
    """What is to be noted about an event.

    Attributes:
        order_key, event: which.
        answer: what came of the attempt.
        status: ``delivered``, ``dead`` or still ``pending``.
        answered: how many attempts it counts as: how often the server said something about this event.
        delay: seconds until it may be tried again.
    """

    order_key: str
    event: Pending
    answer: Answer
    status: str
    answered: int
    delay: float = 0.0

    @property
    def error(self) -> str | None:
        """What is noted as the error; a delivered event keeps its doubt until it is confirmed."""
        if self.status == "delivered":
            return self.event.doubt
        if self.answer.outcome is Outcome.UNANSWERED:
            return UNANSWERED + self.answer.error
        if self.status == "dead":
            return self.answer.error or None
        return self.event.doubt or self.answer.error or None


class Claims:
    """The outbox as one drainer sees it.

    Args:
        connection: of its own, in autocommit; claims live as long as it does.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        with connection.cursor() as cursor:
            # A host that vanishes must not hold its claims for the two hours that Linux grants by default.
            for name, value in (("idle", 30), ("interval", 10), ("count", 3)):
                cursor.execute(f"set tcp_keepalives_{name} = {value}")

    def candidates(self, held: Collection[str], limit: int) -> list[str]:
        """Runs whose next event is due, oldest first; metadata only when nothing older is pending.

        Args:
            held: runs that are claimed already.
            limit: how many at most.
        """
        with self._connection.cursor() as cursor:
            cursor.execute(CANDIDATES, {"held": list(held), "limit": limit, "sync": SYNC})
            return [row[0] for row in cursor.fetchall()]

    def claim(self, order_keys: Sequence[str]) -> list[Lane]:
        """Claim those of these runs that no other drainer holds, with their next events."""
        with self._connection.cursor() as cursor:
            cursor.execute(
                "select order_key from unnest(%s) with ordinality as wanted (order_key, place)"
                f" where pg_try_advisory_lock({LOCK}) order by place",
                (list(order_keys),),
            )
            ours = [row[0] for row in cursor.fetchall()]
        return self.go_on(ours)

    def go_on(self, order_keys: Sequence[str]) -> list[Lane]:
        """The next events of runs that are claimed; a run that has none due is released.

        So is metadata before which an event of a run waits.
        """
        if not order_keys:
            return []
        found: dict[str, list[Pending]] = {}
        waiting: set[str] = set()
        with self._connection.cursor() as cursor:
            cursor.execute(PAGES, {"keys": list(order_keys), "sync": SYNC, "events": PAGE_EVENTS, "bytes": PAGE_BYTES})
            for order_key, event_id, key, job, attempts, doubt, due, body in cursor:
                if order_key not in found and not due:
                    waiting.add(order_key)
                if order_key not in waiting:
                    found.setdefault(order_key, []).append(Pending(event_id, key, job, attempts, doubt, body.encode()))
        self.release([key for key in order_keys if key not in found])
        return [Lane(key, tuple(events)) for key, events in found.items()]

    def release(self, order_keys: Sequence[str]) -> None:
        """Let others have these runs."""
        if not order_keys:
            return
        with self._connection.cursor() as cursor:
            cursor.execute(
                f"select pg_advisory_unlock({LOCK}) from unnest(%s) as held (order_key)",
                (list(order_keys),),
            )

    def record(self, results: Sequence[Result]) -> None:
        """Note what came of attempts, in one statement.

        An event that is not pending any more was delivered by another drainer while we had lost the connection, and
        with it the claim. Ours may have arrived after what follows it: what follows is delivered again, so that the
        last event of each job is the last that arrives.

        A delivered event before which one of its run was made to wait again meanwhile (a replay, or as above) stays
        pending: it is sent once more after that one.
        """
        if not results:
            return
        with self._connection.cursor() as cursor:
            cursor.execute(
                RECORD,
                {
                    "ids": [item.event.event_id for item in results],
                    "order_keys": [item.order_key for item in results],
                    "statuses": [item.status for item in results],
                    "answered": [item.answered for item in results],
                    "codes": [item.answer.status for item in results],
                    "errors": [item.error for item in results],
                    "delays": [item.delay for item in results],
                },
            )
            noted = {row[0] for row in cursor.fetchall()}
            for item in results:
                if item.event.event_id not in noted:
                    cursor.execute(FOLLOWING, (item.order_key, item.event.event_id))

    def hasten(self, event_ids: Sequence[int]) -> None:
        """Let these events be tried again at once."""
        if not event_ids:
            return
        with self._connection.cursor() as cursor:
            cursor.execute(
                "update data_platform.lineage_outbox set next_attempt_at = now()"
                " where event_id = any(%s) and status = 'pending'",
                (list(event_ids),),
            )

    def confirm(self, after: float) -> int:
        """Settle doubts: have the ends delivered again from the first doubtful event of a run on; return how many ends.

        An attempt that got no answer may arrive after the one that did, and after the end of its job, which a server
        like Marquez then takes for running. So the end is sent once more when whatever was under way has arrived; also
        where the doubt is about the end itself. Doubts about other events are cleared without a further attempt.

        Args:
            after: seconds since the delivery.
        """
        with self._connection.cursor() as cursor:
            cursor.execute(CONFIRM, {"after": after})
            return sum(1 for (status,) in cursor.fetchall() if status == "pending")

    def anything_pending(self) -> bool:
        """Whether an event waits, due or not."""
        with self._connection.cursor() as cursor:
            cursor.execute("select exists (select 1 from data_platform.lineage_outbox where status = 'pending')")
            return bool((cursor.fetchone() or (False,))[0])
