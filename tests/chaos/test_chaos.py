"""Kill anything at random while runs go on: the next run succeeds, and the result is that of an undisturbed one.

``LAKEHOUSE_TEST_CHAOS_ROUNDS`` (100) and ``LAKEHOUSE_TEST_CHAOS_SEED`` (drawn, and printed) set how much and what;
``LAKEHOUSE_TEST_CHAOS_VICTIM`` (``"object store"``) has one kind of thing killed only.
"""

from __future__ import annotations

import os
import random
import statistics
import time
from collections import defaultdict

import pytest
from aftermath import instance_of, left_behind, orphans, unexplained, wait_for_quiet
from aftermath_lineage import badly_told, told
from arena import an_arena, until
from arrivals import Arrivals
from chaos_round import Outcome, play
from undisturbed import an_undisturbed, differences, result_of
from watchman import Watchman

ROUNDS = int(os.environ.get("LAKEHOUSE_TEST_CHAOS_ROUNDS", "100"))
SEED = os.environ.get("LAKEHOUSE_TEST_CHAOS_SEED") or str(random.randrange(10**6))
COMPARE_EVERY = 25

# Not tried again: what it finds is rare by nature, and a second attempt would hide it.
pytestmark = [pytest.mark.prove, pytest.mark.timeout(600 + ROUNDS * 120), pytest.mark.flaky(reruns=0)]


def test_whatever_is_killed_the_next_run_makes_it_right(capsys, measured):
    outcomes: list[Outcome] = []

    def say(text: str) -> None:
        print(text)  # shown with a failure
        with capsys.disabled():
            print(f"\n  {text}", end="", flush=True)

    say(f"{ROUNDS} rounds, seed {SEED} (LAKEHOUSE_TEST_CHAOS_SEED={SEED} plays them again)")
    began = time.monotonic()
    arrivals = Arrivals(random.Random(SEED))
    with an_arena() as arena, an_undisturbed(arena.store) as undisturbed, Watchman(arena) as watchman:
        arena.start()
        for number in range(ROUNDS):
            outcomes.append(play(arena, arrivals, random.Random(f"{SEED}/{number}")))
            say(f"{time.monotonic() - began:6.0f} s  {outcomes[-1]}")
            assert watchman.violations() == []
            if (number + 1) % COMPARE_EVERY == 0 or number + 1 == ROUNDS:
                wait_for_quiet(arena, 300)
                assert differences(result_of(arena.platform), undisturbed.catch_up(arrivals)) == []
                with instance_of(arena) as instance:
                    mysteries = unexplained(instance)
                    assert not mysteries, "\n\n".join(mysteries)
                until(lambda: not badly_told(arena), 300, "lineage knows of every run:", lambda: badly_told(arena))
        # Not at once: a run that Dagster starts again after a while may be at it.
        until(lambda: not left_behind(arena), 300, "nothing is left behind:", lambda: left_behind(arena))
        runs, events = told(arena)
        assert runs >= ROUNDS
        arena.stop()
        assert orphans(arena) == []
    for line in summary(outcomes):
        measured(line)
    for kind, (seconds, who) in watchman.longest.items():
        measured(f"longest {kind}: {seconds:.0f} s ({who})")
    measured(f"lineage: {runs} runs told in {events} events")


def summary(outcomes: list[Outcome]) -> list[str]:
    """Recovery per victim: rounds, median and longest."""
    by_victim = defaultdict(list)
    for outcome in outcomes:
        if outcome.killed:
            kind = outcome.victim + (", by itself" if outcome.how == "dropped file" else "")
            by_victim[kind].append(outcome.recovery)
    return [
        f"{victim:28} {len(times):3} kills, in order again after {statistics.median(times):5.1f} s (median), "
        f"{max(times):5.1f} s (longest)"
        for victim, times in sorted(by_victim.items())
    ]
