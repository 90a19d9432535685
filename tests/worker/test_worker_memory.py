"""The worker's memory does not grow with the files it has taken: ten thousand of them in many runs."""

from __future__ import annotations

import pytest
from working import drop, working

FILES, BATCH, WARM = 10_000, 200, 10
ALLOWED_MB_PER_1000_FILES = 3.0
"""Measured: see docs/operations/worker.md. A leak of a kilobyte per event would be 25 MB per 1,000 files."""


@pytest.mark.prove
@pytest.mark.timeout(900)
def test_memory_is_flat_over_ten_thousand_files(platform):
    with working(platform) as worker:
        sizes = []
        for begin in range(0, FILES, BATCH):
            for number in range(begin, begin + BATCH):
                drop(worker.platform.drop_zone.parent / "_staged", f"M{number:05}", rows=9)
            for path in sorted((worker.platform.drop_zone.parent / "_staged").glob("*.parquet")):
                path.rename(worker.platform.drop_zone / path.name)
            worker.wait_for("M", begin + BATCH, seconds=120)
            sizes.append(worker.resident_mb())
            print(len(sizes), worker.beat(), f"{sizes[-1]:.0f} MB", flush=True)
        _, runs, failed, files, _ = worker.beat()
        assert (files, failed) == (FILES, 0)
        assert "Starting anew" not in worker.text, "it is to be flat by itself, not by being restarted"
        later = sizes[WARM:]
        slope = _slope(later) * 1000 / BATCH
        print(
            f"{runs} runs; {sizes[WARM]:.0f} MB after warm-up, {sizes[-1]:.0f} MB at the end; {slope:.2f} MB per 1,000"
        )
        assert slope <= ALLOWED_MB_PER_1000_FILES


def _slope(values: list[float]) -> float:
    """Least squares, per step."""
    middle, mean = (len(values) - 1) / 2, sum(values) / len(values)
    above = sum((number - middle) * (value - mean) for number, value in enumerate(values))
    return above / sum((number - middle) ** 2 for number in range(len(values)))
