"""10,000 waiting lineage events delivered, beside a bare client with as many connections to the same server.

The server, a process of its own, answers each event after 20 ms; it also takes the time, from its first answer to its
last, so that neither side's start-up counts. Memory is the drainer's resident memory at its peak, beside what it was
when a tenth was delivered.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import tempfile
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Limit, Outcome
from benchmarks.lineage_server import serving
from benchmarks.options import Options
from benchmarks.places import LAKEHOUSE, PYTHON, Place, a_place
from benchmarks.processes import ROOT, BenchmarkError

EVENTS_OF_A_RUN = 20
RUNS = 500
EVENTS = RUNS * EVENTS_OF_A_RUN
CLIENTS = 8
BODY_BYTES = 6_000
REPEAT = 3
LOWEST_RATE = 0.9
GROWTH_LIMIT_MB = 20.0


def measure(options: Options) -> Outcome:
    """Fill an outbox; deliver it and post the same bodies, in turn."""
    ours: list[float] = []
    bare: list[float] = []
    peaks: list[float] = []
    growth: list[float] = []
    with a_place() as place, serving() as url, tempfile.TemporaryDirectory() as folder:
        bodies = Path(folder) / "bodies.jsonl"
        _fill(place, bodies)
        for number in range(options.repeat or REPEAT):
            _replay(place)
            early, peak = _drain(place, url)
            ours.append(_taken(url))
            done = subprocess.run(
                [PYTHON, "-m", "benchmarks.lineage_peer", "post", url, str(bodies), str(CLIENTS)], cwd=ROOT, check=False
            )
            if done.returncode:
                raise BenchmarkError("the bare client failed")
            bare.append(_taken(url))
            peaks.append(peak)
            growth.append(peak - early)
            options.say(
                f"{number + 1}: drainer {EVENTS / ours[-1]:.0f} events/s, bare {EVENTS / bare[-1]:.0f} events/s, "
                f"{bare[-1] / ours[-1]:.1%} of its rate; drainer {early:.0f} MB at a tenth, {peak:.0f} MB at its peak"
            )
    name = f"lineage: {EVENTS:,} waiting events"
    return Outcome(
        [
            Figure(
                f"{name}, {CLIENTS} clients", "s", ours, "bare client", bare, Limit("ratio", round(1 / LOWEST_RATE, 3))
            ),
            Figure(f"{name}: drainer's memory, peak", "MB", peaks),
            Figure(f"{name}: grown since a tenth", "MB", growth, limit=Limit("ours", GROWTH_LIMIT_MB)),
        ],
        {"events": EVENTS, "clients": CLIENTS, "rate_of_bare": [b / o for o, b in zip(ours, bare, strict=True)]},
    )


def _fill(place: Place, bodies: Path) -> None:
    from lakehouse.postgres.connect import connect, state_url
    from lineage import outbox
    from lineage.outgoing import Outgoing

    at = datetime.now(UTC)
    with (
        contextlib.closing(connect(state_url(place.settings), what="the benchmark's outbox")) as connection,
        bodies.open("w", encoding="utf-8") as file,
    ):
        for run in range(RUNS):
            events = []
            for number in range(EVENTS_OF_A_RUN):
                type_ = ("START", "COMPLETE")[number % 2]
                body = {
                    "eventType": type_,
                    "eventTime": at.isoformat(),
                    "run": {"runId": f"{run}-{number // 2}"},
                    "text": f"{run} {number} " * (BODY_BYTES // 12),
                }
                key = f"{run}/{number}"
                events.append(Outgoing(key, f"run-{run}", "run", type_, f"job_{number // 2}", at, body))
                file.write(json.dumps(body) + "\n")
            outbox.put(connection, events, run_id=f"run-{run}")


def _replay(place: Place) -> None:
    from lakehouse.postgres.connect import connect, state_url
    from lineage import outbox_replay

    with contextlib.closing(connect(state_url(place.settings), what="the benchmark's outbox")) as connection:
        outbox_replay.replay_since(connection, None)


def _drain(place: Place, url: str) -> tuple[float, float]:
    """Deliver everything; resident memory in MB when a tenth was delivered, and at its peak."""
    environment = {**place.environment, "OPENLINEAGE_URL": url, "LAKEHOUSE_LINEAGE_CLIENTS": str(CLIENTS)}
    process = subprocess.Popen(
        [LAKEHOUSE, "lineage", "drain", "--once"], env=environment, cwd=ROOT, stdout=subprocess.DEVNULL
    )
    early = peak = 0.0
    while process.poll() is None:
        memory = _memory(process.pid)
        if not early and _told(url)["count"] >= EVENTS // 10:
            early = memory.get("VmRSS", 0.0)
        peak = max(peak, memory.get("VmHWM", 0.0))
        time.sleep(0.1)
    if process.returncode:
        raise BenchmarkError(f"lakehouse lineage drain: exit code {process.returncode}")
    return early, peak


def _memory(pid: int) -> dict[str, float]:
    """In MB; empty where the process has gone."""
    with contextlib.suppress(OSError, ValueError):
        lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines())
        return {words[0].rstrip(":"): int(words[1]) * 1024 / 1e6 for words in lines if words[0] in {"VmRSS:", "VmHWM:"}}
    return {}


def _told(url: str, path: str = "/") -> dict[str, Any]:
    with urllib.request.urlopen(url + path, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def _taken(url: str) -> float:
    """Seconds from the server's first answer to its last; it begins anew."""
    found = _told(url, "/reset")
    if found["count"] < EVENTS:  # the newest run of a job is sent again where an older one came in after it
        raise BenchmarkError(f"{found['count']} events arrived, not {EVENTS}")
    return float(found["seconds"])
