"""What the resident worker says of itself: ``data_platform.worker_status``, by the database's clock.

What belongs here: writing a heartbeat and judging one. What does not: what a worker does (:mod:`orchestration.worker`).
It stands on the ground floor because the sensor, ``lakehouse status`` and a supervisor all ask it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

BEAT_SECONDS = 3.0
STALE_SECONDS = 15.0
"""A worker that has been silent for longer counts as dead or hanging, and the sensor takes over."""
KEPT_DAYS = 7


@dataclass(frozen=True)
class Beat:
    """What a worker tells.

    Attributes:
        worker_id: of this start of this process.
        host: where it runs.
        process: identity of its process, see `orchestration.processes`.
        state: ``starting``, ``idle``, ``running``, ``troubled`` or ``stopped``.
        doing: for people.
        run_id: the run it executes.
        runs, failed_runs, files: since it started.
        memory_bytes: resident memory.
    """

    worker_id: str
    host: str
    process: str
    state: str = "starting"
    doing: str = ""
    run_id: str | None = None
    runs: int = 0
    failed_runs: int = 0
    files: int = 0
    memory_bytes: int | None = None


@dataclass(frozen=True)
class Worker:
    """A worker as others see it.

    Attributes:
        beat: the last it told.
        started_at, beat_at: by the database's clock.
        silent_seconds: since the last beat.
    """

    beat: Beat
    started_at: datetime
    beat_at: datetime
    silent_seconds: float

    @property
    def fresh(self) -> bool:
        """Whether it beats and can work: then the sensor leaves everything to it."""
        return self.beat.state not in {"stopped", "troubled"} and self.silent_seconds <= STALE_SECONDS

    @property
    def verdict(self) -> str:
        """``running``, ``stale`` (it went silent without a goodbye) or ``not running``."""
        if self.beat.state == "stopped":
            return "not running"
        return "running" if self.silent_seconds <= STALE_SECONDS else "stale"


def tell(connection: Connection, beat: Beat) -> None:
    """Write a heartbeat; the first one of a worker forgets workers that have been gone for a week."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "insert into data_platform.worker_status as w (worker_id, host, process, state, doing, run_id, runs,"
            " failed_runs, files, memory_bytes) values (%(worker_id)s, %(host)s, %(process)s, %(state)s, %(doing)s,"
            " %(run_id)s, %(runs)s, %(failed_runs)s, %(files)s, %(memory_bytes)s)"
            " on conflict (worker_id) do update set beat_at = now(), state = excluded.state, doing = excluded.doing,"
            " run_id = excluded.run_id, runs = excluded.runs, failed_runs = excluded.failed_runs,"
            " files = excluded.files, memory_bytes = excluded.memory_bytes",
            beat.__dict__,
        )
        if beat.state == "starting":
            cursor.execute(
                "delete from data_platform.worker_status where beat_at < now() - make_interval(days => %s)",
                (KEPT_DAYS,),
            )


def latest(connection: Connection) -> Worker | None:
    """The worker that was heard of last; None if there never was one.

    A beat from the future is one from before the clock was set back: it must not outdo those that come since.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select worker_id, host, process, state, doing, run_id, runs, failed_runs, files, memory_bytes, started_at,"
            " beat_at, abs(extract(epoch from now() - beat_at))::float8 as silent from data_platform.worker_status"
            " order by (state = 'stopped'), silent limit 1"
        )
        row: tuple[Any, ...] | None = cursor.fetchone()
    return None if row is None else Worker(Beat(*row[:10]), *row[10:])
