"""How long a dropped file takes to the mart, one file at a time."""

from __future__ import annotations

import random
import statistics
import time

import pytest
from working import drop, working

from benchmarks.file_latency import P50, P95, percentile

FILES = 25
NOISE = 3.0
"""The limits hold on a quiet machine (`python -m benchmarks file_latency`); a proof may run beside others."""


@pytest.mark.prove
@pytest.mark.timeout(400)
def test_a_file_is_in_the_mart_within_seconds(platform, measured):
    chance = random.Random(1)
    taken = []
    with working(platform) as worker:
        for number in range(FILES + 2):
            batch = f"L{number:03}"
            staged = drop(platform.drop_zone.parent / "_staged", batch)
            began = time.monotonic()
            staged.rename(platform.drop_zone / staged.name)
            worker.wait_for(batch)
            taken.append(time.monotonic() - began)
            time.sleep(chance.uniform(0, 1))
    ranked = sorted(taken[2:])  # the first ones make schemas and tables
    p50, p95 = statistics.median(ranked), percentile(ranked, 0.95)
    measured(f"p50 {p50:.2f} s, p95 {p95:.2f} s, max {ranked[-1]:.2f} s")
    assert p50 <= P50 * NOISE
    assert p95 <= P95 * NOISE
