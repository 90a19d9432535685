"""What lineage costs a run: processor time of mapping it into the outbox, and of what its steps note.

Measured, each in a process of its own on a platform of its own: a first small run with all its imports; runs of one new
small file each in a process that is warm, as in a worker; a first run over ``--rows`` rows. "Mapping" is all that
happens after the run has ended: opening the instance (not in a warm one), reading the event log, making events, putting
them; in a fresh process with the import of openlineage-python, and with the columns from the SQL. Excluded:
Postgres's own processor time, delivery (another process).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Limit, Outcome
from benchmarks.options import Options
from benchmarks.places import PYTHON, Place, a_place
from benchmarks.processes import measured

REPEAT = 10
LARGE_ROWS = 20_000_000
ROWS_PER_BATCH = 58_000
"""Of a sample batch at scale 1."""
LIMIT_PERCENT = 1.0
DRIVER = ("-m", "benchmarks.drivers.lineage_run")


def measure(options: Options) -> Outcome:
    """Three sizes of run."""
    repeat = options.repeat or REPEAT
    with a_place() as place:
        place.sample(3, 0.1)
        options.say(f"a first small run, then {repeat} with one new file each")
        first, *warm = _rounds(place, repeat + 1, sorted(place.drop_zone.glob("*.parquet"))[0])
    rows = min(options.rows, LARGE_ROWS)
    with a_place() as place:
        place.sample(8, rows / 8 / ROWS_PER_BATCH)
        options.say(f"a first run over {rows:,} rows")
        large = _rounds(place, 1, None)
    sides = {"first small run": [first], "warm run, one file": warm, f"run over {rows / 1e6:.0f}M rows": large}
    figures = []
    for name, rounds in sides.items():
        limit = Limit("ours", LIMIT_PERCENT) if name.startswith("run over") else None
        figures += [
            Figure(f"lineage: CPU of mapping, {name}", "%", [_share(item, "map_cpu") for item in rounds], limit=limit),
            Figure(f"lineage: mapping, {name}", "ms", [item["map_wall"] * 1000 for item in rounds]),
            Figure(f"lineage: notes of its steps, {name}", "ms", [item["steps_wall"] * 1000 for item in rounds]),
        ]
    return Outcome(figures, dict(sides))


def _rounds(place: Place, count: int, batch: Path | None) -> list[dict[str, float]]:
    command = [PYTHON, *DRIVER, str(count), *([str(batch)] if batch is not None else [])]
    told: list[dict[str, Any]] = json.loads(measured(command, place.environment).stdout.splitlines()[-1])
    return told


def _share(item: dict[str, float], part: str) -> float:
    """In per cent of all the process spent."""
    return 100 * item[part] / (item["run_cpu"] + item["map_cpu"])
