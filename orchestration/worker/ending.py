"""How a worker ends that is in the middle of a run: the run gets some seconds, then it is failed with a reason."""

import contextlib
import os
import sys

from dagster import DagsterInstance, RunsFilter

from lakehouse.postgres.connect import connect_state
from lakehouse.settings import Settings
from orchestration import names
from orchestration.processes import this_process
from orchestration.reaper import IN_PROGRESS, end_run

STOPPED = "The worker was told to stop while it executed this run."
LOST = "The worker lost the state database while it executed this run; it takes up again what was left."
LEAVE = "from lakehouse.postgres.embedded import running\nfrom lakehouse.settings import load_settings\n"
LEAVE += "with running(load_settings()): pass"


def fail_own_runs(instance: DagsterInstance, settings: Settings, why: str) -> None:
    """Mark as failed what this process began to execute and has not ended, and free what it holds."""
    own = RunsFilter(statuses=IN_PROGRESS, tags={names.TAG_PROCESS: this_process()})
    with contextlib.closing(connect_state(settings)) as connection:
        for run in instance.get_runs(own):
            end_run(instance, connection, run.run_id, why)


def leave_at_once(settings: Settings) -> None:
    """End this process with code 0 whatever its threads do; the kernel frees its locks.

    With the embedded Postgres the program is replaced by one that only leaves it, so that the last user stops it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if settings.embedded_postgres:
        os.execv(sys.executable, [sys.executable, "-c", LEAVE])  # noqa: S606 - our own interpreter, no shell wanted
    os._exit(0)
