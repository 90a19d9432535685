"""Which process executes a run, and whether it still lives: the facts the reaper decides on.

A process id alone is not an identity: it is reused. With the kernel's boot id and the process's start time it is.
"""

import os
import socket
from collections.abc import Mapping
from pathlib import Path

from orchestration import names


def boot_id() -> str:
    """The kernel's id of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def start_time(pid: int) -> str | None:
    """Start time of a process in clock ticks since boot (field 22 of ``/proc/<pid>/stat``), None if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    after_name = stat.rpartition(")")[2].split()  # the name in parentheses may hold blanks
    if after_name[0] == "Z":
        return None  # a zombie has ended; only its parent has not looked yet
    return after_name[19]


def process_tags() -> dict[str, str]:
    """Run tags that identify this process."""
    pid = os.getpid()
    return {
        names.TAG_PID: str(pid),
        names.TAG_PROCESS_START: start_time(pid) or "",
        names.TAG_BOOT: boot_id(),
        names.TAG_HOST: socket.gethostname(),
    }


def executing_process_is_gone(tags: Mapping[str, str]) -> bool:
    """Whether the process named in a run's tags has ended.

    False where we cannot know: a run that names no process yet, or one on another host.
    """
    pid = tags.get(names.TAG_PID)
    if not pid or tags.get(names.TAG_HOST) != socket.gethostname():
        return False
    if tags.get(names.TAG_BOOT) != boot_id():
        return True
    return start_time(int(pid)) != tags.get(names.TAG_PROCESS_START)
