"""``services.json`` in the data folder: what `lakehouse up` runs, for `lakehouse status` and for the next `up`.

What belongs here: the file, who holds the data folder, and ending what a killed supervisor left. What does not:
deciding anything about a running service.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lakehouse.errors import BusyError
from lakehouse.kernel import boot_id, start_time
from lakehouse.locks import is_held, try_lock
from lakehouse.services import child
from lakehouse.settings import Settings

LEFTOVER_SECONDS = 10.0
"""A code server that is told to stop ends its runs first; what still lives after this is killed."""


@contextlib.contextmanager
def only_one(settings: Settings) -> Iterator[None]:
    """Hold the data folder: one `lakehouse up` at a time; the kernel frees it when its holder is gone.

    Raises:
        BusyError: another one runs; names its process and its page.
    """
    settings.data_path.mkdir(parents=True, exist_ok=True)
    path = _lock(settings)
    with path.open("a+", encoding="utf-8") as handle:
        if not try_lock(handle, fcntl.LOCK_EX):
            who = path.read_text(encoding="utf-8").strip() or "unknown"
            raise BusyError(
                f"`lakehouse up` runs already on this data folder (process {who}).",
                remedy=f"Use it at http://127.0.0.1:{settings.webserver_port}, or end it with Ctrl-C (`kill {who}`).",
            )
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield


def runs(settings: Settings) -> bool:
    """Whether a `lakehouse up` holds this data folder."""
    return is_held(_lock(settings))


def write(settings: Settings, services: Sequence[dict[str, Any]]) -> None:
    """Replace the file.

    Args:
        settings: for the data folder.
        services: each with ``name``, ``state``, ``pid``, ``began`` (kernel ticks), ``since`` (UTC), ``restarts``.
    """
    path = _file(settings)
    fresh = path.with_suffix(".new")
    record = {"boot": boot_id(), "supervisor": os.getpid(), "services": list(services)}
    fresh.write_text(json.dumps(record, indent=1), encoding="utf-8")
    fresh.replace(path)


def read(settings: Settings) -> list[dict[str, Any]]:
    """The services of the `lakehouse up` that runs now; empty where none does."""
    stored = _stored(settings)
    with contextlib.suppress(OSError):
        if runs(settings) and _lock(settings).read_text(encoding="utf-8").strip() == str(stored["supervisor"]):
            return list(stored["services"])
    return []  # none runs, or it has not come to write its own yet


def end_leftovers(settings: Settings) -> list[str]:
    """End what a killed supervisor of this data folder left running; the caller holds :func:`only_one`.

    The kernel tells each child of its supervisor's death, but not what the child has started, nor does it wait.

    Returns:
        The names of the services that had processes left.
    """
    stored = _stored(settings)
    if stored["boot"] != boot_id():
        return []
    left = {
        item["name"]: item["pid"]
        for item in stored["services"]
        if item["name"] != "postgres" and item["pid"] and _is_ours(settings, item["pid"], item["began"])
    }
    child.end_sessions(list(left.values()), LEFTOVER_SECONDS)
    _file(settings).unlink(missing_ok=True)
    return list(left)


def _is_ours(settings: Settings, leader: int, began: str | None) -> bool:
    """Whether a session is still the recorded one: its leader is, or its members have our home in their environment."""
    if start_time(leader) is not None:
        return start_time(leader) == began
    mine = f"DAGSTER_HOME={settings.dagster_home}".encode()
    for pid in child.session(leader):
        with contextlib.suppress(OSError):
            if mine in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                return True
    return False


def _stored(settings: Settings) -> dict[str, Any]:
    try:
        found = json.loads(_file(settings).read_text(encoding="utf-8"))
        return {"boot": found["boot"], "supervisor": found["supervisor"], "services": list(found["services"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {"boot": None, "supervisor": None, "services": []}


def _lock(settings: Settings) -> Path:
    return settings.data_path / "up.lock"


def _file(settings: Settings) -> Path:
    return settings.data_path / "services.json"
