"""Everything that may be killed, running: an object store, ``lakehouse up`` with all its services, and a way to look.

What belongs here: starting, stopping, asking. The object store is started again here, as its container's supervisor
would; everything else must come back by itself.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from object_stores import ACCESS_KEY, BUCKET, SECRET_KEY, client, free_port, minio_binary
from platforms import CLI, Platform, a_platform

from lakehouse.postgres.connect import state_url

PREFIX = "chaos"
LAUNCH = """
mutation Launch($job: String!) {
  launchRun(executionParams: {
    selector: {repositoryLocationName: "lakehouse", repositoryName: "__repository__", jobName: $job}, runConfigData: {}
  }) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } }
}
"""


def until(condition: Callable[[], Any], seconds: float, what: str, instead: Callable[[], object] = lambda: "") -> Any:
    """Wait for something to become true; fail naming it."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what} {instead()}"
        time.sleep(0.2)
    return found


def rows(url: str, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    """The answer of a database, by a connection of its own."""
    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(sql, values or None)
        return cursor.fetchall()


class Store:
    """A MinIO of our own that can be killed and started again on the same port."""

    def __init__(self, folder: Path) -> None:
        binary = minio_binary()
        if binary is None or not Path(binary).exists():
            if shutil.which("go"):
                pytest.fail("no MinIO binary, although Go is here to build it: make minio")
            pytest.skip("no MinIO binary (LAKEHOUSE_TEST_MINIO)")
        port = free_port()
        self.endpoint = f"http://127.0.0.1:{port}"
        self._log = folder / "minio.log"
        self._command = [binary, "server", str(folder / "minio"), "--address", f"127.0.0.1:{port}", "--quiet"]
        self._environment = {"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY, "HOME": str(folder)}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers."""
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                self._command, env=os.environ | self._environment, stdout=output, stderr=subprocess.STDOUT
            )
        until(self._answers, 30, "the object store answers")

    def kill(self) -> int:
        """End it without warning; returns its process id."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        return self.process.pid

    def _answers(self) -> bool:
        try:
            urllib.request.urlopen(f"{self.endpoint}/minio/health/live", timeout=1).close()
        except (urllib.error.URLError, OSError):
            return False
        return True


class Arena:
    """A platform under ``lakehouse up`` with its lake on the store."""

    def __init__(self, platform: Platform, store: Store) -> None:
        self.platform, self.store = platform, store
        self.up: subprocess.Popen[bytes] | None = None
        self._log = platform.home.parent / "up.txt"

    def start(self) -> None:
        """Start ``lakehouse up``: worker and sensor take files by themselves."""
        with self._log.open("wb") as output:
            self.up = subprocess.Popen(
                [str(CLI), "up"],
                env=self.platform.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        until(lambda: self._ended() or b"Ctrl-C stops everything" in self._log.read_bytes(), 120, "lakehouse up is up")
        assert not self._ended(), self._log.read_text()

    def stop(self) -> None:
        """Ctrl-C; it must end in order."""
        if self.up is not None and not self._ended():
            self.up.send_signal(signal.SIGINT)
            assert self.up.wait(90) == 0, self._log.read_text()

    def _ended(self) -> bool:
        return self.up is None or self.up.poll() is not None

    def launch(self) -> str:
        """Start a run as the page's button does; waits for the page where it is just coming back."""
        page = f"http://127.0.0.1:{self.platform.variables['LAKEHOUSE_WEBSERVER_PORT']}/graphql"
        body = json.dumps({"query": LAUNCH, "variables": {"job": "nightly_pipeline"}}).encode()

        answers: list[str] = []

        def attempt() -> str | None:
            request = urllib.request.Request(page, body, {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request, timeout=20) as answer:
                    answers.append(answer.read().decode())
                return json.loads(answers[-1])["data"]["launchRun"]["run"]["runId"]
            except OSError as error:
                answers.append(str(error))
            except (KeyError, TypeError, ValueError):
                pass  # it says why it took none
            return None

        return until(attempt, 120, "the page takes a run", lambda: answers[-1])

    def begin_run(self) -> subprocess.Popen[str]:
        """Start ``lakehouse run`` without waiting for it."""
        return subprocess.Popen(
            [str(CLI), "run", "--json", "--quiet", "--retry-delay", "1"],
            env=self.platform.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Ask the state database, waiting for it where it is just coming back. Starts nothing."""

        def attempt() -> list[tuple[Any, ...]] | None:
            try:
                return [("",), *rows(state_url(self.platform.settings), sql, *values)]
            except psycopg2.OperationalError:
                return None

        return until(attempt, 60, "the state database answers")[1:]


@contextlib.contextmanager
def an_arena() -> Iterator[Arena]:
    """An arena with its store running and an empty lake; nothing of it is left afterwards."""
    with a_platform() as platform:
        store = Store(platform.home.parent)
        store.start()
        arena = Arena(platform, store)
        try:
            client(store.endpoint).create_bucket(Bucket=BUCKET)
            # By default a step waits a minute before it tries again; that would be most of a round.
            platform.variables |= on_store(store, PREFIX) | {"LAKEHOUSE_RETRY_DELAY_SECONDS": "2"}
            yield arena
        finally:
            arena.stop()
            store.kill()


def on_store(store: Store, prefix: str) -> dict[str, str]:
    """Variables that put a lake on the store."""
    return {
        "LAKEHOUSE_LAKE_URL": f"s3://{BUCKET}/{prefix}",
        "LAKEHOUSE_S3_ENDPOINT": store.endpoint,
        "LAKEHOUSE_S3_ACCESS_KEY": ACCESS_KEY,
        "LAKEHOUSE_S3_SECRET_KEY": SECRET_KEY,
    }
