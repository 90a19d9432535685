"""The lock of those who start, stop or place the embedded server: one after the other.

What belongs here: waiting for it. What does not: locking itself (:mod:`lakehouse.locks`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from lakehouse.errors import BusyError
from lakehouse.locks import open_lock, try_lock

POLL_SECONDS = 0.02


@contextlib.contextmanager
def exclusive(path: Path, *, timeout: float) -> Iterator[None]:
    """Hold ``path`` exclusively, waiting up to ``timeout`` seconds for it.

    Raises:
        BusyError: its holder did not let go in time.
    """
    handle = open_lock(path)
    try:
        deadline = time.monotonic() + timeout
        while not try_lock(handle, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise BusyError(
                    f"Another process has been starting or stopping the embedded Postgres for {timeout:.0f} s "
                    f"(lock {path}).",
                    remedy="Wait for it or end it, then try again.",
                )
            time.sleep(POLL_SECONDS)
        yield
    finally:
        os.close(handle)
