"""The resource every asset asks for: for as long as a run executes, its process says every few seconds that it lives.

A resource, because Dagster makes it at the beginning of every run and ends it with the run, whoever started it: the
command line, a page, a sensor, the schedule or a resident worker.
"""

import contextlib
import logging
import threading
from collections.abc import Iterator

import psycopg2
from dagster import InitResourceContext, resource
from psycopg2.extensions import connection as Connection

from lakehouse import heartbeats
from lakehouse.errors import LakehouseError
from lakehouse.postgres.connect import connect_state
from lakehouse.settings import Settings, load_settings
from orchestration.processes import this_process

HEARTBEAT = "heartbeat"
"""The resource's key."""
BEAT_SECONDS = 5.0
log = logging.getLogger(__name__)


@resource(description="Says every few seconds in the state database that this run's process lives.")
def heartbeat(context: InitResourceContext) -> Iterator[None]:
    """Keep the run's sign of life fresh until the run ends, then take it away."""
    with beating(load_settings(), str(context.run_id)):
        yield


@contextlib.contextmanager
def beating(settings: Settings, run_id: str) -> Iterator[None]:
    """Give signs of life for a run for the length of the block.

    Raises:
        UnavailableError: the state database cannot be reached at the beginning. Later on that is only logged: the
            run itself meets the same trouble where it matters.
    """
    process = this_process()
    first = connect_state(settings)
    heartbeats.beat(first, run_id, process)
    connection: Connection | None = first
    ended = threading.Event()

    def work() -> None:
        nonlocal connection
        while not ended.wait(BEAT_SECONDS):
            try:
                connection = connection or connect_state(settings)
                heartbeats.beat(connection, run_id, process)
            except (psycopg2.Error, LakehouseError) as error:
                log.warning("No sign of life could be given for run %s: %s", run_id, error)
                _close(connection)
                connection = None

    thread = threading.Thread(target=work, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        # What cannot be taken away now is taken away by the reaper.
        with contextlib.suppress(psycopg2.Error, LakehouseError):
            connection = connection or connect_state(settings)
            heartbeats.forget(connection, [run_id])
        _close(connection)


def _close(connection: Connection | None) -> None:
    if connection is not None:
        with contextlib.suppress(psycopg2.Error):
            connection.close()
