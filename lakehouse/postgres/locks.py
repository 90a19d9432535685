"""Thin helpers over ``flock``: locks that the kernel frees when their holder dies.

Each open file has its own lock, so two users in one process count as two.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from lakehouse.errors import BusyError, ConfigError

POLL_SECONDS = 0.02


def open_lock(path: Path) -> int:
    """Open (create) a lock file and return its descriptor; programs we start do not inherit it.

    Raises:
        ConfigError: the file belongs to someone else.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except PermissionError as error:
        raise ConfigError(
            f"The embedded Postgres in {path.parent} belongs to another user.",
            remedy="Run as the user that made it, or point LAKEHOUSE_DATA_DIR to a folder of yours.",
        ) from error


def try_lock(handle: int, kind: int) -> bool:
    """Take the lock (``fcntl.LOCK_SH`` or ``LOCK_EX``) if it is free now; say whether it was."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(path: Path) -> bool:
    """Whether somebody holds ``path`` exclusively; looking disturbs nobody who looks too."""
    if not path.exists():
        return False
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return not try_lock(handle, fcntl.LOCK_SH)
    finally:
        os.close(handle)


def is_used(path: Path) -> bool:
    """Whether somebody holds ``path`` in any way."""
    if not path.exists():
        return False
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return not try_lock(handle, fcntl.LOCK_EX)
    finally:
        os.close(handle)


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
