"""Ended runs are mapped in a thread of the resident worker: at once after its own, and now and then for all others.

What belongs here: the thread. What does not: mapping (:mod:`orchestration.lineage.mapping`).
"""

import contextlib
import threading
from collections.abc import Callable, Iterator

from dagster import DagsterInstance

from lakehouse.settings import Settings
from orchestration.lineage.mapping import PER_CALL, try_to_map

LOOK_SECONDS = 15.0
"""Runs that others executed are looked for this often."""
STOP_SECONDS = 5.0
"""A worker that is told to stop waits this long for what is being mapped."""
BREATH_SECONDS = 1.0
"""Between two parts of a backlog: files that arrive meanwhile come first."""


@contextlib.contextmanager
def mapping(instance: DagsterInstance, settings: Settings) -> Iterator[Callable[[], None]]:
    """Map ended runs for the length of the block.

    Yields:
        What to call when a run has ended; it returns at once.
    """
    wake, ended = threading.Event(), threading.Event()

    def work() -> None:
        pause = 0.0
        while True:
            wake.wait(pause)
            wake.clear()
            if ended.is_set():
                return
            pause = BREATH_SECONDS if try_to_map(instance, settings) == PER_CALL else LOOK_SECONDS

    thread = threading.Thread(target=work, name="lineage", daemon=True)
    thread.start()
    try:
        yield wake.set
    finally:
        ended.set()
        wake.set()
        thread.join(STOP_SECONDS)  # what is in the middle of a transaction then is told by the next process
