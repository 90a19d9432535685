"""What the kernel says of processes: which boot this is, and when one began.

What belongs here: facts that tell one process from the next of the same id, wherever they are recorded. What does not:
whom they are recorded for (:mod:`lakehouse.services.record`, ``orchestration.processes``).
"""

from pathlib import Path


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
    if not after_name or after_name[0] == "Z":
        return None  # a zombie has ended; only its parent has not looked yet
    return after_name[19]
