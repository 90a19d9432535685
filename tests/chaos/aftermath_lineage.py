"""What lineage was told after the chaos: every ended run once and whole, whoever died between its end and the outbox.

What belongs here: that, read from the tables alone. What does not: delivery, which ``tests/lineage/delivery`` kills.
"""

from __future__ import annotations

from arena import Arena

from orchestration.lineage.mapping import ALERT

UNMAPPED = """
select run_id, coalesce(m.error, 'it has no mark') from runs left join data_platform.lineage_runs m using (run_id)
where status in ('SUCCESS', 'FAILURE', 'CANCELED') and (m.run_id is null or m.error is not null)
"""
"""Ended runs that were not mapped, and why."""
ABOUT_ASSETS = """
select r.run_id, r.status from runs r
where status in ('SUCCESS', 'FAILURE', 'CANCELED') and exists (
    select from event_logs e where e.run_id = r.run_id and dagster_event_type =
        case status when 'SUCCESS' then 'ASSET_MATERIALIZATION' else 'ASSET_MATERIALIZATION_PLANNED' end
)
"""
"""Runs that have something to tell: that built an asset, or did not although they were to."""
WRONG_PARENT = f"""
select a.run_id, a.status, told from ({ABOUT_ASSETS}) a left join lateral (
    select array_agg(type order by event_id) as told, array_agg(event_time order by event_id) as times,
        min(event_id) as first, max(event_id) as last
    from data_platform.lineage_outbox
    where order_key = a.run_id and kind = 'run' and body #>> '{{run,runId}}' = a.run_id
) parent on true
where cardinality(told) is distinct from 2 or told[1] <> 'START' or times[1] > times[2]
    or (told[2] = 'COMPLETE') <> (a.status = 'SUCCESS') or told[2] not in ('COMPLETE', 'FAIL', 'ABORT')
    or exists (
        select from data_platform.lineage_outbox o
        where order_key = a.run_id and kind = 'run' and (o.event_id < first or o.event_id > last)
    )
"""
"""Runs whose own START and end are not there once, around everything else, with the end that the run had."""
WRONG_CHILD = """
select order_key, job, array_agg(type order by event_id) from data_platform.lineage_outbox
where kind = 'run' and order_key not in (body #>> '{run,runId}', 'sync')
group by order_key, job, body #>> '{run,runId}'
having count(*) <> 2 or (array_agg(type order by event_id))[1] <> 'START' or min(type) = 'START'
    or (array_agg(event_time order by event_id))[1] > (array_agg(event_time order by event_id))[2]
"""
"""Attempts at an asset without exactly one START and then one end."""
WRONG_COUNT = """
select run_id, events, count(event_id) from data_platform.lineage_runs
left join data_platform.lineage_outbox on order_key = run_id group by run_id, events having events <> count(event_id)
"""
"""Runs of which more (or fewer) events are stored than their one mapping put."""
STRANGERS = """
select distinct order_key from data_platform.lineage_outbox where kind = 'run' and order_key <> 'sync'
    and order_key not in (select run_id from runs where status in ('SUCCESS', 'FAILURE', 'CANCELED'))
"""
"""Told of although it has not ended, or not even been."""


def badly_told(arena: Arena) -> list[str]:
    """Ended runs that lineage does not know of, or knows otherwise than they were.

    A run that has just ended is among them until it is mapped, which happens by itself within a minute.
    """
    found = [f"run {run} is not mapped: {why}" for run, why in arena.ask(UNMAPPED)]
    found += [f"run {run} ended with {status}, told: {told}" for run, status, told in arena.ask(WRONG_PARENT)]
    found += [f"run {run}, job {job}, told: {told}" for run, job, told in arena.ask(WRONG_CHILD)]
    found += [
        f"run {run} was mapped to {put} events, {stored} are stored" for run, put, stored in arena.ask(WRONG_COUNT)
    ]
    found += [f"run {run} is told and has not ended" for (run,) in arena.ask(STRANGERS)]
    alerts = "select subject, message from data_platform.alert_history where kind = %s and resolved_at is null"
    return found + [f"alert about {subject}: {message}" for subject, message in arena.ask(alerts, ALERT)]


def told(arena: Arena) -> tuple[int, int]:
    """How many runs had something to tell, and how many events were told of them."""
    [(runs,)] = arena.ask(f"select count(*) from ({ABOUT_ASSETS}) a")
    [(events,)] = arena.ask("select count(*) from data_platform.lineage_outbox where kind = 'run'")
    return runs, events
