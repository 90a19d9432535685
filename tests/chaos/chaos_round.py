"""One round: something arrives, a run is started, something is killed, and the next run must succeed by itself."""

from __future__ import annotations

import contextlib
import random
import time
from dataclasses import dataclass

import psycopg2
from aftermath import instance_of, said
from arena import PREFIX, Arena, rows, until
from arrivals import Arrivals, drop
from dagster import DagsterRunStatus, RunsFilter
from victims import choose, kill

from lakehouse.postgres.connect import marts_url

SPAN_SECONDS = {"terminal": 6.0, "page": 6.0, "dropped file": 5.0}
"""A kill comes at a random moment of this many seconds after the start: start-up, every step, and the end."""
NOT_THERE = (psycopg2.OperationalError, psycopg2.errors.UndefinedTable)
BY_ITSELF_SECONDS = 300.0
"""A run of a process that is gone is failed within 30 s, and started again; on a busy machine that takes a while."""


@dataclass(frozen=True)
class Outcome:
    """How a round went: seconds from the kill to the end of the run that made everything right."""

    number: int
    how: str
    victim: str
    killed: bool
    recovery: float

    def __str__(self) -> str:
        hit = self.victim if self.killed else f"{self.victim} (there was none)"
        return f"round {self.number}: {self.how}, killed {hit}, in order again after {self.recovery:.1f} s"


def play(arena: Arena, arrivals: Arrivals, rng: random.Random) -> Outcome:
    """Play one round.

    Half of the rounds only drop files: nobody starts a run, and nobody does after the kill. In the others a run is
    started by hand beside the worker's own, and another one after the kill, which must succeed.

    Args:
        arena: everything, running.
        arrivals: makes the files.
        rng: decides everything else.
    """
    number = len(arrivals.rounds)
    how = rng.choice(["dropped file", "dropped file", "terminal", "page"])
    drop(arena.store.endpoint, PREFIX, arrivals.next_round())
    terminal = arena.begin_run() if how == "terminal" else None
    if how == "page":
        arena.launch()
    time.sleep(rng.uniform(0.3, SPAN_SECONDS[how]))
    victim = choose(rng)
    began = time.monotonic()
    killed = kill(arena, victim, rng)
    what = f"round {number}, {how}, {victim} killed"
    if terminal is not None:
        _, said = terminal.communicate(timeout=180)
        assert terminal.pid in killed or "Traceback" not in said, f"{what}:\n{said}"
    if how != "dropped file":
        done = arena.platform.call("run", "--json", "--quiet")
        assert done.returncode == 0, f"{what}:\n{done.stdout}\n{done.stderr}"
        assert served(arena, arrivals), f"{what}: the mart does not hold what arrived\n{told(arena, arrivals)}"
    until(
        lambda: served(arena, arrivals),
        BY_ITSELF_SECONDS,
        f"{what}: the mart holds what arrived",
        lambda: told(arena, arrivals),
    )
    return Outcome(number, how, victim, bool(killed), time.monotonic() - began)


def served(arena: Arena, arrivals: Arrivals) -> bool:
    """Whether the mart holds exactly the readings of the newest version of every batch."""
    try:
        return _served(arena) == arrivals.readings
    except NOT_THERE:
        return False


def told(arena: Arena, arrivals: Arrivals) -> str:
    """What a person needs to know where the mart does not hold what arrived: what is missing, and who says what."""
    held, expected = {}, arrivals.readings
    with contextlib.suppress(*NOT_THERE):
        held = _served(arena)
    wrong = {key: (held.get(key), expected.get(key)) for key in held.keys() | expected.keys()}
    lines = [f"batch {key}: {here} readings, expected {there}" for key, (here, there) in wrong.items() if here != there]
    files = "select file_key, status, facts ->> 'cause', run_id from data_platform.ingestion_runs"
    lines += [str(row) for row in arena.ask(f"{files} order by ingestion_id desc limit 5")]
    runs = "select run_id, pipeline_name, status, create_timestamp, update_timestamp from runs order by id desc limit 8"
    lines += [" ".join(map(str, row)) for row in arena.ask(runs)]
    with instance_of(arena) as instance:
        failed = instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.FAILURE]), limit=1)
        lines += [f"run {run.run_id}: {text}" for run in failed for text in said(instance, run)[1]]
    logs = arena.platform.settings.data_path / "logs"
    for name in ("worker.log", "daemon.log"):
        lines += [f"{name}:", *(logs / name).read_text(encoding="utf-8", errors="replace").splitlines()[-15:]]
    return "\n".join(line[:2000] for line in lines)


def _served(arena: Arena) -> dict[str, int]:
    """Batch → readings in the mart."""
    sql = "select batch_id, sum(reading_count)::int from marts.mart_bioreactor_overview group by batch_id"
    return dict(rows(marts_url(arena.platform.settings), sql))
