"""``lakehouse up`` with its parts killed one by one: each is back by itself, and all of them work together again."""

from __future__ import annotations

import os
import signal
import time

import pytest

from benchmarks.up import Up, an_up
from lakehouse.services import child

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600)]

SELECTOR = '{repositoryLocationName: "lakehouse", repositoryName: "__repository__"}'
TICKS = f"{{ sensorsOrError(repositorySelector: {SELECTOR})" + (
    " { ... on Sensors { results { name sensorState { ticks(limit: 1) { timestamp } } } } } }"
)


@pytest.fixture(scope="module")
def up():
    with an_up() as started:
        started.start()
        started.until("everything works", started.all_up)
        yield started


def _kill(up: Up, service: str) -> None:
    former = up.services()[service]["pid"]
    os.kill(former, signal.SIGKILL)

    def back() -> bool:
        found = up.services()[service]
        return found["pid"] != former and found["state"] == "up"

    up.until(f"{service} is back", back, seconds=90)


def _last_tick(up: Up) -> float:
    found = up.ask(TICKS).get("sensorsOrError", {}).get("results", [])
    return max((tick["timestamp"] for item in found for tick in item["sensorState"]["ticks"]), default=0.0)


def _everything_works_together(up: Up) -> None:
    """Pages list the assets, and the daemon has a sensor evaluated by the code server and stored by Postgres."""
    up.until("the pages list the assets", up.pages_answer, seconds=60)
    moment = time.time()
    up.until("a sensor ticks", lambda: _last_tick(up) > moment, seconds=120)


@pytest.mark.parametrize("service", ["postgres", "code server", "webserver", "daemon", "worker"])
def test_a_killed_part_is_back_and_all_work_together(up, service):
    others = {name: item["pid"] for name, item in up.services().items() if name != service}
    _kill(up, service)
    _everything_works_together(up)
    for name, pid in others.items():
        assert up.services()[name]["pid"] == pid, f"{name} went on with the same process"
    assert f"{service} works again after" in up.output.read_text()


def test_a_killed_supervisor_leaves_nothing_that_stops_the_next_one(up):
    leaders = [item["pid"] for name, item in up.services().items() if name != "postgres"]
    up.process.kill()
    up.process.wait()
    up.start()
    up.until("everything works", up.all_up, seconds=120)
    assert not [pid for leader in leaders for pid in child.session(leader)]
    _everything_works_together(up)
    assert all(item["restarts"] == 0 for item in up.services().values())
