"""What ``lakehouse up`` costs while nothing happens: processor time and memory, process by process.

Measured: all processes of one platform, Postgres with all its sessions included, over a minute and a half that begins
half a minute after everything works. Processor time, from the kernel, is that of a process and of the children it has
reaped. Memory is PSS: a page that several processes share is counted once, in parts. RSS, which counts it in each of
them, is shown beside it.

A second platform has a lineage server set, and so one process more, the drainer: its share is told by itself.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, Limit, Outcome
from benchmarks.lineage_server import serving
from benchmarks.options import Options
from benchmarks.up import Up, an_up
from lakehouse.services.processes import LINEAGE

SETTLE_SECONDS = 30
SECONDS = 90
MEMORY_LIMIT_MB = 1200.0
CPU_LIMIT_PERCENT = 3.0
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """Of one part: processes, percent of one core, MB (10⁶ bytes)."""

    processes: int
    cpu: float
    pss: float
    rss: float


def measure(options: Options) -> Outcome:
    """Start, settle, look twice; then the same with a lineage server set."""
    costs = _of_a_platform(options)
    with serving() as url:
        beside = _of_a_platform(options, server=url)
    drainer = beside[LINEAGE.name]
    parts = [
        Figure(f"idle: {name}{f' ({cost.processes} processes)' if cost.processes > 1 else ''}", unit, [value])
        for unit, pick in (("%", "cpu"), ("MB", "pss"))
        for name, cost in costs.items()
        for value in [getattr(cost, pick)]
    ]
    total, with_drainer = _sums(costs), _sums(beside)
    return Outcome(
        [
            *parts,
            Figure("idle: all, CPU of one core", "%", [total["cpu"]], limit=Limit("ours", CPU_LIMIT_PERCENT)),
            Figure("idle: all, memory (PSS)", "MB", [total["pss"]], limit=Limit("ours", MEMORY_LIMIT_MB)),
            Figure("idle: all, memory (RSS)", "MB", [total["rss"]]),
            Figure("idle, lineage server set: drainer, CPU of one core", "%", [drainer.cpu]),
            Figure("idle, lineage server set: drainer, memory (PSS)", "MB", [drainer.pss]),
            Figure("idle, lineage server set: all, CPU of one core", "%", [with_drainer["cpu"]]),
            Figure("idle, lineage server set: all, memory (PSS)", "MB", [with_drainer["pss"]]),
        ],
        {"seconds": options.seconds or SECONDS},
    )


def _of_a_platform(options: Options, server: str | None = None) -> dict[str, Cost]:
    """Part → its cost, on a platform of its own, with or without a lineage server set."""
    seconds = options.seconds or SECONDS
    with an_up(**({"OPENLINEAGE_URL": server} if server else {})) as up:
        up.parts += 1 if server else 0  # the drainer
        up.start()
        up.until("everything works", up.all_up)
        settle = min(SETTLE_SECONDS, seconds)
        options.say(f"everything works{' with a lineage server set' if server else ''}; settling for {settle:g} s")
        time.sleep(settle)
        costs = idle_costs(up, seconds)
    for name, cost in costs.items():
        options.say(
            f"{name:15} {cost.processes:2} processes  {cost.cpu:5.2f} % of a core  {cost.pss:6.0f} MB PSS"
            f"  {cost.rss:6.0f} MB RSS"
        )
    return costs


def _sums(costs: Mapping[str, Cost]) -> dict[str, float]:
    return {pick: sum(getattr(cost, pick) for cost in costs.values()) for pick in ("cpu", "pss", "rss")}


def idle_costs(up: Up, seconds: float) -> dict[str, Cost]:
    """Part → its cost over so many seconds from now."""
    before = up.processes()
    spent = {pid: _ticks(pid) for pid in before}
    began = time.monotonic()
    time.sleep(seconds)
    after = up.processes()
    ticks: dict[str, int] = defaultdict(int)
    for pid, part in after.items():
        ticks[part] += _ticks(pid) - spent.get(pid, 0)
    for pid, part in before.items():
        if pid not in after:
            ticks[part] -= spent[pid]  # its parent counts all of its time now, also what it had spent before
    elapsed = time.monotonic() - began
    return {
        part: Cost(
            len(members := [pid for pid, other in after.items() if other == part]),
            ticks[part] / TICKS / elapsed * 100,
            sum(_memory(pid, "Pss") for pid in members),
            sum(_memory(pid, "Rss") for pid in members),
        )
        for part in dict.fromkeys(after.values())
    }


def _ticks(pid: int) -> int:
    """Processor time of a process and of the children it has waited for, in kernel ticks."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(field) for field in fields[11:15])


def _memory(pid: int, kind: str) -> float:
    """In MB."""
    try:
        lines = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    except OSError:
        return 0.0
    return int(lines[kind].split()[0]) * 1024 / 1e6
