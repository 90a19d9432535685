"""Events as a mapper would put them, and short ways to ask the outbox of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from lineage import outbox as box
from lineage.outgoing import Outgoing

START = datetime(2026, 11, 20, 8, tzinfo=UTC)


def event(
    run: str, number: int, type_: str = "START", job: str = "dim_batch", body: dict[str, Any] | None = None
) -> Outgoing:
    """One event of a run."""
    at = START + timedelta(seconds=number)
    key = f"{run}/{number}/{type_}"
    said = {"eventType": type_, "eventTime": at.isoformat(), "key": key, "order": run, "number": number, "job": job}
    said["run"], said["further_text"] = {"runId": f"{run}/{job}"}, "x" * 300
    return Outgoing(key, run, "run", type_, job, at, {**said, **(body or {})})


def run_of(run: str, jobs: Sequence[str] = ("stg_bioreactor", "dim_batch")) -> list[Outgoing]:
    """A whole run: the parent's START, START and COMPLETE of each job, the parent's COMPLETE."""
    steps = [("START", "lakehouse"), *((type_, job) for job in jobs for type_ in ("START", "COMPLETE"))]
    steps.append(("COMPLETE", "lakehouse"))
    return [event(run, number, type_, job) for number, (type_, job) in enumerate(steps)]


def ask(connection, sql, *values):
    """What the state database answers; empty for a statement without an answer."""
    with connection, connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall() if cursor.description else []


def statuses(connection):
    """Key → status of every event in the outbox."""
    return {item.key: item.status for item in box.events(connection)}
