"""Fails runs whose process has died, and clears up after them.

Dagster's default launcher has no health check: after ``kill -9`` a run stays started for good. The warehouse
lock needs no reaper, the kernel frees it.
"""

import contextlib
import time
from collections.abc import Iterable
from dataclasses import replace

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from psycopg2.extensions import connection as Connection

from lakehouse import heartbeats, state
from lakehouse.heartbeats import Beat
from lakehouse.postgres.connect import connect_state
from lakehouse.settings import Settings
from orchestration import names
from orchestration.heartbeat import BEAT_SECONDS
from orchestration.processes import host_of, is_gone

IN_PROGRESS = [
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]
SILENT_SECONDS = 25.0
"""Five missed beats: a process we cannot see (another host, another container) counts as dead."""
UNTAKEN_SECONDS = 60.0
"""A run is taken up within seconds of its launch; a loaded machine may need a while to import."""
LOOK_AGAIN_SECONDS = 2 * BEAT_SECONDS

KILLED = (
    "The process that executed this run ended without finishing it (killed, out of memory, a reboot, or the state "
    "database was gone)."
)
SILENT = (
    "The process that executed this run, on {host}, has given no sign of life for {seconds:.0f} s: it was stopped, or "
    "its machine was."
)
UNTAKEN = (
    "No process took this run up within {seconds:.0f} s of its launch: the one that was to execute it ended before it "
    "began (killed, out of memory, or a reboot)."
)
UNFINISHED = "The run ended before this was finished; its event log says why."


def reap(instance: DagsterInstance, settings: Settings) -> list[str]:
    """Fail every run in progress whose process is gone, then clear up after every run that has ended.

    Assets that were being built count as failed, and an alert says so.

    Returns:
        Ids of the runs that were failed here.
    """
    with contextlib.closing(connect_state(settings)) as connection:
        failed = _fail_the_dead(instance, connection)
        for run_id, why in failed.items():
            _release(connection, run_id, why)
        _clear_up(instance, connection)
    return list(failed)


def _fail_the_dead(instance: DagsterInstance, connection: Connection) -> dict[str, str]:
    in_progress = {run.run_id: run for run in instance.get_runs(RunsFilter(statuses=IN_PROGRESS))}

    def suspected(run_ids: Iterable[str]) -> dict[str, str]:
        beats = heartbeats.look(connection, run_ids)
        # A run that ends in this very moment has taken its sign away.
        signs = {run_id: _taken_up(beats[run_id], in_progress[run_id]) for run_id in run_ids if run_id in beats}
        return {run_id: why for run_id, sign in signs.items() if (why := cause_of_death(sign))}

    suspects = suspected(in_progress)
    if any(why != KILLED for why in suspects.values()):
        # Silence may also be that of a machine that slept or a clock that jumped: the living speak up again at once.
        time.sleep(LOOK_AGAIN_SECONDS)
        suspects = suspected(suspects)
    failed = {}
    for run_id, why in suspects.items():
        run = instance.get_run_by_id(run_id)  # asked anew: it may have ended in order before its process did
        if run is not None and not run.is_finished:
            instance.add_run_tags(run_id, {names.TAG_DIED: run_id})
            instance.report_run_failed(run, message=why)
            failed[run_id] = why
    heartbeats.forget(connection, failed)
    return failed


def _taken_up(beat: Beat, run: DagsterRun) -> Beat:
    """The sign of life of a run that a process created to execute it itself, also before its first beat.

    The tag counts for that run alone: a re-execution inherits it and runs elsewhere.
    """
    if beat.process is None and run.parent_run_id is None:
        return replace(beat, process=run.tags.get(names.TAG_PROCESS))
    return beat


def cause_of_death(beat: Beat) -> str | None:
    """Why the run of this last sign of life counts as dead, for a person to read; None while it may live."""
    if beat.process is None:
        return UNTAKEN.format(seconds=UNTAKEN_SECONDS) if beat.age > UNTAKEN_SECONDS else None
    gone = is_gone(beat.process)
    if gone is None:
        silent = beat.age > SILENT_SECONDS
        return SILENT.format(host=host_of(beat.process), seconds=SILENT_SECONDS) if silent else None
    return KILLED if gone else None


def _clear_up(instance: DagsterInstance, connection: Connection) -> None:
    """After runs that have ended: those whose death somebody else noticed, and those that left something unfinished."""
    for run_id, beat in heartbeats.look(connection, []).items():
        run = instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            continue
        why = cause_of_death(beat)
        if why and run is not None and run.status is DagsterRunStatus.FAILURE and beat.process is not None:
            instance.add_run_tags(run_id, {names.TAG_DIED: run_id})
            instance.report_engine_event(why, run)
            _release(connection, run_id, why)
        # One without a process was noted by us in the moment in which the run ended.
        if why or (run is not None and beat.process is None):
            heartbeats.forget(connection, [run_id])
    for run_id in state.building_runs(connection):
        if _has_ended(instance, run_id):
            _release(connection, run_id, UNFINISHED)


def end_run(instance: DagsterInstance, connection: Connection, run_id: str, why: str) -> None:
    """Fail a run that its own process gives up, and free at once what it holds."""
    run = instance.get_run_by_id(run_id)
    if run is None or run.is_finished:
        return
    instance.add_run_tags(run_id, {names.TAG_DIED: run_id})
    instance.report_run_failed(run, message=why)
    _release(connection, run_id, why)
    heartbeats.forget(connection, [run_id])


def _has_ended(instance: DagsterInstance, run_id: str) -> bool:
    run: DagsterRun | None = instance.get_run_by_id(run_id)
    return run is None or run.is_finished


def _release(connection: Connection, run_id: str, why: str) -> None:
    assets = state.release_interrupted(connection, run_id, why)
    state.raise_alert(
        connection,
        severity="error",
        kind="run_died",
        subject=run_id,
        message=why + (f" It was building: {', '.join(assets)}." if assets else ""),
        remedy="Run it again: `lakehouse run`. Every step is idempotent.",
        run_id=run_id,
    )
    # A death is an event, not a condition: nothing will ever mend it, so the alert does not stay open.
    state.resolve_alerts(connection, kind="run_died", subjects=[run_id])
