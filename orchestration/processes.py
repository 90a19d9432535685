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
    """The run tag that identifies this process: host, boot, process id, start time."""
    pid = os.getpid()
    return {names.TAG_PROCESS: " ".join([socket.gethostname(), boot_id(), str(pid), start_time(pid) or "0"])}


def executing_process_is_gone(tags: Mapping[str, str]) -> bool:
    """Whether the process named in a run's tags has ended.

    False where we cannot know: a run that names no process yet, or one on another host.
    """
    parts = tags.get(names.TAG_PROCESS, "").split()
    if len(parts) != 4:
        return False
    host, boot, pid, started = parts
    if host != socket.gethostname():
        return False
    return boot != boot_id() or start_time(int(pid)) != started
