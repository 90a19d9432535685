"""One writer at a time for the DuckDB file, by an operating-system lock that says who holds it.

DuckDB refuses a second process with an IO error. This lock makes the second one wait, tells it for whom, and is
freed by the kernel when its holder dies, which a Dagster pool slot is not (design decision 2).
Writers hold it exclusively for a step, readers share it for one query.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from lakehouse.errors import BusyError
from lakehouse.locks import is_held, try_lock

POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Holder:
    """Who writes the warehouse: process id, what it does, since when (ISO 8601, UTC)."""

    pid: int
    what: str
    since: str

    def __str__(self) -> str:
        return f"{self.what} (process {self.pid}, since {self.since})"


def lock_file(warehouse: Path) -> Path:
    """Path of the lock beside the DuckDB file."""
    return warehouse.with_name(warehouse.name + ".lock")


def holder(warehouse: Path) -> Holder | None:
    """Who holds the exclusive lock right now, or None."""
    path = lock_file(warehouse)
    return _read_holder(path) if is_held(path) else None


@contextlib.contextmanager
def exclusive(
    warehouse: Path,
    what: str,
    *,
    timeout: float,
    on_wait: Callable[[Holder | None], None] | None = None,
) -> Iterator[None]:
    """Hold the warehouse for writing.

    Args:
        warehouse: the DuckDB file.
        what: what the holder does, shown to everybody who waits.
        timeout: seconds to wait for the present holder.
        on_wait: called once, with the holder, when it has to wait.

    Raises:
        BusyError: the holder did not let go within ``timeout``.
    """
    with _locked(warehouse, fcntl.LOCK_EX, timeout, on_wait) as handle:
        present = Holder(os.getpid(), what, datetime.now(UTC).isoformat(timespec="seconds"))
        handle.seek(0)
        handle.truncate()
        handle.write(json.dumps(asdict(present)))
        handle.flush()
        try:
            yield
        finally:
            handle.truncate(0)  # who waits for a reader next is not told of us


@contextlib.contextmanager
def shared(
    warehouse: Path,
    *,
    timeout: float,
    on_wait: Callable[[Holder | None], None] | None = None,
) -> Iterator[None]:
    """Keep writers away for the length of one read-only query.

    Raises:
        BusyError: a writer did not finish within ``timeout`` seconds; names it.
    """
    with _locked(warehouse, fcntl.LOCK_SH, timeout, on_wait):
        yield


@contextlib.contextmanager
def _locked(
    warehouse: Path, kind: int, timeout: float, on_wait: Callable[[Holder | None], None] | None
) -> Iterator[TextIO]:
    path = lock_file(warehouse)
    path.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout
    waiting = False
    # Opened for appending so that looking never wipes the holder's name; the descriptor is not inherited by programs
    # we start, so a child cannot keep the lock of a dead parent.
    with path.open("a+", encoding="utf-8") as handle, path.with_name(path.name + ".next").open("a") as door:
        # At the door first: who has just let go must not overtake who waits, nor readers one after another a writer.
        for wanted, how in ((door, fcntl.LOCK_EX), (handle, kind)):
            while not try_lock(wanted, how):
                who = _read_holder(path)
                if time.monotonic() >= deadline:
                    raise BusyError(
                        f"The warehouse {warehouse} is in use by {who or 'another process'}; waited {timeout:.0f} s.",
                        remedy="Wait for it to finish (`lakehouse status` shows running work), or raise "
                        "LAKEHOUSE_LOCK_TIMEOUT_SECONDS.",
                    )
                if not waiting and on_wait is not None:
                    on_wait(who)
                waiting = True
                time.sleep(POLL_SECONDS)
        fcntl.flock(door, fcntl.LOCK_UN)
        try:
            yield handle
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)


def _read_holder(path: Path) -> Holder | None:
    try:
        return Holder(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None  # the holder has the lock but has not written its name yet, or is a reader
