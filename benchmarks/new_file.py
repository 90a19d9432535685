"""One new file: what ``lakehouse run`` costs after 1,000 processed files beside after 10.

Measured: the whole process from start to exit, for the same new file (about 1,200 rows) on both sides, a fresh one each
round. Excluded: Postgres, kept running on both sides; and the up to 2 s for which ingestion waits for a file that may
still be written: the file is dated back, else that wait would hide the difference. Because start-up is most of such a
run and equal on both sides, the seconds of the assets' own steps are shown beside it, with no promise.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks.figures import Figure, Limit, Outcome
from benchmarks.options import Options
from benchmarks.places import Place, a_place, result, settle, statuses
from benchmarks.processes import BenchmarkError, Usage, rounds

REPEAT = 5
SHORT_HISTORY = 10
SCALE = 0.02
LIMIT = Limit("ratio", 1.5)


def measure(options: Options) -> Outcome:
    """Two platforms side by side; each round drops the next file into both."""
    repeat = options.repeat or REPEAT
    with a_place() as long, a_place() as short:
        options.say(f"making {options.history:,} files of history")
        long.sample(options.history + repeat + 1, SCALE)
        names = sorted(path.name for path in long.drop_zone.iterdir())
        stash = long.home.parent / "stash"
        stash.mkdir()
        new = [Path(shutil.move(long.drop_zone / name, stash / name)) for name in names[-(repeat + 1) :]]
        for name in names[-(repeat + 1) - SHORT_HISTORY : -(repeat + 1)]:
            shutil.copy2(long.drop_zone / name, short.drop_zone / name)
        for place in (long, short):
            first = place.run()
            options.say(f"first run: {first.wall:.1f} s, {len(list(place.drop_zone.iterdir()))} files")
            _arrive(place, new[0])  # warm-up
        sides = {
            f"after {options.history}": lambda number: _arrive(long, new[number + 1]),
            f"after {SHORT_HISTORY}": lambda number: _arrive(short, new[number + 1]),
        }
        ours, base = rounds(sides, repeat, options.say).values()
    title, against = f"new_file: after {options.history:,} files", f"after {SHORT_HISTORY}"
    return Outcome(
        [
            Figure(title, "s", [use.wall for use in ours], against, [use.wall for use in base], LIMIT),
            Figure(f"{title}, CPU", "s", [use.cpu for use in ours], against, [use.cpu for use in base]),
            Figure(f"{title}, pipeline only", "s", _pipeline(ours), against, _pipeline(base)),
            Figure(f"{title}, models only", "s", _steps(ours), against, _steps(base)),
        ],
        {"history": options.history, "last_runs": {"ours": result(ours[-1]), "baseline": result(base[-1])}},
    )


def _arrive(place: Place, file: Path) -> Usage:
    settle(Path(shutil.copy(file, place.drop_zone / file.name)))
    usage = place.run()
    if statuses(usage)["raw_bioreactor_data"] != "built":
        raise BenchmarkError(f"{file.name} was not taken in: {usage.stdout}")
    return usage


def _pipeline(usages: list[Usage]) -> list[float]:
    """Seconds within the process from selecting the assets to the end of the run; not the start-up before."""
    return [result(usage)["seconds"] for usage in usages]


def _steps(usages: list[Usage]) -> list[float]:
    """Seconds of ingestion and of the models' own execution, without tests, dbt and Dagster around them."""
    return [sum(line["seconds"] for line in result(usage)["assets"]) for usage in usages]
