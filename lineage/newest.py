"""The events that the graph needs out of an outbox of any size, and the graph of them.

What belongs here: which events those are. What does not: reducing them (:mod:`lineage.reduce`).

Of each job: all events of the runs that its newest events belong to, and of its last good run (it holds the current
version of what the job writes). Of each dataset: its newest dataset event. So the cost grows with the number of jobs,
and not with that of runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lineage.graph import Graph

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

RUNS = 10
"""Runs of each job that a graph knows, at least (two events each)."""

_QUERY = """
with recursive jobs(job) as (
    (select job from data_platform.lineage_outbox where job > '' order by job limit 1)
    union all
    select (select o.job from data_platform.lineage_outbox o where o.job > jobs.job order by o.job limit 1)
    from jobs where jobs.job is not null
), newest as (
    select jobs.job, found.event_id, found.order_key
    from jobs cross join lateral (
        select event_id, order_key from data_platform.lineage_outbox o
        where o.job = jobs.job order by event_id desc limit %(events)s
    ) found
), whole as (
    -- runs of which all events are needed: the oldest of the newest may be cut, the last good one may be older
    (select distinct on (job) job, order_key from newest order by job, event_id)
    union
    select jobs.job, good.order_key
    from jobs cross join lateral (
        select order_key from data_platform.lineage_outbox o
        where o.job = jobs.job and o.type = 'COMPLETE' order by event_id desc limit 1
    ) good
)
select o.body from data_platform.lineage_outbox o
where o.event_id in (
    select event_id from newest
    union all
    select found.event_id from whole cross join lateral (
        select event_id from data_platform.lineage_outbox e
        where e.job = whole.job and e.order_key = whole.order_key offset 0 -- keeps the planner from reading all
    ) found
    union all
    select max(event_id) from data_platform.lineage_outbox
    where job = '' and kind = 'dataset' -- a dataset event has no job
    group by body -> 'dataset' ->> 'namespace', body -> 'dataset' ->> 'name'
)
order by o.event_id
"""


def newest_bodies(connection: Connection, *, runs: int = RUNS) -> Iterator[dict[str, Any]]:
    """Bodies of the events that the graph needs, in the order they were put.

    Args:
        connection: to the state database, with no transaction open.
        runs: of each job.
    """
    with connection, connection.cursor("lineage_newest") as cursor:
        cursor.itersize = 200
        cursor.execute(_QUERY, {"events": 2 * runs})
        for (body,) in cursor:
            yield body


def outbox_graph(connection: Connection, *, runs: int = RUNS) -> Graph:
    """The graph after the newest events of the outbox; empty where there are none.

    Args:
        connection: to the state database, with no transaction open.
        runs: of each job.
    """
    from lineage.reduce import reduce

    return reduce(newest_bodies(connection, runs=runs))
