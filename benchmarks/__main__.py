"""``python -m benchmarks [NAME…]``: run measures, print the table, write JSON.

Exit code 0 whether or not limits are met: a limit that was missed is shown. 1 where a benchmark itself broke.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from benchmarks import (
    file_latency,
    idle_cost,
    lineage_cost,
    lineage_drain,
    lineage_events,
    new_file,
    pipeline_20m,
    publish_5m,
    restart_time,
    startup,
    unchanged_run,
)
from benchmarks.figures import Figure, Outcome
from benchmarks.options import Options
from benchmarks.processes import ROOT, BenchmarkError
from benchmarks.table import render
from lakehouse.errors import LakehouseError

RESULTS = ROOT / "benchmarks" / "results"
MEASURES: dict[str, Callable[[Options], Outcome]] = {
    "startup": startup.measure,
    "unchanged_run": unchanged_run.measure,
    "new_file": new_file.measure,
    "pipeline_20m": pipeline_20m.measure,
    "idle_cost": idle_cost.measure,
    "publish_5m": publish_5m.measure,
    "file_latency": file_latency.measure,
    "restart_time": restart_time.measure,
    "lineage_cost": lineage_cost.measure,
    "lineage_drain": lineage_drain.measure,
    "lineage_events": lineage_events.measure,
}
PURPOSES = {
    "startup": "definitions load beside importing dagster and dagster_dbt; lakehouse --help",
    "unchanged_run": "lakehouse run with nothing new beside dbt build and dagster asset materialize",
    "new_file": "one new file after 1,000 processed ones beside after 10",
    "pipeline_20m": "20 million rows, with and without checks, beside the same SQL in bare DuckDB",
    "file_latency": "from a file's drop to the mart under lakehouse up, idle and beside a run over --rows rows",
    "restart_time": "stop and start of everything; each service after kill -9",
    "idle_cost": "lakehouse up with nothing to do: processor time and memory of each process, and of a drainer",
    "lineage_cost": "processor time of mapping a run to lineage: small, warm, and over millions of rows",
    "lineage_events": "events made from a run's facts; columns of the models from their SQL",
    "lineage_drain": "10,000 waiting lineage events delivered beside a bare client with as many connections",
    "publish_5m": "a mart of 5 million rows beside psql \\copy of the same rows",
}


def main() -> int:
    """Run what was asked for."""
    options = _arguments()
    if options.list:
        for name, purpose in PURPOSES.items():
            print(f"{name:15} {purpose}")
        return 0
    if (ROOT / ".env").exists():
        print(f"{ROOT / '.env'} would change what is measured: move it away first.", file=sys.stderr)
        return 1
    for name in [name for name in os.environ if name.startswith(("LAKEHOUSE_", "OPENLINEAGE"))]:
        del os.environ[name]  # a benchmark's platforms are its own
    figures: list[Figure] = []
    written: dict[str, Any] = {"began": _now(), "machine": _machine(), "rows": options.rows, "measures": {}}
    broken = []
    for name in options.names or MEASURES:
        load = os.getloadavg()[0]
        began = time.monotonic()
        try:
            outcome = MEASURES[name](
                Options(options.rows, options.history, options.repeat, options.seconds, _teller(name))
            )
        except (BenchmarkError, LakehouseError, OSError) as error:
            traceback.print_exc()
            broken.append(f"{name}: {error}")
            continue
        figures += outcome.figures
        written["measures"][name] = {
            "load_before": load,
            "seconds": round(time.monotonic() - began, 1),
            "figures": [figure.as_dict() for figure in outcome.figures],
            "facts": outcome.facts,
        }
    if figures:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / f"{written['began'].replace(':', '')}.json"
        path.write_text(json.dumps({**written, "broken": broken}, indent=2), encoding="utf-8")
        print(f"\n{render(figures)}\n")
        print("Medians; ratios pair by pair. Whole processes; Postgres is counted in idle_cost only.")
        print(f"All samples: {path.relative_to(ROOT)}")
    for text in broken:
        print(f"broken: {text}", file=sys.stderr)
    return 1 if broken else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="measures; default: all")
    parser.add_argument("--rows", type=int, default=20_000_000, help="raw rows of pipeline_20m (%(default)s)")
    parser.add_argument("--history", type=int, default=1_000, help="processed files of new_file (%(default)s)")
    parser.add_argument("--repeat", type=int, default=None, help="rounds; default: each measure's own number")
    parser.add_argument("--seconds", type=float, default=None, help="how long idle_cost looks; less is less exact")
    parser.add_argument("--list", action="store_true", help="name the measures and stop")
    chosen = parser.parse_args()
    if unknown := sorted(set(chosen.names) - set(MEASURES)):
        parser.error(f"no measure {', '.join(unknown)}; there are {', '.join(MEASURES)}")
    return chosen


def _teller(name: str) -> Callable[[str], None]:
    began = time.monotonic()
    return lambda text: print(f"{time.monotonic() - began:7.1f} s  {name}: {text}", file=sys.stderr, flush=True)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").removesuffix("+00:00") + "Z"


def _machine() -> dict[str, Any]:
    commit, changed = (
        subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
        for command in (("rev-parse", "--short", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
    )
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 10**6,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "commit": commit,
        "uncommitted_files": len(changed.splitlines()),
    }


if __name__ == "__main__":
    sys.exit(main())
