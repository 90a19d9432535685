"""The worker's heartbeat: a thread that says what the main loop does, and falls silent when that hangs."""

import ctypes
import dataclasses
import logging
import os
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from psycopg2 import Error as PostgresError
from psycopg2.extensions import connection as Connection

from lakehouse import workers
from lakehouse.errors import LakehouseError
from lakehouse.postgres.connect import connect_state
from lakehouse.settings import Settings
from orchestration.processes import this_process

log = logging.getLogger(__name__)

HANG_SECONDS = 10.0
"""The idle loop turns several times in this time; if it did not, it hangs and must not look alive."""


class Heart:
    """Beats every few seconds and whenever something changes. Use as a context manager.

    Args:
        settings: where the state database is.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        process = this_process()
        host, _, _, pid, _ = process.split()
        self._beat = workers.Beat(f"{host}:{pid}:{uuid.uuid4().hex[:6]}", host, process)
        self._turned = time.monotonic()
        self._one_at_a_time = threading.RLock()
        self._changed = threading.Event()
        self._ended = threading.Event()
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._work, name="heartbeat", daemon=True)

    @property
    def beat(self) -> workers.Beat:
        """What it tells now."""
        return self._beat

    def __enter__(self) -> "Heart":
        self._tell()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._changed.set()
        self._thread.join()
        self.say_goodbye()
        if self._connection is not None:
            self._connection.close()

    def turn(self) -> None:
        """The main loop has come round."""
        self._turned = time.monotonic()

    def say(self, **changes: Any) -> None:
        """Change what is told; it is told at once."""
        self.turn()
        with self._one_at_a_time:
            changed = dataclasses.replace(self._beat, **changes)
            if changed != self._beat:
                self._beat = changed
                self._changed.set()

    def say_goodbye(self) -> None:
        """Tell that this worker is gone, from any thread, as the last thing."""
        self._ended.set()
        with self._one_at_a_time:
            self.say(state="stopped", doing="")
            self._tell()

    def _work(self) -> None:
        while not self._ended.is_set():
            self._changed.wait(workers.BEAT_SECONDS)
            self._changed.clear()
            # A run may be within one model for long; a hanging one is the business of the run's own limits.
            if self._beat.state == "running" or time.monotonic() - self._turned < HANG_SECONDS:
                self._tell()

    def _tell(self) -> None:
        with self._one_at_a_time:
            self._beat = dataclasses.replace(self._beat, memory_bytes=resident_bytes())
            try:
                if self._connection is None:
                    self._connection = connect_state(self._settings)
                workers.tell(self._connection, self._beat)
            except (LakehouseError, PostgresError) as error:
                log.debug("No heartbeat: %s", error)
                if self._connection is not None:
                    self._connection.close()
                self._connection = None


def resident_bytes() -> int:
    """Resident memory of this process."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def give_back_memory() -> None:
    """Return freed memory to the system: what a large run needed for a moment must not stay with a resident process."""
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):  # glibc; others give it back by themselves
        trim(0)
