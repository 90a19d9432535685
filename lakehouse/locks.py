"""Thin helpers over ``flock``: locks that the kernel frees when their holder dies.

Each open file has its own lock, so two users in one process count as two.
What belongs here: opening, trying, looking. What does not: waiting, and what is said meanwhile.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import TextIO

from lakehouse.errors import ConfigError


def open_lock(path: Path) -> int:
    """Open (create) a lock file and return its descriptor; programs we start do not inherit it.

    Raises:
        ConfigError: the file belongs to someone else.
    """
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except PermissionError as error:
        raise ConfigError(
            f"The lock {path} belongs to another user.",
            remedy="Run as the user that made it, or point LAKEHOUSE_DATA_DIR to a folder of yours.",
        ) from error


def try_lock(handle: int | TextIO, kind: int) -> bool:
    """Take the lock (``fcntl.LOCK_SH`` or ``LOCK_EX``) if it is free now; say whether it was."""
    try:
        fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(path: Path) -> bool:
    """Whether somebody holds ``path`` exclusively; looking disturbs nobody who looks too."""
    return _refuses(path, fcntl.LOCK_SH)


def is_used(path: Path) -> bool:
    """Whether somebody holds ``path`` in any way."""
    return _refuses(path, fcntl.LOCK_EX)


def _refuses(path: Path, kind: int) -> bool:
    if not path.exists():
        return False
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return not try_lock(handle, kind)
    finally:
        os.close(handle)
