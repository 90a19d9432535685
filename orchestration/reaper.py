"""Fails runs whose process has died, and frees what they held.

Dagster's default launcher has no health check: after ``kill -9`` a run stays started and its pool slot held for good
(knowledge/stack.md). The warehouse lock needs no reaper, the kernel frees it.
"""

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter

from lakehouse import state
from lakehouse.postgres.connect import connect, state_url
from lakehouse.settings import Settings
from orchestration.processes import executing_process_is_gone

IN_PROGRESS = [DagsterRunStatus.STARTING, DagsterRunStatus.STARTED, DagsterRunStatus.CANCELING]
REASON = "The process that executed this run ended without finishing it (killed, out of memory, or a reboot)."


def reap(instance: DagsterInstance, settings: Settings) -> list[str]:
    """Fail every run in progress whose process is gone; return their ids.

    Its pool slots are freed, its assets that were being built count as failed, and an alert says so.
    """
    dead = [run for run in instance.get_runs(RunsFilter(statuses=IN_PROGRESS)) if executing_process_is_gone(run.tags)]
    for run in dead:
        instance.report_run_failed(run, message=REASON)
        instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        connection = connect(state_url(settings), what="state database")
        try:
            assets = state.release_interrupted(connection, run.run_id, REASON)
            state.raise_alert(
                connection,
                severity="error",
                kind="run_died",
                subject=run.run_id,
                message=f"{REASON} It was building: {', '.join(assets) or 'nothing yet'}.",
                remedy="Run it again: `lakehouse run`. Every step is idempotent.",
                run_id=run.run_id,
            )
            # A death is an event, not a condition: nothing will ever mend it, so the alert does not stay open.
            state.resolve_alerts(connection, kind="run_died", subjects=[run.run_id])
        finally:
            connection.close()
    return [run.run_id for run in dead]
