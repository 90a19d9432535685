"""20 million raw rows through the pipeline, beside the same SQL run bare in DuckDB and the same COPY into Postgres.

Measured: whole processes, wall, processor time and peak memory of the process tree, on the same files.
  with checks     first ``lakehouse run`` on a fresh platform: start, dbt parse, validation and fingerprint of every
                  file, all models, all tests, Dagster, publish (:meth:`benchmarks.places.Place.run`)
  without checks  the models through the platform's own runner, see :mod:`benchmarks.drivers.layers`
  bare            the compiled SQL of the same models in plain DuckDB, see :mod:`benchmarks.drivers.bare`
Excluded on all sides: making the sample data, creating, starting and migrating Postgres, compiling the SQL.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from benchmarks.figures import Figure, Limit, Outcome
from benchmarks.options import Options
from benchmarks.places import MEMORY_LIMIT, PYTHON, Place, a_place, result
from benchmarks.processes import BenchmarkError, Usage, measured, rounds
from lakehouse.sample.writer import estimate

REPEAT = 3
FILES = 20
MART = "marts.mart_bioreactor_overview"
BARE_MART = "marts_build.bare_mart"
RATIO_LIMIT = Limit("ratio", 1.3)
MEMORY_LIMIT_MB = Limit("ours", 4_000)


def measure(options: Options) -> Outcome:
    """Three sides in turn: whole run, runner alone, bare."""
    with a_place() as place:
        options.say(f"making about {options.rows:,} rows in {FILES} files")
        place.sample(FILES, options.rows / estimate(FILES, 1.0)[0])
        place.call("ingest", "--json")
        environment = place.tool_environment()
        compiled = place.home.parent / "compiled.json"
        measured([PYTHON, "-m", "benchmarks.drivers.layers", str(compiled)], environment)
        taken = rounds(
            {
                "with checks": lambda _: _whole(place),
                "bare": lambda _: _bare(place, environment, compiled),
                "without checks": lambda _: _layers(place, environment),
            },
            options.repeat or REPEAT,
            options.say,
        )
        if place.rows_of_mart(MART) != place.rows_of_mart(BARE_MART):
            raise BenchmarkError("The bare SQL gave another number of mart rows than the platform.")
        sizes = [path.stat().st_size for path in place.drop_zone.iterdir()]
    last = {name: json.loads(usages[-1].stdout) for name, usages in taken.items()}
    facts = {
        "raw_rows": next(line["rows"] for line in last["with checks"]["assets"] if line["layer"] == "raw"),
        "files": len(sizes),
        "raw_mb": round(sum(sizes) / 1e6),
        "duckdb_memory_limit": MEMORY_LIMIT,
        "last_runs": last,
    }
    return Outcome([figure for side in ("with checks", "without checks") for figure in _figures(side, taken)], facts)


def _figures(side: str, taken: dict[str, list[Usage]]) -> list[Figure]:
    ours, bare, title = taken[side], taken["bare"], f"pipeline_20m: {side}"
    limit = RATIO_LIMIT if side == "without checks" else None
    peaks = [[use.peak_mb for use in usages] for usages in (ours, bare)]
    return [
        Figure(title, "s", [use.wall for use in ours], "bare", [use.wall for use in bare], limit),
        Figure(f"{title}, CPU", "s", [use.cpu for use in ours], "bare", [use.cpu for use in bare]),
        Figure(f"{title}, peak", "MB", peaks[0], "bare", peaks[1], MEMORY_LIMIT_MB),
    ]


def _whole(source: Place) -> Usage:
    """A first run on a platform that has nothing but the same files."""
    with a_place() as fresh:
        for path in source.drop_zone.iterdir():
            os.link(path, fresh.drop_zone / path.name)
        usage = fresh.run()
        if not result(usage)["success"]:
            raise BenchmarkError(f"The run was not in order: {usage.stdout}")
        return usage


def _layers(place: Place, environment: dict[str, str]) -> Usage:
    """The models into an empty warehouse and empty marts."""
    for path in place.settings.warehouse.parent.iterdir():
        path.unlink()
    place.marts(f"drop table if exists {MART}", "delete from marts_build.publications")
    return measured([PYTHON, "-m", "benchmarks.drivers.layers"], environment)


def _bare(place: Place, environment: dict[str, str], compiled: Path) -> Usage:
    database = place.home.parent / "bare" / place.settings.warehouse.name  # the SQL names its database by the file
    database.parent.mkdir(exist_ok=True)
    for path in database.parent.iterdir():
        path.unlink()
    place.marts(f"drop table if exists {BARE_MART}")
    command = [PYTHON, "-m", "benchmarks.drivers.bare", str(compiled), str(database), BARE_MART]
    return measured(command, environment)
