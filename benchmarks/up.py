"""A running ``lakehouse up`` of the benchmark's own, and the processes that belong to it.

Unlike in the other measures its Postgres is part of what is measured.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.places import LAKEHOUSE, MEMORY_LIMIT, clean_environment
from benchmarks.processes import BenchmarkError
from lakehouse.postgres import embedded, ports
from lakehouse.services import child, record
from lakehouse.settings import Settings

START_SECONDS = 180.0
STOP_SECONDS = 90.0
ASSETS = "{ assetsOrError { __typename ... on AssetConnection { nodes { key { path } } } } }"
LOCATION = '{ workspaceLocationEntryOrError(name: "lakehouse") { ... on WorkspaceLocationEntry { loadStatus ' + (
    "locationOrLoadError { __typename } } } }"
)


@dataclass
class Up:
    """One platform that is driven by ``lakehouse up``."""

    settings: Settings
    environment: Mapping[str, str]
    output: Path
    process: subprocess.Popen[bytes] | None = None
    parts: int = 5
    """How many services there are, Postgres included."""
    checkout: Path | None = None
    """Another checkout than this one to run from."""

    def start(self) -> None:
        """Begin ``lakehouse up``; it is not waited for."""
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                [LAKEHOUSE, "up"] if self.checkout is None else [sys.executable, "-m", "lakehouse.cli.main", "up"],
                env={**self.environment, **({"PYTHONPATH": str(self.checkout)} if self.checkout else {})},
                cwd=self.checkout,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def stop(self) -> None:
        """End it as Ctrl-C does."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired as error:
            self.process.kill()
            raise BenchmarkError(f"lakehouse up does not stop:\n{self.output.read_text()}") from error

    def until(self, what: str, condition: Callable[[], object], *, seconds: float = START_SECONDS) -> None:
        """Wait for something, looking every 50 ms.

        Raises:
            BenchmarkError: it does not happen, or ``lakehouse up`` has ended.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline or (self.process is not None and self.process.poll() is not None):
                raise BenchmarkError(f"{what}: not within {seconds:.0f} s\n{self.output.read_text()[-3000:]}")
            time.sleep(0.05)

    def services(self) -> dict[str, dict[str, Any]]:
        """Name → what `lakehouse up` records about it."""
        return {item["name"]: item for item in record.read(self.settings)}

    def all_up(self) -> bool:
        """Whether every service is said to work."""
        found = self.services()
        return len(found) == self.parts and all(item["state"] == "up" for item in found.values())

    def ask(self, query: str) -> dict[str, Any]:
        """GraphQL of the web pages; empty where they do not answer."""
        body = json.dumps({"query": query}).encode()
        page = f"http://127.0.0.1:{self.settings.webserver_port}/graphql"
        request = urllib.request.Request(page, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                found: dict[str, Any] = json.load(answer).get("data") or {}
                return found
        except (OSError, ValueError):
            return {}

    def pages_answer(self) -> bool:
        """Whether the pages know the definitions and list the assets."""
        entry = self.ask(LOCATION).get("workspaceLocationEntryOrError", {})
        loaded = (entry.get("locationOrLoadError") or {}).get("__typename") == "RepositoryLocation"
        return loaded and bool(self.ask(ASSETS).get("assetsOrError", {}).get("nodes"))

    def processes(self) -> dict[int, str]:
        """Process id → its part, for everything that runs for this platform."""
        assert self.process is not None
        found = {self.process.pid: "lakehouse up"}
        for name, item in self.services().items():
            if name == "postgres":
                found |= dict.fromkeys(_descendants(item["pid"]), "postgres")
            else:
                found |= dict.fromkeys(child.session(item["pid"]), name)
        return found


@contextlib.contextmanager
def an_up(**further: str) -> Iterator[Up]:
    """A fresh platform, not started; gone afterwards with everything that ran.

    Args:
        further: variables of its environment.
    """
    folder = Path(tempfile.mkdtemp(prefix="lakehouse-bench-"))
    folder.chmod(0o755)  # the server runs as an account of its own
    values = {name: ports.free_port() for name in ("postgres_port", "webserver_port", "code_server_port")}
    settings = Settings(data_dir=folder / "data", duckdb_memory_limit=MEMORY_LIMIT, **values)
    variables = {f"LAKEHOUSE_{name.upper()}": str(value) for name, value in values.items()}
    variables |= {"LAKEHOUSE_DATA_DIR": str(settings.data_path), "LAKEHOUSE_DUCKDB_MEMORY_LIMIT": MEMORY_LIMIT}
    up = Up(settings, {**clean_environment(), **variables, **further}, folder / "up.txt")
    try:
        yield up
    finally:
        try:
            up.stop()
        finally:
            embedded.stop(settings, force=True)
            shutil.rmtree(folder, ignore_errors=True)


def _descendants(pid: int) -> Iterator[int]:
    yield pid
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for found in (task / "children").read_text().split():
                yield from _descendants(int(found))
