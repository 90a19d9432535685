"""Fails runs whose process has died, and frees what ended runs still hold.

Dagster's default launcher has no health check: after ``kill -9`` a run stays started and its pool slot held for good
(knowledge/stack.md); and where the code server notices the death first, it fails the run but frees nothing. The
warehouse lock needs no reaper, the kernel frees it.
"""

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from psycopg2.extensions import connection as Connection

from lakehouse import state
from lakehouse.postgres.connect import connect, state_url
from lakehouse.settings import Settings
from orchestration.processes import executing_process_is_gone

IN_PROGRESS = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
REASON = "The process that executed this run ended without finishing it (killed, out of memory, or a reboot)."


def reap(instance: DagsterInstance, settings: Settings) -> list[str]:
    """Fail every run in progress whose process is gone, then clear up after every run that has ended.

    Pool slots are freed, assets that were being built count as failed, and an alert says so.

    Returns:
        Ids of the runs that were failed here.
    """
    dead = [run for run in instance.get_runs(RunsFilter(statuses=IN_PROGRESS)) if executing_process_is_gone(run.tags)]
    for run in dead:
        instance.report_run_failed(run, message=REASON)
    for run_id in instance.event_log_storage.get_concurrency_run_ids():
        if _has_ended(instance, run_id):
            instance.event_log_storage.free_concurrency_slots_for_run(run_id)
    connection = connect(state_url(settings), what="state database")
    try:
        for run_id in state.building_runs(connection):
            if _has_ended(instance, run_id):
                _release(connection, run_id)
    finally:
        connection.close()
    return [run.run_id for run in dead]


def _has_ended(instance: DagsterInstance, run_id: str) -> bool:
    run = instance.get_run_by_id(run_id)
    return run is None or run.is_finished


def _release(connection: Connection, run_id: str) -> None:
    assets = state.release_interrupted(connection, run_id, REASON)
    state.raise_alert(
        connection,
        severity="error",
        kind="run_died",
        subject=run_id,
        message=f"{REASON} It was building: {', '.join(assets)}.",
        remedy="Run it again: `lakehouse run`. Every step is idempotent.",
        run_id=run_id,
    )
    # A death is an event, not a condition: nothing will ever mend it, so the alert does not stay open.
    state.resolve_alerts(connection, kind="run_died", subjects=[run_id])
