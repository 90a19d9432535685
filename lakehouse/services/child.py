"""One child process: started so that it dies with us, waited for without polling, ended with all it started.

Each child leads a session of its own: a Ctrl-C on the terminal reaches only the supervisor, and what a child starts
(the processes of runs, say) is found by its session.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

TIE = """
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: the kernel ends us when the supervisor is gone
os.getppid() == int(sys.argv[1]) or sys.exit(1)  # it died before the line above
os.execv(sys.argv[2], sys.argv[2:])
"""
POLL_SECONDS = 0.02


def spawn(command: Sequence[str], environment: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a program, tied to this process, its output appended to ``log``.

    A tiny Python in between ties it (20 ms): ``preexec_fn`` is not safe in a process that has threads.

    Args:
        command: an absolute path and its arguments.
        environment: all of its variables.
        log: file for stdout and stderr.
    """
    with log.open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", TIE, str(os.getpid()), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            start_new_session=True,
        )


def session(leader: int) -> Iterator[int]:
    """The living processes of the session that ``leader`` began, it itself included, group or not."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == leader and fields[0] != "Z":
                yield int(stat.parent.name)


def busy(leader: int) -> bool:
    """Whether a session has more than its leader, the process of a run, say.

    The resource tracker that Python's multiprocessing starts with the first process does no work and stays for good.
    """
    for pid in session(leader):
        with contextlib.suppress(OSError):
            if pid != leader and b"multiprocessing.resource_tracker" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                return True
    return False


def signal_all(pids: Iterator[int], number: signal.Signals) -> None:
    """Send a signal to each; one that has ended meanwhile is left out."""
    for pid in pids:
        with contextlib.suppress(OSError):
            os.kill(pid, number)


def end_sessions(leaders: Sequence[int], within: float) -> None:
    """End every process of these sessions: asked by SIGTERM, killed after ``within`` seconds."""
    for leader in leaders:
        signal_all(session(leader), signal.SIGTERM)
    deadline = time.monotonic() + within
    while time.monotonic() < deadline and any(True for leader in leaders for _ in session(leader)):
        time.sleep(POLL_SECONDS)
    for leader in leaders:
        signal_all(session(leader), signal.SIGKILL)
