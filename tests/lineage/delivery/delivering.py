"""A lineage server that misbehaves and drainers, as processes that the tests may kill."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from platforms import CLI, Platform, free_port

UNRULY = Path(__file__).with_name("unruly_server.py")
FAST = {
    "LAKEHOUSE_LINEAGE_LOOK_SECONDS": "0.05",
    "LAKEHOUSE_LINEAGE_RETRY_SECONDS": "0.02",
    "LAKEHOUSE_LINEAGE_RETRY_MAX_SECONDS": "0.2",
    "LAKEHOUSE_LINEAGE_TIMEOUT_SECONDS": "0.3",
}


def until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """Wait until a condition holds and return what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.05)
    return found


class UnrulyServer:
    """The server as a process; a thread starts it again when it dies, after a while.

    Args:
        folder: what it stores.
        seed: of its misdeeds.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.seed, self.port = folder, seed, free_port()
        self.deaths = 0
        self._ended = threading.Event()
        self._process = self._start()
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def kill(self) -> None:
        self._process.kill()

    def end(self) -> None:
        self._ended.set()
        self._process.kill()
        self._keeper.join()
        self._process.wait()

    def stored(self) -> list[dict[str, Any]]:
        """Every event as often as it was stored, in that order."""
        path = self.folder / "stored.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, str(UNRULY), str(self.port), str(self.folder), str(self.seed)])

    def _keep(self) -> None:
        while not self._ended.is_set():
            self._process.wait()
            if self._ended.wait(0.1):
                return
            self.deaths += 1
            self._process = self._start()
            if self._ended.is_set():
                self._process.kill()


@contextlib.contextmanager
def unruly(folder: Path, seed: int) -> Iterator[UnrulyServer]:
    """The server for the length of the block."""
    server = UnrulyServer(folder, seed)
    try:
        yield server
    finally:
        server.end()


class DrainerProcess:
    """``lakehouse lineage drain`` as a process.

    Args:
        platform: whose outbox it drains.
        log: its output is appended.
        variables: ``OPENLINEAGE_*`` and settings.
    """

    def __init__(self, platform: Platform, log: Path, *args: str, **variables: str) -> None:
        with log.open("a") as output:
            self.process = subprocess.Popen(
                [str(CLI), "lineage", "drain", *args],
                env={**platform.environment, **variables},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """As the kernel would (SIGKILL)."""
        self.process.kill()
        self.process.wait()

    def end(self) -> int:
        """SIGTERM; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)


@contextlib.contextmanager
def draining(platform: Platform, log: Path, **variables: str) -> Iterator[DrainerProcess]:
    """A drainer for the length of the block; what it printed is shown where the test fails."""
    drainer = DrainerProcess(platform, log, **variables)
    try:
        yield drainer
    finally:
        if drainer.process.poll() is None:
            drainer.kill()


def environment(url: str, **more: str) -> dict[str, str]:
    """Variables of a drainer that hurries."""
    return {**FAST, "OPENLINEAGE_URL": url, **more}


def tester() -> int:
    """A number for folders and keys that two testers do not share."""
    return os.getpid()
