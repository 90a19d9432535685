"""What can be killed, and how it is found. Everything is killed with SIGKILL."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

from arena import Arena

from lakehouse.postgres import server
from lakehouse.postgres.home import locate


def processes_of(arena: Arena) -> dict[int, str]:
    """Process id → command line of everything that runs for this platform, but not its database and not us."""
    mine = f"LAKEHOUSE_DATA_DIR={arena.platform.home}\0".encode()
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mine in (process / "environ").read_bytes() and int(process.name) != os.getpid():
                found[int(process.name)] = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return found


def _matching(arena: Arena, *signs: str) -> list[int]:
    return [pid for pid, command in processes_of(arena).items() if any(sign in command for sign in signs)]


def _run_processes(arena: Arena, _rng: random.Random) -> list[int]:
    return _matching(arena, "lakehouse run --json", "multiprocessing.spawn")


def _backends(arena: Arena, _rng: random.Random) -> list[int]:
    return [row[0] for row in arena.ask("select pid from pg_stat_activity where backend_type = 'client backend'")]


def _postmaster(arena: Arena, _rng: random.Random) -> list[int]:
    found = server.postmaster(locate(arena.platform.settings))
    return [found.pid] if found else []


FINDERS: dict[str, Callable[[Arena, random.Random], list[int]]] = {
    "run process": _run_processes,
    "daemon": lambda arena, _: _matching(arena, "dagster-daemon run"),
    "worker": lambda arena, _: _matching(arena, "lakehouse.cli.main worker"),
    "webserver": lambda arena, _: _matching(arena, "dagster_webserver"),
    "code server": lambda arena, _: _matching(arena, "dagster api grpc"),
    "Postgres server": _postmaster,
    "Postgres session": _backends,
}
STORE = "object store"
WEIGHTS = {
    "run process": 4,
    "worker": 4,
    "daemon": 1,
    "webserver": 1,
    "code server": 2,
    "Postgres server": 2,
    "Postgres session": 2,
    STORE: 2,
}


def choose(rng: random.Random) -> str:
    """A victim by weight: what is killed most in practice, the process of a run, most often."""
    drawn = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
    return os.environ.get("LAKEHOUSE_TEST_CHAOS_VICTIM", drawn)


def kill(arena: Arena, victim: str, rng: random.Random) -> list[int]:
    """Kill one process of this kind, if there is one at this moment; returns the ids of those killed."""
    if victim == STORE:
        killed = arena.store.kill()
        time.sleep(rng.uniform(0.2, 2))  # what its supervisor takes to start it again
        arena.store.start()
        return [killed]
    found = sorted(FINDERS[victim](arena, rng))
    if not found:
        return []
    pid = rng.choice(found)
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return []
    return [pid]
