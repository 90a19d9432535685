"""What lineage was told last of every job and dataset: as much of the outbox as describes the present, and no more.

What belongs here: finding those events by the outbox's indices. What does not: making a graph of them
(:mod:`lineage.reduce`). The outbox may hold a month of runs every minute; the present is a few events per job.
"""

from collections.abc import Iterator
from typing import Any

from psycopg2.extensions import connection as Connection

from lineage.graph import Graph
from lineage.reduce import reduce

# Every job once: the next higher name is looked up in the index, rather than all of it read.
JOBS = """
    with recursive jobs as (
        (select job from data_platform.lineage_outbox order by job limit 1)
        union all
        select (select o.job from data_platform.lineage_outbox o where o.job > jobs.job order by o.job limit 1)
        from jobs where jobs.job is not null
    )
    select job from jobs where job is not null and job <> ''
"""
LAST_RUNS = f"""
    with jobs as ({JOBS}), last as (
        select jobs.job, ended.order_key from jobs cross join lateral (
            (select o.order_key from data_platform.lineage_outbox o where o.job = jobs.job and o.kind = 'run'
                and o.type in ('COMPLETE', 'FAIL', 'ABORT') order by o.event_id desc limit 1)
            union
            (select o.order_key from data_platform.lineage_outbox o where o.job = jobs.job and o.kind = 'run'
                and o.type = 'COMPLETE' order by o.event_id desc limit 1)
        ) ended
    )
    select o.event_id, o.body from last join data_platform.lineage_outbox o using (order_key, job)
    where o.kind = 'run'
"""
METADATA = """
    select event_id, body from (
        select distinct on (kind, job, body->'dataset'->>'namespace', body->'dataset'->>'name') event_id, body
        from data_platform.lineage_outbox where order_key = 'sync' and kind <> 'run'
        order by kind, job, body->'dataset'->>'namespace', body->'dataset'->>'name', event_id desc
    ) newest
"""


def told(connection: Connection) -> Graph:
    """The graph as lineage knows it now, without its history."""
    return reduce(_bodies(connection))


def told_of_version(connection: Connection, version: str) -> bool:
    """Whether a metadata sync has told of this version of the catalog."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select exists(select from data_platform.lineage_outbox"
            " where order_key = 'sync' and event_key like %s limit 1)",
            (f"%/sync/{version}/%",),
        )
        return bool((cursor.fetchone() or (False,))[0])


def _bodies(connection: Connection) -> Iterator[dict[str, Any]]:
    with connection, connection.cursor() as cursor:
        cursor.execute(f"{LAST_RUNS} union all {METADATA} order by 1")
        for _, body in cursor:
            yield body
