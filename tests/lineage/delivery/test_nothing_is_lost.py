"""Every event arrives, each run's in order, whatever server, network, drainer and Postgres do; poison is named.

One round is one run of six events. What the server does to each is decided by the seed; between the rounds drainers
are killed, Postgres is stopped and started, sessions are cut and the server is killed.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest
from delivering import DrainerProcess, UnrulyServer, environment, unruly, until
from platforms import Platform
from sample_events import run_of
from unruly_server import poison

from lakehouse.errors import UnavailableError
from lakehouse.postgres import embedded, ready
from lakehouse.postgres.connect import connect, state_url
from lineage import outbox

ROUNDS_AT_ONCE = 25
SECONDS_TO_SETTLE = 300
ENDED_POLITELY = {0, -signal.SIGTERM}
"""It may not have come to where it takes the signal."""
CUT = "select pg_terminate_backend(pid) from pg_stat_activity where usename = current_user and pid <> pg_backend_pid()"


def seed_of(default: int) -> int:
    """The seed: another each time, or the one that is to be repeated."""
    return int(os.environ.get("LAKEHOUSE_TEST_CHAOS_SEED") or default)


class Bench:
    """A platform whose outbox two drainers empty into an unruly server.

    Args:
        platform: its Postgres runs.
        folder: for logs and what the server stores.
        seed: of everything that happens.
    """

    def __init__(self, platform: Platform, folder: Path, server: UnrulyServer, seed: int) -> None:
        self.platform, self.server, self.dice = platform, server, random.Random(seed)
        self.log = folder / "drainers.txt"
        self.drainers = [self._drainer(), self._drainer()]
        self.done: Counter[str] = Counter()

    def put(self, run: str) -> None:
        """Store a run's events, trying again while Postgres is away: the second time changes nothing."""
        while True:
            try:
                with contextlib.closing(self._connect()) as connection:
                    outbox.put(connection, run_of(run), run_id=run)
                    return
            except (psycopg2.OperationalError, psycopg2.InterfaceError, UnavailableError):
                time.sleep(0.05)

    def disturb(self) -> None:
        """One mishap, chosen by the dice."""
        what = self.dice.choice(
            ["kill a drainer", "kill both", "end one", "restart Postgres", "cut sessions", "kill the server", "nothing"]
        )
        self.done[what] += 1
        if what in {"kill a drainer", "kill both", "end one"}:
            chosen = [0, 1] if what == "kill both" else [self.dice.randrange(2)]
            for number in chosen:
                if what == "end one":
                    assert self.drainers[number].end() in ENDED_POLITELY
                else:
                    self.drainers[number].kill()
                self.drainers[number] = self._drainer()
        elif what == "restart Postgres":
            embedded.stop(self.platform.settings, force=True)
            embedded.revive(self.platform.settings)
        elif what == "cut sessions":
            self.ask(CUT)
        elif what == "kill the server":
            self.server.kill()

    def ask(self, sql: str) -> list[tuple]:
        """Rows of the state database."""
        with contextlib.closing(self._connect()) as connection, connection, connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    def settle(self) -> None:
        """Wait until nothing is pending."""
        pending = "select count(*) from data_platform.lineage_outbox where status = 'pending'"
        pending += " or (status = 'delivered' and last_error is not null)"  # an end follows it once more
        until(lambda: self.ask(pending) == [(0,)], SECONDS_TO_SETTLE, "the backlog is empty")

    def end(self) -> None:
        """End the drainers politely."""
        assert {drainer.end() for drainer in self.drainers} <= ENDED_POLITELY

    def _connect(self):
        return connect(state_url(self.platform.settings), what="state database")

    def _drainer(self) -> DrainerProcess:
        return DrainerProcess(self.platform, self.log, **environment(self.server.url))


def prove(platform: Platform, folder: Path, rounds: int, seed: int, measured: Callable[[str], None] = print) -> None:
    """So many rounds; asserts what must hold in the end."""
    print(f"LAKEHOUSE_TEST_CHAOS_SEED={seed} repeats this")
    runs = [f"run-{seed}-{number:04d}" for number in range(rounds)]
    with ready(platform.settings), unruly(folder, seed) as server:
        bench = Bench(platform, folder, server, seed)
        try:
            for number, run in enumerate(runs):
                bench.put(run)
                if number % ROUNDS_AT_ONCE == ROUNDS_AT_ONCE - 1:
                    bench.disturb()
                    time.sleep(bench.dice.uniform(0, 0.5))
            bench.settle()
            bench.end()
        finally:
            for drainer in bench.drainers:
                drainer.kill()
        arrived = [event["key"] for event in server.stored()]
        dead = dict(bench.ask("select event_key, last_status from data_platform.lineage_outbox where status = 'dead'"))
        deaths = server.deaths
        named = "\n".join(row[0] for row in bench.ask("select message from data_platform.alert_history"))
    once = list(dict.fromkeys(arrived))
    put = [event.key for run in runs for event in run_of(run)]
    poisonous = {key: status for key in put if (status := poison(seed, key)) is not None}
    assert dead == poisonous
    assert set(once) == set(put) - set(poisonous)
    jobs = {event.key: event.job for run in runs for event in run_of(run)}
    put_of: dict[str, list[str]] = {}
    for key in put:
        put_of.setdefault(key.rsplit("/", 2)[0] + jobs[key], []).append(key)
    order = {key: position for position, key in enumerate(once)}
    for run in runs:
        wanted = [event.key for event in run_of(run) if event.key not in poisonous]
        assert sorted(wanted, key=order.__getitem__) == wanted, f"{run} arrived in another order"
    # What arrived twice left no job as if it still ran: the last that arrived of each is the last that was put. Only a
    # drainer killed with an event in flight may leave one, where the other takes over before the server has stored it.
    last = {key.rsplit("/", 2)[0] + jobs[key]: key for key in arrived}
    wrong = {key for job, key in last.items() if key != [k for k in put_of[job] if k in order][-1]}
    assert len(wrong) <= bench.done["kill a drainer"] + bench.done["kill both"], wrong
    for job in {event.job for run in runs for event in run_of(run) if event.key in poisonous}:
        assert f"refused events of job {job}" in named
    for key in poisonous:
        assert f"Dead letter: lineage event {key} of job" in bench.log.read_text()
    measured(
        f"{rounds} rounds: {len(put)} events, {len(arrived) - len(once)} arrived more than once, {len(dead)} poison, "
        f"the server died {deaths} times, {len(wrong)} jobs left open; {dict(bench.done)}"
    )
    assert len(arrived) > len(once), "nothing arrived twice: the server was not unruly"


def test_forty_rounds_with_an_unruly_server_and_killed_drainers_lose_nothing(platform, tmp_path):
    prove(platform, tmp_path, 40, seed_of(7))


@pytest.mark.prove
@pytest.mark.timeout(900)
def test_a_thousand_rounds_lose_nothing_keep_the_order_and_name_the_poison(platform, tmp_path, measured):
    prove(platform, tmp_path, 1000, seed_of(time.time_ns() % 10**9), measured)
