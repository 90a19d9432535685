"""A platform of its own in a temporary folder, driven through its command line as a user would."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lakehouse.settings import Settings

ROOT = Path(__file__).parents[1]
OURS = ("LAKEHOUSE_", "DAGSTER_", "OPENLINEAGE")
CLI = Path(sys.executable).parent / "lakehouse"


def free_port() -> int:
    """A TCP port that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass
class Platform:
    """One installation: its data folder, its environment, and the command line to drive it."""

    home: Path
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What its processes see: nothing of the tester's own settings."""
        outside = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        return {**outside, "LAKEHOUSE_DATA_DIR": str(self.home), **self.variables}

    @property
    def settings(self) -> Settings:
        """Its settings, for calling a room's own functions."""
        values = {name.removeprefix("LAKEHOUSE_").lower(): value for name, value in self.variables.items()}
        return Settings(_env_file=None, data_dir=self.home, **values)

    @property
    def drop_zone(self) -> Path:
        """Where files are dropped."""
        path = self.home / "lake" / "raw" / "bioreactor"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def call(self, *args: str, timeout: float = 240, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run ``lakehouse <args>`` and return what it printed and its exit code."""
        return subprocess.run(
            [str(CLI), *args],
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def run(self, *args: str, code: int = 0, **variables: str) -> dict[str, Any]:
        """``lakehouse run --json``; asserts the exit code and returns the result."""
        done = self.call("run", "--json", "--quiet", *args, **variables)
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    def status_of(self, result: dict[str, Any]) -> dict[str, str]:
        """Asset → status of a run's result."""
        return {line["asset"]: line["status"] for line in result["assets"]}

    def query(self, sql: str, *args: str) -> list[dict[str, Any]]:
        """``lakehouse query --json``."""
        done = self.call("query", "--json", *args, sql)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def state(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the state database."""
        from lakehouse.postgres import embedded
        from lakehouse.postgres.connect import connect, state_url

        with embedded.running(self.settings):
            connection = connect(state_url(self.settings), what="state database")
            try:
                with connection, connection.cursor() as cursor:
                    cursor.execute(sql)
                    return cursor.fetchall()
            finally:
                connection.close()

    def sample(self, *args: str) -> None:
        """``lakehouse sample bioreactor``."""
        done = self.call("sample", "bioreactor", *args)
        assert done.returncode == 0, done.stderr

    def alerts(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Open alerts, from ``lakehouse status``."""
        done = self.call("status", "--json")
        found = json.loads(done.stdout)["alerts"]
        return [alert for alert in found if kind in (None, alert["kind"])]


def copy_of_checkout(folder: Path) -> Path:
    """The platform's own code, models and declarations again in ``folder``, for a test that changes them."""
    for name in ("lakehouse", "ingestion", "lineage", "orchestration", "dbt_project"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "target", "logs"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@contextlib.contextmanager
def a_platform() -> Iterator[Platform]:
    """A platform with ports of its own, in a folder that the embedded server's account can reach; gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="lakehouse-test-"))
    folder.chmod(0o755)  # pytest's own folders are private
    made = Platform(
        folder / "data",
        {
            "LAKEHOUSE_POSTGRES_PORT": str(free_port()),
            "LAKEHOUSE_WEBSERVER_PORT": str(free_port()),
            "LAKEHOUSE_CODE_SERVER_PORT": str(free_port()),
            "LAKEHOUSE_DUCKDB_MEMORY_LIMIT": "2GB",
        },
    )
    try:
        yield made
    finally:
        from lakehouse.postgres import embedded

        embedded.stop(made.settings, force=True)
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def an_installation(room: str, *, data: str = "data", memory: str = "1GB") -> Iterator[Settings]:
    """Settings with a migrated Postgres, for calling a room's own functions; gone afterwards.

    Args:
        room: part of the temporary folder's name.
        data: name of the data folder.
        memory: that DuckDB may take.
    """
    from lakehouse.postgres import ready

    folder = Path(tempfile.mkdtemp(prefix=f"lakehouse-{room}-"))
    folder.chmod(0o755)  # the server runs as its own account
    settings = Settings(
        _env_file=None,
        data_dir=folder / data,
        postgres_port=free_port(),
        duckdb_memory_limit=memory,
        duckdb_threads=2,
    )
    with ready(settings):
        yield settings
    shutil.rmtree(folder, ignore_errors=True)
