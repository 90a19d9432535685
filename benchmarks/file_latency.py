"""From file to mart under ``lakehouse up``: how long a dropped file takes until a consumer of the mart can see it.

Measured: from the rename that puts the file into the drop zone until a query on the mart, asked every 10 ms, answers
with its batch; one file at a time, with random gaps in between, on a platform that has some history. Idle: nothing else
runs. Busy: while ``lakehouse run --full-refresh`` builds everything from about 20 million rows again and again; a file
then waits for the warehouse as everybody does.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import statistics
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Limit, Outcome
from benchmarks.options import Options
from benchmarks.places import LAKEHOUSE
from benchmarks.processes import BenchmarkError, measured
from benchmarks.up import Up, an_up
from lakehouse.postgres.connect import bi_url, connect

FILES, BUSY_FILES = 200, 40
HISTORY = 24
GAPS = (0.0, 3.0)
WAIT_SECONDS = 180.0
SEED = 20261121
MART = "marts.mart_bioreactor_overview"
P50, P95 = 2.0, 4.0


def measure(options: Options) -> Outcome:
    """Idle first, then beside runs over many rows."""
    files = options.repeat or FILES
    with an_up() as up:
        _sample(up, HISTORY, 0.02)
        template = sorted(_zone(up).glob("*.parquet"))[0]
        stash = up.output.parent / "template.parquet"
        shutil.copy(template, stash)
        up.start()
        up.until("every service works", up.all_up)
        up.until("the history is in the mart", lambda: _idle(up))
        idle = _drop_one_by_one(up, stash, "IDLE", files, options)
        options.say(f"making about {options.rows:,} rows")
        busy = _beside_runs(up, stash, options)
    return Outcome(
        [
            *_figures("idle", idle, limited=True),
            *_figures(f"beside runs over {options.rows / 1e6:.0f}M rows", busy, limited=False),
        ],
        {"idle": summary(idle), "busy": summary(busy), "gaps_seconds": GAPS, "seed": SEED},
    )


def summary(seconds: Sequence[float]) -> dict[str, Any]:
    """Number, p50, p95, most."""
    ranked = sorted(seconds)
    return {
        "files": len(ranked),
        "p50": round(statistics.median(ranked), 3),
        "p95": round(percentile(ranked, 0.95), 3),
        "max": round(ranked[-1], 3),
    }


def percentile(ranked: Sequence[float], part: float) -> float:
    """The smallest value that at least this part of all values does not exceed."""
    return ranked[max(0, -(-int(part * 1000) * len(ranked) // 1000) - 1)]


def _figures(name: str, seconds: Sequence[float], *, limited: bool) -> list[Figure]:
    ranked = sorted(seconds)
    return [
        Figure(f"file_latency: {name}, p50", "s", ranked, limit=Limit("ours", P50) if limited else None),
        Figure(
            f"file_latency: {name}, p95",
            "s",
            [percentile(ranked, 0.95)],
            limit=Limit("ours", P95) if limited else None,
        ),
        Figure(f"file_latency: {name}, max", "s", [ranked[-1]]),
    ]


def _drop_one_by_one(up: Up, template: Path, prefix: str, files: int, options: Options) -> list[float]:
    chance = random.Random(SEED)
    found: list[float] = []
    with contextlib.closing(connect(bi_url(up.settings), what="the mart")) as marts:
        marts.autocommit = True
        for number in range(files + 1):
            seconds = _drop(marts, up, template, f"{prefix}{number:04}")
            if number:  # the first one warms up
                found.append(seconds)
            if number % 20 == 0:
                options.say(f"{prefix} {number}/{files}: {seconds:.2f} s")
            time.sleep(chance.uniform(*GAPS))
    return found


def _drop(marts: Any, up: Up, template: Path, batch: str) -> float:
    staged = up.output.parent / f"{batch}.parquet"
    _as_batch(template, staged, batch)
    began = time.monotonic()
    staged.rename(_zone(up) / staged.name)
    with marts.cursor() as cursor:
        while True:
            cursor.execute(f"select 1 from {MART} where batch_id = %s limit 1", (batch,))
            if cursor.fetchone():
                return time.monotonic() - began
            if time.monotonic() - began > WAIT_SECONDS:
                raise BenchmarkError(f"{batch} is not in the mart after {WAIT_SECONDS:.0f} s.")
            time.sleep(0.01)


def _beside_runs(up: Up, template: Path, options: Options) -> list[float]:
    from lakehouse.sample.writer import estimate

    _sample(up, 40, options.rows / estimate(40, 1.0)[0], "--seed", "7")
    up.until("the rows are in the mart", lambda: _idle(up), seconds=600)
    command = f"while :; do {LAKEHOUSE} run --full-refresh --accept-stale --quiet --json >/dev/null || exit 1; done"
    runs = subprocess.Popen(["/bin/sh", "-c", command], env=dict(up.environment), start_new_session=True)
    try:
        time.sleep(5)
        found = _drop_one_by_one(up, template, "BUSY", BUSY_FILES, options)
        if runs.poll() is not None:
            raise BenchmarkError("The run beside failed.")
        return found
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(runs.pid, 9)
        runs.wait()


def _idle(up: Up) -> bool:
    from ingestion.declarations import load
    from ingestion.look import look
    from lakehouse import workers
    from lakehouse.postgres.connect import state_url

    with contextlib.closing(connect(state_url(up.settings), what="state")) as state:
        worker = workers.latest(state)
    found = look(up.settings, load("bioreactor"))
    return worker is not None and worker.beat.state == "idle" and not (found.new or found.changed or found.waiting)


def _sample(up: Up, batches: int, scale: float, *more: str) -> None:
    command = [LAKEHOUSE, "sample", "bioreactor", "--batches", str(batches), "--scale", f"{scale:.6g}", "--late", "0"]
    measured([*command, *more], up.environment)


def _zone(up: Up) -> Path:
    path = Path(up.settings.lake_root) / "raw" / "bioreactor"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _as_batch(template: Path, target: Path, batch: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(template)
    index = table.schema.get_field_index("batch_id")
    pq.write_table(table.set_column(index, "batch_id", pa.array([batch] * table.num_rows, pa.string())), target)
