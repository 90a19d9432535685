"""Every ended run becomes events in the outbox, once, whoever started it and whoever asks.

What belongs here: which runs have not been mapped, in which order they are, and what happens to one that cannot be.
What does not: reading one run (:mod:`orchestration.lineage.records`), events (:mod:`lineage.events`).

Ended runs are looked through in the order they ended. How far is kept with the marks themselves, in the transaction
that stores a run's events or right after it: whoever dies in between leaves nothing half done and nothing out.
"""

import contextlib
import gc
import logging
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import psycopg2
from dagster import DagsterInstance, DagsterRunStatus, RunRecord, RunsFilter
from psycopg2.extensions import connection as Connection

from lakehouse import state
from lakehouse.errors import LakehouseError, UnavailableError
from lakehouse.failures import DiskFullError, meaning
from lakehouse.postgres.connect import connect_state
from lakehouse.settings import Settings
from lineage import outbox
from lineage.catalog import Catalog
from lineage.newest import outbox_graph
from orchestration.lineage.known import present_catalog
from orchestration.lineage.records import run_facts
from orchestration.lineage.sync import sync_if_changed
from orchestration.lineage.verdicts import stored_verdicts

log = logging.getLogger(__name__)

ENDED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
PER_CALL = 20
"""Runs mapped at a time: a backlog is worked off over several looks, and none of them holds anything up for long."""
OVERLAP = timedelta(minutes=10)
"""So far a look goes back behind the last mark: a run's end may be seen late."""
DEEP_SECONDS = 3600.0
"""This often, and first of all, a process looks at everything that is kept: clocks of machines may be further apart."""
ALERT = "lineage_not_mapped"
ALL_RUNS = "all runs"
_deep_at = float("-inf")


def map_ended_runs(instance: DagsterInstance, settings: Settings) -> int:
    """Put the events of runs that have ended into the outbox; at most 20 runs a call.

    Where nothing ended since the last look this is two small queries. While another process maps it does nothing.

    Args:
        instance: where the runs are.
        settings: the platform's settings.

    Returns:
        How many runs were looked at: mapped, or marked as not mappable.

    Raises:
        UnavailableError: the state database cannot be reached.
        psycopg2.Error: it went away meanwhile; nothing is lost, the next call goes on.
    """
    with contextlib.closing(connect_state(settings)) as connection:
        waiting = _waiting(instance, connection, settings)
        if not waiting:
            return 0
        with _alone(connection) as alone:
            if not alone:
                return 0
            return _map(instance, connection, settings, waiting)


def map_here(settings: Settings) -> int:
    """For a command that has executed runs, has told how they came out, and is about to end. Raises nothing."""
    # Or the collector looks through all that dbt and Dagster left: half a second, for memory that is given back anyway.
    gc.freeze()
    try:
        with DagsterInstance.get() as instance:
            return try_to_map(instance, settings)
    except Exception as error:  # the instance could not be opened, or closed
        log.info("Ended runs are mapped to lineage later: %s", error)
        return 0


def try_to_map(instance: DagsterInstance, settings: Settings) -> int:
    """The same for those who have other things to do: whatever goes wrong is logged, and nothing is raised."""
    try:
        return map_ended_runs(instance, settings)
    except (LakehouseError, psycopg2.OperationalError) as error:
        log.info("Ended runs are mapped to lineage later: %s", error)
    except Exception as error:
        if isinstance(meaning(error), UnavailableError | DiskFullError):
            log.info("Ended runs are mapped to lineage later: %s", error)
            return 0
        log.exception("Mapping ended runs to lineage failed; it is tried again.")
        _alert(settings, ALL_RUNS, error, None)
    return 0


def _waiting(instance: DagsterInstance, connection: Connection, settings: Settings) -> list[str]:
    """Ids of ended runs without a mark."""
    global _deep_at
    now = time.monotonic()
    since = datetime.now(UTC) - timedelta(days=settings.run_retention_days)
    if deep := now - _deep_at > DEEP_SECONDS:
        last = None
    else:
        with connection, connection.cursor() as cursor:
            cursor.execute("select max(ended_at) from data_platform.lineage_runs")
            (last,) = cursor.fetchone() or (None,)
    if last is not None:
        since = max(last.astimezone(UTC) - OVERLAP, since)
    ended = instance.get_run_ids(RunsFilter(statuses=ENDED, updated_after=since))
    known = outbox.mapped(connection, ended) if ended else set()
    waiting = [run_id for run_id in ended if run_id not in known]
    if deep and len(waiting) <= PER_CALL:
        _deep_at = now
    return waiting


@contextlib.contextmanager
def _alone(connection: Connection) -> Iterator[bool]:
    with connection, connection.cursor() as cursor:
        cursor.execute("select pg_try_advisory_lock(hashtextextended('lakehouse lineage mapping', 0))")
        (alone,) = cursor.fetchone() or (False,)
    try:
        yield bool(alone)
    finally:
        if alone:
            with contextlib.suppress(psycopg2.Error), connection, connection.cursor() as cursor:
                cursor.execute("select pg_advisory_unlock(hashtextextended('lakehouse lineage mapping', 0))")


def _map(instance: DagsterInstance, connection: Connection, settings: Settings, waiting: Sequence[str]) -> int:
    records = instance.get_run_records(
        RunsFilter(run_ids=list(waiting), statuses=ENDED), limit=PER_CALL, order_by="update_timestamp", ascending=True
    )
    done = outbox.mapped(connection, [record.dagster_run.run_id for record in records])  # by who had the lock before
    records = [record for record in records if record.dagster_run.run_id not in done]
    if not records:
        return 0
    catalog = present_catalog(connection, settings)
    for record in records:
        _map_one(instance, connection, settings, catalog, record)
    try:
        sync_if_changed(connection, settings, catalog)
    except Exception:  # what the runs did is told; the declarations are told again every six hours
        log.exception("What is declared could not be told to lineage.")
    state.resolve_alerts(connection, kind=ALERT, subjects=[ALL_RUNS])
    return len(records)


def _map_one(
    instance: DagsterInstance, connection: Connection, settings: Settings, catalog: Catalog, record: RunRecord
) -> None:
    run_id = record.dagster_run.run_id
    try:
        _put(instance, connection, settings, catalog, record)
        error = None
    except (psycopg2.OperationalError, psycopg2.InterfaceError):
        raise  # the database's trouble, not this run's
    except Exception as fault:
        if isinstance(known := meaning(fault), UnavailableError | DiskFullError):
            raise known from fault  # so is what Dagster's own storage says of it
        log.exception("Run %s cannot be mapped to lineage.", run_id)
        error = str(fault).strip() or type(fault).__name__
        _alert(settings, run_id, fault, run_id)
    _mark(connection, record, error)


def _put(
    instance: DagsterInstance, connection: Connection, settings: Settings, catalog: Catalog, record: RunRecord
) -> None:
    from lineage.checked import checked_events
    from lineage.events import run_events
    from lineage.facets.jobs import EventOptions

    facts = run_facts(instance, record, settings.page, list(catalog.jobs))
    # A run that was not about assets says nothing about data: no parent of its own either.
    events = run_events(facts, catalog, EventOptions.of(settings)) if facts.assets or facts.checked else []
    if facts.checked:
        verdicts = stored_verdicts(connection, {asset.asset_key for asset in facts.checked})
        events += checked_events(facts, catalog, outbox_graph(connection, runs=1), verdicts, EventOptions.of(settings))
    outbox.put(connection, events, run_id=facts.run_id)


def _mark(connection: Connection, record: RunRecord, error: str | None) -> None:
    """Note how far ended runs have been looked through and, with an error, that this one is not tried again."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "insert into data_platform.lineage_runs (run_id, events, ended_at, error) values (%s, 0, %s, %s)"
            " on conflict (run_id) do update set ended_at = excluded.ended_at, error = excluded.error",
            (record.dagster_run.run_id, record.update_timestamp.replace(tzinfo=UTC), error),
        )


def _alert(settings: Settings, subject: str, fault: Exception, run_id: str | None) -> None:
    with (
        contextlib.suppress(LakehouseError, psycopg2.Error),
        contextlib.closing(connect_state(settings)) as connection,
    ):
        state.raise_alert(
            connection,
            severity="warning",
            kind=ALERT,
            subject=subject,
            message=f"Lineage does not know of {subject}: {str(fault).strip() or type(fault).__name__}",
            remedy="The run itself is not affected. The log has the full error; report it.",
            run_id=run_id,
        )
        if run_id is not None:  # it is not tried again: nothing will ever mend it
            state.resolve_alerts(connection, kind=ALERT, subjects=[run_id])
