"""What the chaos may have left: runs without an end or a reason, files and processes of the dead, stale alerts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from arena import Arena, rows, until
from dagster import DagsterEventType, DagsterInstance, DagsterRun, DagsterRunStatus
from victims import processes_of

from lakehouse.failures import meaning_of_text
from lakehouse.kernel import start_time
from lakehouse.postgres.connect import marts_url
from orchestration import reaper
from orchestration.instance import prepare_home
from orchestration.worker import ending

REASONS = (
    reaper.KILLED,
    *(text.split("{")[0].strip() for text in (reaper.SILENT, reaper.UNTAKEN)),
    ending.LOST,
    "→",  # one of our own errors, with its remedy
    # Dagster's code server, of a run process that ended before its first sign of life: by a signal, or by itself
    # because its database session was cut
    "was terminated by signal",
    "unexpectedly exited with code",
    "Run timed out due to taking longer",  # Dagster's daemon, of a run that nobody began
    "dropping it from the queue",  # Dagster's daemon, of a run it could not launch; it starts it again by itself
)
"""How a reason begins, or what it holds, that a person understands."""


@contextlib.contextmanager
def instance_of(arena: Arena) -> Iterator[DagsterInstance]:
    """The platform's Dagster instance, seen from here."""
    prepare_home(arena.platform.settings)
    with DagsterInstance.get() as instance:
        yield instance


def wait_for_quiet(arena: Arena, seconds: float) -> None:
    """Wait until no run is in progress; every run must come to an end by itself."""
    open_runs = "select run_id, status from runs where status not in ('SUCCESS', 'FAILURE', 'CANCELED')"
    until(lambda: not arena.ask(open_runs), seconds, f"every run has ended: {arena.ask(open_runs)}")


def unexplained(instance: DagsterInstance) -> list[str]:
    """Runs that failed without a reason a person understands."""
    found = []
    for run in instance.get_runs():
        # One may have begun meanwhile (Dagster starts a dead one again after a while); it comes to its own end.
        if not run.is_finished or run.status is DagsterRunStatus.SUCCESS:
            continue
        texts, failures = said(instance, run)
        if any(sign in text for text in [*texts, *failures] for sign in REASONS):
            continue
        # A driver's own words are good enough where we know what they mean: they are what an outage is told by.
        if not any(map(meaning_of_text, failures)):
            found.append("\n".join([f"{run.run_id} ({run.job_name}, {dict(run.tags)}):", *texts[-4:], *failures]))
    return found


def said(instance: DagsterInstance, run: DagsterRun) -> tuple[list[str], list[str]]:
    """What a run's event log says, and what of it are the errors of failed steps and their causes."""
    texts, failures = [], []
    for entry in instance.all_logs(run.run_id):
        event = entry.get_dagster_event() if entry.is_dagster_event else None
        if event is None:
            continue
        texts.append(event.message or "")
        if event.is_step_failure and event.step_failure_data.user_failure_data:
            failures.append(event.step_failure_data.user_failure_data.description or "")
        data = event.step_failure_data if event.is_step_failure else None
        data = event.job_failure_data if event.event_type is DagsterEventType.RUN_FAILURE else data
        error = data.error if data is not None else None
        while error is not None:
            failures.append(error.message)
            error = error.cause
    return [text for text in texts if text], [text for text in failures if text]


def left_behind(arena: Arena) -> list[str]:
    """Files, tables and rows that belong to nobody any more."""
    settings = arena.platform.settings
    found = [f"temporary file {path}" for path in _temporary(settings.data_path)]
    built = rows(
        marts_url(settings),
        "select tablename from pg_tables where schemaname = 'marts_build' and tablename like '%\\_\\_%' and"
        " tablename not in (select relation from marts_build.versions)",
    )
    found += [f"table marts_build.{row[0]}" for row in built]
    beats = "select run_id from data_platform.run_heartbeats h join runs using (run_id) where status <> 'STARTED'"
    found += [f"sign of life of run {row[0]}" for row in arena.ask(beats)]
    building = arena.ask("select asset_key, run_id from data_platform.asset_status where status <> 'ok'")
    return found + [f"{asset} is not in order (run {run})" for asset, run in building]


def _temporary(folder: Path) -> list[Path]:
    """Files under names of unfinished ones, and folders of processes that are gone."""
    scratch = [*folder.glob("dbt/target/[0-9]*"), *folder.glob("tmp/[0-9]*")]
    gone = [path for path in scratch if start_time(int(path.name.partition("-")[0])) is None]
    return [*gone, *folder.rglob("*.tmp"), *folder.rglob("*.new*"), *folder.glob("dbt/manifests/.parse-*")]


def orphans(arena: Arena) -> list[str]:
    """Processes that survived the end of ``lakehouse up``."""
    return [f"{pid}: {command[:200]}" for pid, command in processes_of(arena).items()]
