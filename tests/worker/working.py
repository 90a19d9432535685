"""A worker process on a platform, files dropped for it, and the mart seen as a consumer sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from connections import Watched
from platforms import CLI, ROOT, Platform
from psycopg2.extensions import connection

from lakehouse.postgres import ready
from lakehouse.postgres.connect import bi_url, connect, state_url

PARAMETERS = (("temperature", 37.0, "°C"), ("ph", 7.0, "pH"), ("do", 40.0, "%"))


def readings(batch: str, rows: int = 60) -> pa.Table:
    """Good readings of one batch, a few hours old."""
    began = datetime.now(UTC).replace(tzinfo=None, microsecond=0) - timedelta(hours=3)
    kinds = [PARAMETERS[number % 3] for number in range(rows)]
    return pa.table(
        {
            "timestamp": pa.array([began + timedelta(seconds=number) for number in range(rows)], pa.timestamp("us")),
            "batch_id": [batch] * rows,
            "equipment_id": ["BR-01"] * rows,
            "parameter": [kind[0] for kind in kinds],
            "value": [kind[1] for kind in kinds],
            "unit": [kind[2] for kind in kinds],
        }
    )


def drop(zone: Path, batch: str, rows: int = 60) -> Path:
    """Put a file into a drop zone by renaming it into its place."""
    zone.mkdir(parents=True, exist_ok=True)
    path = zone / f"{batch}.parquet"
    hidden = zone / f".{batch}.new"
    pq.write_table(readings(batch, rows), hidden)
    hidden.rename(path)
    return path


def until(condition, seconds: float, what: str = "it", every: float = 0.05) -> Any:
    """Wait until a condition is true and return what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds:.0f} s"
        time.sleep(every)
    return found


def served(marts: connection, prefix: str) -> int:
    """How many batches of this prefix the mart holds."""
    with marts.cursor() as cursor:
        cursor.execute("select to_regclass('marts.mart_bioreactor_overview') is null")
        if cursor.fetchone()[0]:
            return 0
        cursor.execute(
            "select count(distinct batch_id) from marts.mart_bioreactor_overview where batch_id like %s",
            (prefix + "%",),
        )
        return cursor.fetchone()[0]


class Working:
    """A running ``lakehouse worker``.

    Args:
        platform: where it works.
        root: the checkout it runs from, another one than this where its code is to change.
        watched: what writes down its connections.
        further: variables of its environment.
    """

    def __init__(self, platform: Platform, root: Path = ROOT, watched: Watched | None = None, **further: str) -> None:
        self.platform = platform
        self.settings = platform.settings
        platform.home.mkdir(parents=True, exist_ok=True)
        self.log = platform.home.parent / "worker.txt"
        command = [str(CLI), "worker"] if root == ROOT else [sys.executable, "-m", "lakehouse.cli.main", "worker"]
        path = str(root)
        if watched is not None:
            command, further = [*watched.command, *command], {**watched.variables, **further}
            path = os.pathsep.join([path, watched.variables["PYTHONPATH"]])
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                command,
                env={**platform.environment, **further, "PYTHONPATH": path},
                cwd=root,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until(lambda: self.process.poll() is not None or "Watching" in self.text, 120, "its start")
        assert self.process.poll() is None, self.text
        self.marts = connect(bi_url(self.settings), what="marts")
        self.marts.autocommit = True
        self.state = connect(state_url(self.settings), what="state")
        self.state.autocommit = True

    @property
    def text(self) -> str:
        """What it has said."""
        return self.log.read_text()

    def drop(self, batch: str, rows: int = 60) -> Path:
        """See :func:`drop`."""
        return drop(self.platform.drop_zone, batch, rows)

    def served(self, prefix: str) -> int:
        """See :func:`served`."""
        return served(self.marts, prefix)

    def wait_for(self, prefix: str, batches: int = 1, seconds: float = 120) -> None:
        """Wait until the mart holds so many batches of this prefix."""
        until(lambda: self.served(prefix) >= batches, seconds, f"{batches} of {prefix} in the mart", every=0.01)

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Rows from the state database."""
        with self.state.cursor() as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall()

    def beat(self) -> tuple[Any, ...]:
        """State, run count, failed runs and files of the worker that was started last."""
        return self.ask(
            "select state, runs, failed_runs, files, run_id from data_platform.worker_status"
            " order by started_at desc limit 1"
        )[0]

    def runs(self) -> list[tuple[str, str]]:
        """Id and status of every ``file_arrival`` run, oldest first."""
        return self.ask(
            "select run_id, status from runs where pipeline_name = 'file_arrival' order by create_timestamp"
        )

    def resident_mb(self) -> float:
        """Resident memory of the process."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def stop(self, seconds: float = 30) -> int:
        """End it by SIGTERM and return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(seconds)

    def end(self) -> None:
        """Leave nothing of it behind, whatever state it is in."""
        self.marts.close()
        self.state.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGCONT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.stop()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def working(platform: Platform, root: Path = ROOT, watched: Watched | None = None, **further: str) -> Iterator[Working]:
    """A worker for the length of the block; nothing of it is left behind."""
    with ready(platform.settings):  # so that Postgres can be asked when the worker has gone
        found = Working(platform, root, watched, **further)
        try:
            yield found
        finally:
            found.end()
