"""The newest run of each job is what arrives last: what a late delivery put out of place is delivered again.

What belongs here: finding the jobs whose ends arrived in another order than they happened. What does not: delivering.

For Marquez the end that arrives last decides over a job's edges, state and its outputs' current version, whatever its
time (measured, docs/lineage/marquez.md). Runs are delivered side by side and one may be held up, so an older run's end
may come after a newer one's. Delivering the newest run's events of that job once more puts everything right. Only good
ends move a current version: where the newest run failed, the newest good one has to come last of the good ones too.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

RECENT = 200
"""Ends of a job among which its newest is looked for: runs are mapped in the order they ended, give or take a few."""
ENDS = "kind = 'run' and type in ('COMPLETE', 'FAIL', 'ABORT') and status = 'delivered'"
AGAIN = f"""
    with wanted as (
        select job, good from unnest(%(jobs)s) as named (job), (values (false), (true)) as kinds (good)
    ), overtaken as (
        select distinct wanted.job, newest.order_key
        from wanted, lateral (
            select * from (
                select event_id, order_key, event_time, delivered_at from data_platform.lineage_outbox
                where job = wanted.job and {ENDS} and (type = 'COMPLETE' or not wanted.good)
                order by event_id desc limit %(recent)s
            ) recent
            order by event_time desc, event_id desc limit 1
        ) newest
        where exists (
            select 1 from data_platform.lineage_outbox o
            where o.job = wanted.job and {ENDS.replace("kind", "o.kind").replace("type", "o.type")}
            and (o.type = 'COMPLETE' or not wanted.good)
            and o.delivered_at >= newest.delivered_at and o.order_key <> newest.order_key
        ) and not exists (
            select 1 from data_platform.lineage_outbox o where o.job = wanted.job and o.status = 'pending'
        )
    )
    update data_platform.lineage_outbox o
    set status = 'pending', attempts = 0, next_attempt_at = now(), delivered_at = null, created_at = now()
    from overtaken
    where o.order_key = overtaken.order_key and o.job = overtaken.job and o.kind = 'run' and o.status = 'delivered'
    returning o.event_id
"""
"""Equal times of delivery were noted in one statement: which came first is not known, so it counts as out of order.
While events of a job are pending nothing is said yet: who delivers the last of them asks again. So a failed run that
was delivered beside the good one before it comes once more after it."""

LATELY = "1 day"


def lately_delivered(connection: Connection) -> set[str]:
    """Jobs of which ends were delivered within the last day: a drainer that ended may not have asked about them.

    Args:
        connection: to the state database, in autocommit.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "select distinct job from data_platform.lineage_outbox"
            f" where {ENDS} and delivered_at > now() - interval '{LATELY}'"
        )
        return {row[0] for row in cursor.fetchall()}


def put_right(connection: Connection, jobs: Collection[str]) -> int:
    """Have the newest run of these jobs delivered again where an older one arrived after it.

    Args:
        connection: to the state database, in autocommit.
        jobs: names of jobs of which events were delivered or given up.

    Returns:
        How many events became pending.
    """
    if not jobs:
        return 0
    with connection.cursor() as cursor:
        cursor.execute(AGAIN, {"jobs": sorted(jobs), "recent": RECENT})
        return len(cursor.fetchall())
