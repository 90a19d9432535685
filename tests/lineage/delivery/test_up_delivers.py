"""``lakehouse up`` with a lineage server set: the drainer is one of its services, and comes back when it is killed."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

import pytest
from obedient_server import Obedient, obedient
from sample_events import run_of

from benchmarks.up import Up, an_up
from lakehouse.postgres.connect import connect, state_url
from lineage import backlog, outbox

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600)]
MEMORY_LIMIT_MB = 60
"""What the process costs beyond what it shares with others (PSS); measured 29, and 40 more with openlineage-python."""


def _put(up: Up, run: str) -> None:
    with contextlib.closing(connect(state_url(up.settings), what="state database")) as connection:
        outbox.put(connection, run_of(run), run_id=run)


def _waiting(up: Up) -> int:
    with contextlib.closing(connect(state_url(up.settings), what="state database")) as connection:
        return backlog.standing(connection).pending


def _first(server: Obedient, run: str) -> list[str]:
    """Keys of a run's events as they came for the first time: what is in doubt is sent again."""
    return [key for key in dict.fromkeys(server.keys) if key.startswith(f"{run}/")]


def _memory(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("Pss:"))


def test_events_are_delivered_by_a_service_that_is_light_and_comes_back_when_killed():
    with obedient() as server, an_up(OPENLINEAGE_URL=server.url) as up:
        up.parts = 6
        up.start()
        up.until("everything works", up.all_up)
        _put(up, "run-1")
        up.until("events are delivered", lambda: server.keys == [item.key for item in run_of("run-1")], seconds=30)
        former = up.services()["lineage"]["pid"]
        memory = _memory(former)
        print(f"the drainer takes {memory:.0f} MB (PSS)")
        assert memory < MEMORY_LIMIT_MB
        up.until("and their delivery is noted", lambda: not _waiting(up), seconds=60)
        os.kill(former, signal.SIGKILL)
        _put(up, "run-2")
        wanted = [item.key for item in run_of("run-2")]
        up.until("they are again", lambda: _first(server, "run-2") == wanted, seconds=180)
        up.until("everything works again", up.all_up, seconds=180)
        assert up.services()["lineage"]["pid"] != former
        assert "lineage works again after" in up.output.read_text()
        up.stop()
        assert not Path(f"/proc/{up.services().get('lineage', {}).get('pid', former)}").exists()


def test_without_a_lineage_server_there_is_no_such_service():
    with an_up() as up:
        up.start()
        up.until("everything works", up.all_up)
        assert "lineage" not in up.services()
