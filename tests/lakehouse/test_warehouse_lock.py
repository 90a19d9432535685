"""The one-writer lock: it excludes, names its holder, and dies with it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lakehouse.duckdb.lock import exclusive, holder, shared
from lakehouse.errors import BusyError

HOLD = """
import sys, time
from pathlib import Path
from lakehouse.duckdb.lock import exclusive
with exclusive(Path(sys.argv[1]), "nightly run", timeout=5):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def held(tmp_path):
    warehouse = tmp_path / "w.duckdb"
    child = subprocess.Popen([sys.executable, "-c", HOLD, str(warehouse)], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "held\n"
    yield warehouse, child
    child.kill()
    child.wait()


def test_a_second_writer_is_told_who_holds_the_warehouse(held):
    warehouse, child = held
    waited_for = []
    with (
        pytest.raises(BusyError, match=rf"nightly run \(process {child.pid}, since .*\); waited 0 s") as error,
        exclusive(warehouse, "mine", timeout=0.3, on_wait=waited_for.append),
    ):
        pass
    assert error.value.exit_code == 5
    assert [who.pid for who in waited_for] == [child.pid]


def test_a_reader_waits_for_a_writer_but_not_for_readers(held, tmp_path):
    warehouse, child = held
    with pytest.raises(BusyError), shared(warehouse, timeout=0.2):
        pass
    child.kill()
    child.wait()
    with shared(warehouse, timeout=1), shared(warehouse, timeout=1):
        assert holder(warehouse) is None


def test_who_waits_for_a_reader_is_not_told_of_the_writer_before(tmp_path):
    warehouse = tmp_path / "w.duckdb"
    with exclusive(warehouse, "former", timeout=1):
        pass
    with (
        shared(warehouse, timeout=1),
        pytest.raises(BusyError, match="in use by another process"),
        exclusive(warehouse, "mine", timeout=0.2),
    ):
        pass


def test_a_killed_writer_frees_the_warehouse_at_once(held):
    warehouse, child = held
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    began = time.monotonic()
    with exclusive(warehouse, "next", timeout=60):
        assert time.monotonic() - began < 5
        assert holder(warehouse).what == "next"
    assert holder(warehouse) is None


def test_nobody_holds_a_warehouse_that_does_not_exist(tmp_path):
    assert holder(Path(tmp_path / "none.duckdb")) is None


@contextlib.contextmanager
def _others(number: int, use):
    """So many threads that take the lock again as soon as they have let go."""
    ended = threading.Event()

    def work() -> None:
        while not ended.is_set():
            use()

    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_who_has_just_let_go_does_not_overtake_who_waits(tmp_path):
    warehouse, taken = tmp_path / "w.duckdb", []

    def greedy() -> None:
        with exclusive(warehouse, "again", timeout=10):
            taken.append(time.monotonic())
            time.sleep(0.3)

    waited_from = []
    with _others(1, greedy):
        while not taken:
            time.sleep(0.01)
        with exclusive(warehouse, "mine", timeout=30, on_wait=lambda _: waited_from.append(len(taken))):
            before = len(taken) - waited_from[0] if waited_from else 0
    assert before <= 2, f"it was taken {before} times over the head of one who waited"


def test_readers_one_after_another_do_not_keep_a_writer_out(tmp_path):
    warehouse = tmp_path / "w.duckdb"

    def reader() -> None:
        with shared(warehouse, timeout=10):
            time.sleep(0.05)

    with _others(4, reader), exclusive(warehouse, "writer", timeout=20):
        pass
