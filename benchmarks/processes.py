"""Running one child process and saying what it cost as a whole: wall clock, processor time, peak memory.

Postgres servers are left out of all three: they run beside the measured process on both sides of a comparison, held by
the benchmark itself; should a server be started below a measured process all the same, its memory is not counted.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SAMPLE_SECONDS = 0.05
NOT_OURS = {"postgres", "initdb", "pg_ctl"}
KEPT_OUTPUT = 3_000  # characters of a failed child's output that are shown


class BenchmarkError(Exception):
    """A benchmark could not be carried out: a child failed, or the two sides did not do the same work."""


@dataclass(frozen=True)
class Usage:
    """The cost of one process with everything it started.

    Attributes:
        wall: seconds from before it was started until it was gone.
        cpu: seconds of processor time, user and system, of it and of the children it waited for.
        peak_mb: most resident memory at one moment, in MB (10⁶ bytes), summed over its process tree. Looked at every
            50 ms; what a single process had at most between two looks comes from the kernel.
        stdout: what it printed.
    """

    wall: float
    cpu: float
    peak_mb: float
    stdout: str


def measured(command: Sequence[str], environment: Mapping[str, str], *, cwd: Path = ROOT) -> Usage:
    """Run a command to its end.

    Raises:
        BenchmarkError: its exit code is not 0; quotes the end of its output.
    """
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        began = time.perf_counter()
        child = subprocess.Popen(
            command, env=dict(environment), cwd=cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
        sampler = _Sampler(child.pid)
        sampler.start()
        try:
            _, status, used = os.wait4(child.pid, 0)
        finally:
            sampler.done.set()
        wall = time.perf_counter() - began
        child.returncode = os.waitstatus_to_exitcode(status)  # it is reaped: Popen must not wait for it again
        sampler.join()
        out.seek(0)
        err.seek(0)
        stdout, stderr = out.read(), err.read()
    if child.returncode != 0:
        raise BenchmarkError(
            f"exit code {child.returncode}: {' '.join(command)}\n{stdout[-KEPT_OUTPUT:]}{stderr[-KEPT_OUTPUT:]}"
        )
    return Usage(wall, used.ru_utime + used.ru_stime, sampler.peak / 1e6, stdout)


def rounds(
    sides: Mapping[str, Callable[[int], Usage]], repeat: int, say: Callable[[str], None]
) -> dict[str, list[Usage]]:
    """Take the sides in turn, A B A B …, so that what the machine does meanwhile falls on all of them.

    Args:
        sides: name → runs that side once; given the number of the round, from 0.
        repeat: rounds.
        say: told each figure as it comes.
    """
    taken: dict[str, list[Usage]] = {name: [] for name in sides}
    for number in range(repeat):
        for name, run in sides.items():
            usage = run(number)
            taken[name].append(usage)
            say(f"{number + 1}/{repeat} {name}: {usage.wall:.2f} s, CPU {usage.cpu:.2f} s, {usage.peak_mb:,.0f} MB")
    return taken


class _Sampler(threading.Thread):
    """Looks at a process tree's memory until told to stop."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.peak = 0
        self.done = threading.Event()

    def run(self) -> None:
        while not self.done.is_set():
            now = [memory for pid in _tree(self.pid) if (memory := _memory(pid)) is not None]
            self.peak = max([self.peak, sum(present for present, _ in now), *(peak for _, peak in now)])
            self.done.wait(SAMPLE_SECONDS)


def _tree(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                yield from _tree(int(child))


def _memory(pid: int) -> tuple[int, int] | None:
    """Resident bytes now and at most; None for a process that is gone or not ours to count."""
    try:
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    except OSError:
        return None
    if lines["Name"].strip() in NOT_OURS or "VmRSS" not in lines:
        return None
    return _bytes(lines["VmRSS"]), _bytes(lines["VmHWM"])


def _bytes(text: str) -> int:
    return int(text.split()[0]) * 1024
