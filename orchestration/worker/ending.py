"""How a worker ends that is in the middle of a run: the run gets some seconds, then it is failed with a reason."""

import contextlib
import os
import sys

from dagster import DagsterInstance

from lakehouse import heartbeats
from lakehouse.postgres.connect import connect, state_url
from lakehouse.settings import Settings
from orchestration.processes import this_process
from orchestration.reaper import end_run

REASON = "The worker was told to stop while it executed this run."
LEAVE = "from lakehouse.postgres.embedded import running\nfrom lakehouse.settings import load_settings\n"
LEAVE += "with running(load_settings()): pass"


def fail_present_run(instance: DagsterInstance, settings: Settings) -> None:
    """Mark what this process executes as failed and free what it holds."""
    with contextlib.closing(connect(state_url(settings), what="state database")) as connection:
        for run_id, beat in heartbeats.look(connection, []).items():
            if beat.process == this_process():
                end_run(instance, connection, run_id, REASON)


def leave_at_once(settings: Settings) -> None:
    """End this process with code 0 whatever its threads do; the kernel frees its locks.

    With the embedded Postgres the program is replaced by one that only leaves it, so that the last user stops it.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    if settings.embedded_postgres:
        os.execv(sys.executable, [sys.executable, "-c", LEAVE])  # noqa: S606 - our own interpreter, no shell wanted
    os._exit(0)
