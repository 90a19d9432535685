"""Whether a run failed of something that passes by itself: its process died or was stopped, or a server was away.

What belongs here: that distinction, made from what the run's event log holds. What does not: what follows from it
(:mod:`orchestration.arrivals`).
"""

from collections.abc import Iterator
from typing import Any

from dagster import DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus

from lakehouse.failures import meaning_of_text
from orchestration import names

INTERRUPTED = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
"""The process of a run was told to end (SIGTERM, SIGINT) while it executed a step."""
FAILURES = (DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE)


def died(run: DagsterRun) -> bool:
    """Whether the run failed because its process died; a re-execution inherits the tag, but not the id in it."""
    return run.status is DagsterRunStatus.FAILURE and run.tags.get(names.TAG_DIED) == run.run_id


def is_interruption(error: Any) -> bool:
    """Whether an error of a step or run, as Dagster stored it, says by itself that its process was told to end."""
    return (error.cls_name or "").rpartition(".")[2] in INTERRUPTED


def is_of_command(run: DagsterRun) -> bool:
    """Whether a person's command executed the run, so that an interruption was theirs.

    A re-execution inherits the tag, and is executed by the page or by Dagster's own retry.
    """
    return run.parent_run_id is None and run.tags.get(names.TAG_STARTED_BY) == names.BY_COMMAND


def failed_of_outage(instance: DagsterInstance, run: DagsterRun) -> bool:
    """Whether the run died, or everything that failed in it failed of a server or store that was away.

    Models, data and settings that are wrong stay wrong: a run that failed of them is not worth repeating.
    """
    if run.status is not DagsterRunStatus.FAILURE:
        return False
    if died(run):
        return True
    found = list(_outages(instance, run))
    return bool(found) and all(found)


def _is_outage(error: Any, run: DagsterRun) -> bool:
    # Dagster wraps what is raised within a step; the driver's own error is further down.
    while error is not None:
        if is_interruption(error):
            return not is_of_command(run)
        meaning = meaning_of_text(error.message)
        if meaning is not None and meaning.transient:
            return True
        error = error.cause
    return False


def _outages(instance: DagsterInstance, run: DagsterRun) -> Iterator[bool]:
    """For every failure told in the event log, whether it was an outage; the run's own only where no step tells.

    A run's own failure without an error comes from outside: it could not be launched, or its process was gone.
    """
    for kind in FAILURES:
        told = False
        for record in instance.get_records_for_run(run.run_id, of_type=kind).records:
            event = record.event_log_entry.get_dagster_event()
            data = event.step_failure_data if event.is_step_failure else event.job_failure_data
            if event.is_step_failure and event.step_failure_data.user_failure_data is not None:
                told = True
                yield names.META_TRANSIENT in event.step_failure_data.user_failure_data.metadata
            elif data is not None and data.error is not None:
                told = True
                yield _is_outage(data.error, run)
            elif kind is DagsterEventType.RUN_FAILURE:
                yield True
        if told:
            return
