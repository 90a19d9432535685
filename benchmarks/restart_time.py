"""How long everything takes to come back: after a stop, after the supervisor is killed, after each service is killed.

Measured on a platform that has started before: from the start of the command until the pages know the definitions and
list the assets, and the worker takes files (``ready``); and until the schedule's daemon works too (``everything``). For
a killed service: from ``kill -9`` until it works again by the supervisor's record. Baseline: a process that imports
Dagster, which four of the processes have to do as well.
"""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict

from benchmarks.figures import Figure, Limit, Outcome
from benchmarks.options import Options
from benchmarks.places import PYTHON
from benchmarks.processes import measured
from benchmarks.up import Up, an_up

REPEAT = 3
SETTLE_SECONDS = 3.0
POSTGRES_LIMIT = Limit("ours", 5.0)


def measure(options: Options) -> Outcome:
    """Whole restarts first, then each service alone."""
    taken: dict[str, list[float]] = defaultdict(list)
    imports = []
    repeat = options.repeat or REPEAT
    with an_up() as up:
        up.start()
        up.until("the first start", up.all_up)
        for number in range(repeat):
            began = time.monotonic()
            up.stop()
            taken["stop"].append(time.monotonic() - began)
            imports.append(measured([PYTHON, "-c", "import dagster"], up.environment).wall)
            _start(up, taken, "start")
            assert up.process is not None
            up.process.kill()
            up.process.wait()
            _start(up, taken, "start after kill -9 of lakehouse up")
            options.say(f"{number + 1}/{repeat} " + ", ".join(f"{name} {of[-1]:.1f} s" for name, of in taken.items()))
            for service in up.services():
                time.sleep(SETTLE_SECONDS)
                seconds = _recovery(up, service)
                taken[f"{service} back after kill -9"].append(seconds)
                options.say(f"{number + 1}/{repeat} {service} back after {seconds:.1f} s")
    baseline = {"start: ready": imports, "start: everything": imports}
    return Outcome(
        [
            Figure(
                f"restart: {name}",
                "s",
                samples,
                "import dagster" if name in baseline else "",
                baseline.get(name, ()),
                POSTGRES_LIMIT if name.startswith("postgres") else None,
            )
            for name, samples in taken.items()
        ]
    )


def _start(up: Up, taken: dict[str, list[float]], name: str) -> None:
    began = time.monotonic()
    up.start()

    def worker_takes_files() -> bool:
        return bool(up.services().get("worker", {}).get("state") == "up")

    up.until("pages and worker", lambda: worker_takes_files() and up.pages_answer())
    taken[f"{name}: ready"].append(time.monotonic() - began)
    up.until("everything", up.all_up)
    taken[f"{name}: everything"].append(time.monotonic() - began)


def _recovery(up: Up, service: str) -> float:
    former = up.services()[service]
    began = time.monotonic()
    os.kill(former["pid"], signal.SIGKILL)

    def back() -> bool:
        found = up.services().get(service, former)
        return bool(found["pid"] != former["pid"] and found["state"] == "up")

    up.until(f"{service} works again", back)
    return time.monotonic() - began
