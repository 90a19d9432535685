"""The table of signs of life, ``data_platform.run_heartbeats``: who executes which run, and when it last said so.

What belongs here: reading and writing that table. What does not: deciding that a run is dead (the reaper's business).
Ages are measured by the database's clock alone, which all hosts share.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection


@dataclass(frozen=True)
class Beat:
    """The last sign of life of a run.

    Attributes:
        run_id: the run.
        process: identity of the process that executes it; None while nobody has taken it up.
        age: seconds since the last sign, or since the run was first noticed.
    """

    run_id: str
    process: str | None
    age: float


def beat(connection: Connection, run_id: str, process: str) -> None:
    """Note that this process executes this run, now."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "insert into data_platform.run_heartbeats (run_id, process, beat_at) values (%s, %s, clock_timestamp())"
            " on conflict (run_id) do update set process = excluded.process, beat_at = excluded.beat_at",
            (run_id, process),
        )


def look(connection: Connection, in_progress: Iterable[str]) -> dict[str, Beat]:
    """The last sign of every run that has one, by run id.

    A run in progress that is not known yet is noted, so that its silence can be measured from now on. A sign dated in
    the future is one from before the database's clock was set back: it counts from now on too.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "insert into data_platform.run_heartbeats (run_id) select unnest(%s::text[]) on conflict do nothing",
            (sorted(in_progress),),
        )
        cursor.execute("update data_platform.run_heartbeats set beat_at = now() where beat_at > now() + interval '1 s'")
        cursor.execute(
            "select run_id, process, extract(epoch from clock_timestamp() - beat_at)::float"
            " from data_platform.run_heartbeats"
        )
        return {row[0]: Beat(*row) for row in cursor.fetchall()}


def forget(connection: Connection, run_ids: Iterable[str]) -> None:
    """Drop the signs of runs that have ended."""
    with connection, connection.cursor() as cursor:
        cursor.execute("delete from data_platform.run_heartbeats where run_id = any(%s)", (sorted(run_ids),))
