"""The resident worker brings a dropped file into the mart well before a run that is started for it does.

Seconds depend on the machine and on what else it does: `python -m benchmarks file_latency` holds them against their
limits. Here both ways take turns, so that whatever slows one down slows down the other.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from platforms import Platform, a_platform
from working import Working, drop, served, until, working

from lakehouse.postgres import ready
from lakehouse.postgres.connect import bi_url, connect

PAIRS = 8
AT_MOST = 0.6
"""Of the seconds of `lakehouse run`. Measured: 0.28, on a busy machine less. A sensor asked every 5 s would not do."""


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_the_worker_beats_a_run_that_is_started_for_the_file(platform, measured):
    with a_platform() as other, working(platform) as worker, _runs_for_files(other) as run_for:
        worker.drop("L")
        worker.wait_for("L")  # the first file makes schemas and tables
        run_for("L")
        pairs = [(_by_worker(worker, f"L{number}"), run_for(f"L{number}")) for number in range(PAIRS)]
        assert len(worker.runs()) == PAIRS + 1, "one run a file: none waited for the next"
    ours, theirs = (statistics.median(seconds) for seconds in zip(*pairs, strict=True))
    ratio = statistics.median(one / two for one, two in pairs)
    measured(f"{ours:.2f} s by the worker, {theirs:.2f} s by a run of its own, {ratio:.2f}x")
    assert ratio <= AT_MOST


def _by_worker(worker: Working, batch: str) -> float:
    """Seconds until the mart holds what was dropped beside a worker at rest."""
    until(lambda: worker.beat()[0] == "idle", 60, "its rest")
    staged = drop(worker.platform.home.parent / "staged", batch)
    began = time.monotonic()
    staged.rename(worker.platform.drop_zone / staged.name)
    worker.wait_for(batch)
    return time.monotonic() - began


@contextlib.contextmanager
def _runs_for_files(platform: Platform) -> Iterator[Callable[[str], float]]:
    """How long a ``lakehouse run`` takes until the mart holds a file; Postgres stays up, as it does for the worker."""
    with ready(platform.settings), contextlib.closing(connect(bi_url(platform.settings), what="marts")) as marts:
        marts.autocommit = True

        def seconds(batch: str) -> float:
            drop(platform.drop_zone, batch)
            with ThreadPoolExecutor(1) as beside:
                began = time.monotonic()
                run = beside.submit(platform.run)
                until(lambda: served(marts, batch), 120, f"{batch} in the mart", every=0.01)
                ended = time.monotonic()
                run.result()
            return ended - began

        yield seconds
