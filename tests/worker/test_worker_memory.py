"""The worker's memory does not grow with the files it has taken: ten thousand of them in many runs."""

from __future__ import annotations

from typing import Any

import pytest
from working import drop, until, working

ROUNDS, BATCH, WARM = 50, 200, 10
FILES = ROUNDS * BATCH
ALLOWED_MB_PER_1000_FILES = 8.0
"""Measured: 0.6 to 1.5, in steps of what the allocator takes at once. A leak of a kilobyte per event would be 25."""


@pytest.mark.prove
@pytest.mark.timeout(2700)
@pytest.mark.flaky(reruns=0)
def test_memory_is_flat_over_ten_thousand_files(platform, measured):
    # The same two hundred batches arrive again and again with other content: what is known stays as large as it is, so
    # what grows is a leak.
    with working(platform) as worker:
        sizes = []
        for number in range(ROUNDS):
            staged = [
                drop(worker.platform.home.parent / "staged", f"M{item:03}", rows=9 + number) for item in range(BATCH)
            ]
            for path in staged:
                path.rename(worker.platform.drop_zone / path.name)
            taken = (number + 1) * BATCH
            until(lambda taken=taken: _rest(worker.beat()) == (taken, 0), 400, f"{taken} files taken")
            sizes.append(worker.resident_mb())
            print(len(sizes), worker.beat(), f"{sizes[-1]:.0f} MB", flush=True)
        runs = worker.beat()[1]
        assert "Starting anew" not in worker.text, "it is to be flat by itself, not by being restarted"
        later = sizes[WARM:]
        slope = _slope(later) * 1000 / BATCH
        measured(
            f"{runs} runs; {sizes[WARM]:.0f} MB after warm-up, {sizes[-1]:.0f} MB at the end; {slope:.2f} MB per 1,000"
        )
        assert slope <= ALLOWED_MB_PER_1000_FILES


def _rest(beat: tuple[Any, ...]) -> tuple[int, int] | None:
    """Files taken and runs failed, once it rests."""
    state, _, failed, files, _ = beat
    return (files, failed) if state == "idle" else None


def _slope(values: list[float]) -> float:
    """Least squares, per step."""
    middle, mean = (len(values) - 1) / 2, sum(values) / len(values)
    above = sum((number - middle) * (value - mean) for number, value in enumerate(values))
    return above / sum((number - middle) ** 2 for number in range(len(values)))
