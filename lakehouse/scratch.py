"""A folder for this process's temporary files that does not outlive it, however it ends.

What belongs here: making it, and removing those of processes that are gone. What does not: what is put there.
A process holds a lock on its folder; the kernel frees it when the process dies, and the next one that makes a folder
beside it removes it. A process id would not do: containers that share the data folder count their own.
"""

from __future__ import annotations

import atexit
import fcntl
import functools
import os
import shutil
import tempfile
from pathlib import Path

LOCK = ".in-use"


@functools.cache
def process_folder(parent: Path) -> Path:
    """The folder of this process below ``parent``; made at the first call, removed with the process.

    Args:
        parent: holds nothing but such folders.
    """
    parent.mkdir(parents=True, exist_ok=True)
    with (parent / LOCK).open("a") as one_at_a_time:
        fcntl.flock(one_at_a_time, fcntl.LOCK_EX)
        _remove_abandoned(parent)
        folder = Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=parent))
        # Never closed: it is held until the process ends. A child does not inherit it.
        fcntl.flock(os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), fcntl.LOCK_EX)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _remove_abandoned(parent: Path) -> None:
    for path in parent.iterdir():
        if path.name == LOCK:
            continue
        if not path.is_dir():
            path.unlink(missing_ok=True)
            continue
        try:
            with (path / LOCK).open("r+") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        except FileNotFoundError:  # of a former version, or its process is removing it in this moment
            pass
        shutil.rmtree(path, ignore_errors=True)
