"""One round: something arrives, a run is started, something is killed, and the next run must succeed by itself."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

import psycopg2
from arena import PREFIX, Arena, rows, until
from arrivals import Arrivals, drop
from victims import choose, kill

from lakehouse.postgres.connect import marts_url

SPAN_SECONDS = {"terminal": 6.0, "page": 8.0, "dropped file": 12.0}
"""A kill comes at a random moment of this many seconds after the start: start-up, every step, and the end."""
BY_ITSELF_SECONDS = 90.0


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


def play(arena: Arena, arrivals: Arrivals, rng: random.Random, *, watching: bool) -> Outcome:
    """Play one round.

    Args:
        arena: everything, running.
        arrivals: makes the files.
        rng: decides everything else.
        watching: the platform picks up files by itself, and nothing else is started, also afterwards.
    """
    number = len(arrivals.rounds)
    how = "dropped file" if watching else rng.choice(["terminal", "page"])
    drop(arena.store.endpoint, PREFIX, arrivals.next_round())
    terminal = arena.begin_run() if how == "terminal" else None
    if how == "page":
        arena.launch()
    time.sleep(rng.uniform(0.3, SPAN_SECONDS[how]))
    victim = choose(rng)
    began = time.monotonic()
    killed = kill(arena, victim, rng)
    if terminal is not None:
        _, said = terminal.communicate(timeout=180)
        assert terminal.pid in killed or "Traceback" not in said, f"round {number}, {victim} killed:\n{said}"
    if watching:
        until(lambda: served(arena, arrivals), BY_ITSELF_SECONDS, f"round {number}: the mart holds what arrived")
    else:
        done = arena.platform.call("run", "--json", "--quiet")
        assert done.returncode == 0, f"round {number}, {victim} killed:\n{done.stdout}\n{done.stderr}"
        assert served(arena, arrivals), f"round {number}: the mart does not hold what arrived"
    return Outcome(number, how, victim, bool(killed), time.monotonic() - began)


def served(arena: Arena, arrivals: Arrivals) -> bool:
    """Whether the mart holds exactly the readings of the newest version of every batch."""
    sql = "select batch_id, sum(reading_count)::int from marts.mart_bioreactor_overview group by batch_id"
    try:
        return dict(rows(marts_url(arena.platform.settings), sql)) == arrivals.readings
    except (psycopg2.OperationalError, psycopg2.errors.UndefinedTable):
        return False
