"""Which process this is, and whether one still lives: the facts the reaper decides on.

A process id alone is not an identity: it is reused. With the kernel's boot id, the namespace it is counted in (each
container has its own) and the process's start time it is.
"""

import os
import socket
from pathlib import Path

from lakehouse.kernel import boot_id, start_time
from orchestration import names

PARTS = 5


def pid_namespace() -> str:
    """The namespace in which this process's ids are counted, e.g. ``pid:[4026531836]``."""
    return str(Path("/proc/self/ns/pid").readlink())


def this_process() -> str:
    """The identity of this process: host, boot, process namespace, process id, start time."""
    pid = os.getpid()
    return f"{socket.gethostname()} {boot_id()} {pid_namespace()} {pid} {start_time(pid) or '0'}"


def run_tags(started_by: str) -> dict[str, str]:
    """Tags of a run that this process creates and executes itself: if it dies before the first beat, they tell."""
    return {names.TAG_STARTED_BY: started_by, names.TAG_PROCESS: this_process()}


def is_gone(identity: str) -> bool | None:
    """Whether the process of this identity has ended; None where that cannot be seen from here.

    It cannot for a process on another host, or in a container other than ours.
    """
    parts = identity.split()
    if len(parts) != PARTS:
        return None
    host, boot, namespace, pid, started = parts
    if host != socket.gethostname():
        return None
    if boot != boot_id():
        return True
    if namespace != pid_namespace():
        return None
    return start_time(int(pid)) != started


def host_of(identity: str) -> str:
    """The host in an identity, for messages."""
    return identity.partition(" ")[0]
