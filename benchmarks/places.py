"""Platforms in temporary folders, each with its own Postgres on a free port, driven through the command line."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.processes import Usage, measured
from lakehouse import postgres
from lakehouse.postgres import ports
from lakehouse.settings import Settings

BIN = Path(sys.executable).parent
LAKEHOUSE = str(BIN / "lakehouse")
PYTHON = sys.executable
MEMORY_LIMIT = "3GB"
SETTLED_SECONDS = 10


def clean_environment() -> dict[str, str]:
    """The caller's environment without settings of this platform, of Dagster and of dbt.

    Byte-code may be written: a machine that forbids it would have our modules compiled again at each start, while
    installed packages come compiled, and the comparison would measure the compiler.
    """
    ours = ("LAKEHOUSE_", "DAGSTER_", "DBT_", "OPENLINEAGE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept


@dataclass(frozen=True)
class Place:
    """One platform with its Postgres running for as long as the benchmark holds it."""

    home: Path
    settings: Settings

    @property
    def environment(self) -> dict[str, str]:
        """What its processes see."""
        return {
            **clean_environment(),
            "LAKEHOUSE_DATA_DIR": str(self.home),
            "LAKEHOUSE_POSTGRES_PORT": str(self.settings.postgres_port),
            "LAKEHOUSE_DUCKDB_MEMORY_LIMIT": MEMORY_LIMIT,
        }

    @property
    def drop_zone(self) -> Path:
        """Where files are dropped."""
        path = self.home / "lake" / "raw" / "bioreactor"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def call(self, *args: str) -> Usage:
        """``lakehouse <args>``."""
        return measured([LAKEHOUSE, *args], self.environment)

    def run(self) -> Usage:
        """``lakehouse run``, its result as JSON in ``stdout``."""
        return self.call("run", "--json", "--quiet")

    def sample(self, batches: int, scale: float) -> None:
        """Sample data, one file per batch, settled."""
        self.call("sample", "bioreactor", "--batches", str(batches), "--scale", f"{scale:.6g}", "--late", "0")
        for path in self.drop_zone.iterdir():
            settle(path)

    def tool_environment(self) -> dict[str, str]:
        """For plain ``dbt`` and ``dagster``: what ``lakehouse env`` tells a user to set, with the manifest built."""
        self.call("setup")
        lines = shlex.split(self.call("env").stdout)
        return {**self.environment, **dict(word.split("=", 1) for word in lines if word != "export")}

    def rows_of_mart(self, table: str) -> int:
        """Rows of a table in the marts database."""
        return int(self.marts(f"select count(*) from {table}")[0][0])

    def marts(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements in the marts database as its administrator; rows of the last one."""
        from lakehouse.postgres.connect import connect, marts_admin_url

        with contextlib.closing(connect(marts_admin_url(self.settings), what="the benchmark's marts")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return list(cursor.fetchall()) if cursor.description else []


@contextlib.contextmanager
def a_place() -> Iterator[Place]:
    """A fresh platform; its Postgres is made, started and migrated before anything is measured. Gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="lakehouse-bench-"))
    folder.chmod(0o755)  # the server runs as an account of its own
    port = ports.free_port()
    settings = Settings(data_dir=folder / "data", postgres_port=port, duckdb_memory_limit=MEMORY_LIMIT)
    try:
        with postgres.ready(settings):
            yield Place(settings.data_path, settings)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def settle(path: Path) -> None:
    """Date a file back, as if it had been dropped some seconds ago: ingestion waits for files that are seconds old."""
    moment = time.time() - SETTLED_SECONDS
    os.utime(path, (moment, moment))


def result(usage: Usage) -> dict[str, Any]:
    """What ``lakehouse run --json`` said."""
    told: dict[str, Any] = json.loads(usage.stdout)
    return told


def statuses(usage: Usage) -> Mapping[str, str]:
    """Asset → status of a run."""
    return {line["asset"]: line["status"] for line in result(usage)["assets"]}
