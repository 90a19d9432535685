"""Forgets events that are old enough, and never those that the graph is drawn from.

What belongs here: what may go, and deleting it. What does not: when (the drainer calls it every hour; where there is
none, whoever looks after the platform).

Kept for ever: of each job all events of its newest ended run and of its newest COMPLETE run, the newest metadata event
of each job and dataset; and, while there is a lineage server, what it has not taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lineage import backlog
from lineage.openlineage_config import target

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from lakehouse.settings import Settings

MARK_DAYS = 30
"""How much longer than runs and events the note is kept that a run was mapped: it must not be mapped again."""

# The run that an event is of stands in its body, which is read of as few events as possible.
KEPT = """
    create temporary table lineage_kept on commit drop as
    with newest as (
        (select distinct on (job) event_id from data_platform.lineage_outbox
            where kind = 'run' and type in ('COMPLETE', 'FAIL', 'ABORT') order by job, event_time desc, event_id desc)
        union
        (select distinct on (job) event_id from data_platform.lineage_outbox
            where kind = 'run' and type = 'COMPLETE' order by job, event_time desc, event_id desc)
    )
    select distinct o.job, o.body->'run'->>'runId' as run
    from newest join data_platform.lineage_outbox o using (event_id)
"""
OLD = """
    create temporary table lineage_old on commit drop as
    with metadata as (
        select distinct on (kind, job, body->'dataset'->>'namespace', body->'dataset'->>'name') event_id
        from data_platform.lineage_outbox where kind <> 'run'
        order by kind, job, body->'dataset'->>'namespace', body->'dataset'->>'name', event_id desc
    )
    select o.event_id from data_platform.lineage_outbox o
    where case when %(delivering)s then o.status = 'delivered' and o.delivered_at < now() - %(days)s * interval '1 day'
        else coalesce(o.delivered_at, o.created_at) < now() - %(days)s * interval '1 day' end
    and case when o.kind = 'run' then not exists (
            select from lineage_kept k where k.job = o.job and k.run is not distinct from o.body->'run'->>'runId')
        else o.event_id not in (select event_id from metadata) end
"""
DELETE = """
    delete from data_platform.lineage_outbox where event_id in (select event_id from lineage_old)
    and (status = 'delivered' or not %(delivering)s)
"""


def forget_old(connection: Connection, settings: Settings) -> int:
    """Delete events beyond ``LAKEHOUSE_LINEAGE_RETENTION_DAYS``, and marks and measurements that are older still.

    What is pending or dead goes only where there is no lineage server, as this process is configured and as far as
    anybody can see: another process may deliver with settings of its own, so a sign of life of a drainer counts too.

    Args:
        connection: to the state database, with no transaction open.
        settings: for the number of days.

    Returns:
        How many events went.

    Raises:
        ConfigError: the settings of the lineage server are wrong.
    """
    days = settings.lineage_retention_days
    silence = backlog.drainer_silence(connection)
    delivering = target() is not None or (silence is not None and silence < days * 86400)
    with connection, connection.cursor() as cursor:
        cursor.execute(KEPT)
        cursor.execute(OLD, {"days": days, "delivering": delivering})
        cursor.execute(DELETE, {"delivering": delivering})
        gone = cursor.rowcount
        cursor.execute(
            "delete from data_platform.lineage_runs where mapped_at < now() - %s * interval '1 day'",
            (max(days, settings.run_retention_days) + MARK_DAYS,),
        )
        cursor.execute(
            "delete from data_platform.platform_health_metrics"
            " where metric = any(%s) and measured_at < now() - %s * interval '1 day'",
            (list(backlog.METRICS), days),
        )
    return gone
