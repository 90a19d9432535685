"""Runs with their lineage, in one process: ``python -m benchmarks.drivers.lineage_run ROUNDS [BATCH_FILE]``.

Each round is what ``lakehouse run`` does: all assets, then the mapping of what ended. From the second round on, where
a file is named, a copy of it is dropped first under another batch's name, and the instance is kept open, as in a worker
that is warm. Prints one line of JSON: per round the processor seconds of the run (in the first one with all imports),
of the mapping, and of what steps do for lineage alone.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

IN_STEPS = {
    "orchestration.assets.dbt_step": ("volumes_read", "with_own", "model_notes", "note_sql"),
    "orchestration.assets.facts": ("_table_bytes",),
}
"""What steps do for lineage and did not do before."""


def main(rounds: int, batch: Path | None) -> None:
    """Execute, map, measure."""
    from dagster import DagsterInstance

    from lakehouse import postgres
    from lakehouse.settings import load_settings
    from orchestration.lineage.mapping import map_here, try_to_map
    from orchestration.options import RunOptions
    from orchestration.run import keep_connections, run

    settings = load_settings()
    spent = {"wall": 0.0, "cpu": 0.0}
    _watch(spent)
    taken: list[dict[str, float]] = []
    before = 0.0  # the first round pays for the imports
    with postgres.ready(settings), contextlib.ExitStack() as kept:
        instance: DagsterInstance | None = None
        for number in range(rounds):
            if number and batch is not None:
                _drop(batch, f"N{number:04}")
            if number:
                before = time.process_time()
            spent.update(wall=0.0, cpu=0.0)
            options = RunOptions(accept_stale=True)
            summary = run(settings, select="*", options=options, on_note=lambda _: None, on_line=lambda _: None)
            ended, began = time.process_time(), time.perf_counter()
            mapped = map_here(settings) if instance is None else try_to_map(instance, settings)
            if not summary.success or mapped != 1:
                raise SystemExit(f"run {number} did not come out: {summary.errors}")
            told_cpu, told_wall = time.process_time() - ended, time.perf_counter() - began
            if instance is None:
                instance = kept.enter_context(DagsterInstance.get())
                keep_connections(instance)
            taken.append(
                {
                    "run_cpu": ended - before,
                    "run_wall": summary.seconds,
                    "map_cpu": told_cpu,
                    "map_wall": told_wall,
                    "steps_cpu": spent["cpu"],
                    "steps_wall": spent["wall"],
                }
            )
    print(json.dumps(taken))


def _watch(spent: dict[str, float]) -> None:
    import importlib

    def timed(work: Any) -> Any:
        @functools.wraps(work)
        def call(*args: Any, **options: Any) -> Any:
            wall, cpu = time.perf_counter(), time.thread_time()
            try:
                return work(*args, **options)
            finally:
                spent["wall"] += time.perf_counter() - wall
                spent["cpu"] += time.thread_time() - cpu

        return call

    for module, functions in IN_STEPS.items():
        loaded = importlib.import_module(module)
        for name in functions:
            setattr(loaded, name, timed(getattr(loaded, name)))


def _drop(template: Path, batch: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(template)
    position = table.schema.get_field_index("batch_id")
    table = table.set_column(position, table.schema.field("batch_id"), pa.array([batch] * table.num_rows))
    path = template.with_name(f"{batch}.parquet")
    pq.write_table(table, path)
    moment = time.time() - 10  # ingestion waits for files that are seconds old
    os.utime(path, (moment, moment))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
