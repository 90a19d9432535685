"""Who works on a data folder: many ordinary commands at once, or one that replaces everything (restore, rebuild).

What belongs here: the lock both share, naming its holders, and the note that an interrupted operation leaves.
What does not: what these operations do (:mod:`lakehouse.backup`, :mod:`lakehouse.cli.rebuild`).

The kernel frees the lock when its holder dies; the note stays, so that the next command says what was cut off instead
of working on half of a platform.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from lakehouse.errors import BusyError, LakehouseError
from lakehouse.files import sync_folder
from lakehouse.settings import Settings


@dataclass(frozen=True)
class Operation:
    """An operation that must not be left half done.

    Attributes:
        name: ``restore`` or ``rebuild``.
        command: what to run again when it was cut off.
        pid: process that began it.
        since: ISO 8601, UTC.
        details: what the operation has to remember between two attempts.
    """

    name: str
    command: str
    pid: int
    since: str
    details: dict[str, list[str]]


class CutOffError(LakehouseError):
    """A restore or rebuild was cut off: what is there is half old, half new."""


@contextlib.contextmanager
def using(settings: Settings) -> Iterator[None]:
    """Work on the platform beside others for the length of the block.

    Raises:
        BusyError: a restore or rebuild is at work; names it.
        CutOffError: one was cut off; says what to run.
    """
    with _opened(settings) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            found = noted(settings)
            what = f"{found.name} (process {found.pid}, since {found.since})" if found else "a restore or rebuild"
            raise BusyError(
                f"The platform in {settings.data_path} is taken by {what}.", remedy="Wait for it to finish."
            ) from None
        if found := noted(settings):
            raise CutOffError(
                f"A {found.name} that began {found.since} was cut off; the platform is half restored.",
                remedy=f"Run it again, it finishes what is left: {found.command}",
            )
        yield


@contextlib.contextmanager
def alone(settings: Settings, what: str) -> Iterator[None]:
    """Have the platform for oneself for the length of the block.

    Args:
        settings: the platform's settings.
        what: for the message, e.g. ``restore``.

    Raises:
        BusyError: other processes work on it; names them.
    """
    with _opened(settings) as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"A {what} needs the platform for itself; {settings.data_path} is in use by "
                f"{', '.join(_holders(_lock_file(settings))) or 'another process'}.",
                remedy="End `lakehouse up` (Ctrl-C) or wait for the run to finish, then try again.",
            ) from None
        yield


def noted(settings: Settings) -> Operation | None:
    """The operation that is under way or was cut off."""
    try:
        return Operation(**json.loads(_note(settings).read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return Operation("restore or rebuild", "lakehouse restore DIR", 0, "at an unknown time", {})


def note(settings: Settings, name: str, command: str, details: dict[str, list[str]] | None = None) -> None:
    """Say, durably, that an operation has begun to change things. The caller is :func:`alone`."""
    operation = Operation(name, command, os.getpid(), datetime.now(UTC).isoformat(timespec="seconds"), details or {})
    fresh = _note(settings).with_suffix(".new")
    with fresh.open("w", encoding="utf-8") as file:
        json.dump(asdict(operation), file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(_note(settings))
    sync_folder(settings.data_path)


def done(settings: Settings) -> None:
    """The operation is finished: ordinary commands may work again."""
    _note(settings).unlink(missing_ok=True)
    sync_folder(settings.data_path)


def _note(settings: Settings) -> Path:
    return settings.data_path / "operation.json"


def _lock_file(settings: Settings) -> Path:
    return settings.data_path / "platform.lock"


@contextlib.contextmanager
def _opened(settings: Settings) -> Iterator[int]:
    settings.data_path.mkdir(parents=True, exist_ok=True)
    # Not inherited by programs we start, so a child cannot keep the lock of a dead parent.
    handle = os.open(_lock_file(settings), os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        yield handle
    finally:
        os.close(handle)


def _holders(path: Path) -> list[str]:
    """Who holds a lock on a file, from the kernel's own list: ``lakehouse up (process 123)``."""
    state = path.stat()
    device = f"{os.major(state.st_dev):02x}:{os.minor(state.st_dev):02x}:{state.st_ino}"
    named = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/locks").read_text(encoding="ascii").splitlines():
            parts = line.split()
            if len(parts) > 5 and parts[1] == "FLOCK" and parts[5] == device:
                named[parts[4]] = f"{_command_line(parts[4])} (process {parts[4]})"
    return list(named.values())


def _command_line(pid: str) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return "a process in another container"
    names = [Path(word).name if index < 2 else word for index, word in enumerate(words) if word]
    return " ".join(names[1:] if names and names[0].startswith("python") else names) or "a process"
