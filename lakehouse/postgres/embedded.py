"""The embedded PostgreSQL: started by whoever needs it first, stopped by whoever leaves last.

What belongs here: the life of the server across processes. What does not: tables (see migrations) and connections.

Users hold a shared lock on one file; the last one gets it exclusively and stops the server. The kernel counts, so a
killed user is not counted, and a server that killed users left behind is stopped by the next one that leaves.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lakehouse.errors import BusyError, LakehouseError
from lakehouse.locks import is_used, open_lock, try_lock
from lakehouse.postgres import binaries, cluster, locks, passfile, ports, server
from lakehouse.postgres.home import Home, locate
from lakehouse.settings import Settings

log = logging.getLogger(__name__)

MIN_FREE_BYTES = 500 * 10**6
"""Least free disk to start with: a fresh cluster takes 60 MB, its journal may grow to 1 GB before it is recycled."""
LOCK_SECONDS = server.START_SECONDS + 60


@dataclass(frozen=True)
class Status:
    """The state of the platform's own server.

    Attributes:
        embedded: False when the settings name external servers; the rest then says nothing.
        running: whether it takes connections.
        in_use: whether a process uses it now.
        pid: of the server, while it runs.
        port: on 127.0.0.1.
        log: the server's log.
    """

    embedded: bool
    running: bool = False
    in_use: bool = False
    pid: int | None = None
    port: int | None = None
    log: Path | None = None


@contextlib.contextmanager
def running(settings: Settings) -> Iterator[None]:
    """Have the embedded server running for the length of the block; nothing to do for external URLs.

    Raises:
        BusyError: the port is taken; names the process and the remedy.
        ConfigError: the server cannot run here (no wheel, no access, other version); says why.
        LakehouseError: disk full, or the server does not start; quotes its log.
    """
    if not settings.embedded_postgres:
        yield
        return
    home = locate(settings)
    users = open_lock(home.users_lock)
    try:
        fcntl.flock(users, fcntl.LOCK_SH)  # waits only while the last user stops the server
        if not _joinable(home, settings.postgres_port):
            with locks.exclusive(home.start_lock, timeout=LOCK_SECONDS):
                _start(home, settings.postgres_port)
        yield
    finally:
        _leave(home, users)


def stop(settings: Settings, *, force: bool = False) -> bool:
    """Stop the embedded server, e.g. one that killed processes left behind.

    Args:
        settings: the platform's settings.
        force: stop it although processes use it.

    Returns:
        Whether it ran.

    Raises:
        BusyError: processes use it and ``force`` is not set.
    """
    if not settings.embedded_postgres:
        return False
    home = locate(settings)
    with locks.exclusive(home.start_lock, timeout=LOCK_SECONDS):
        if not server.alive(home):
            return False
        if not force and is_used(home.users_lock):
            raise BusyError(
                "The embedded Postgres is in use by another process.",
                remedy="End `lakehouse up` or the running pipeline first; the server then stops by itself.",
            )
        server.stop(home)
        return True


def revive(settings: Settings) -> int | None:
    """Start the server again after it has ended by itself; the caller is inside :func:`running`.

    Crash recovery replays what was committed. Nothing is done where another user has started it already.

    Returns:
        Its process id.

    Raises:
        LakehouseError: it does not start; quotes its log.
    """
    home = locate(settings)
    with locks.exclusive(home.start_lock, timeout=LOCK_SECONDS):
        state = server.postmaster(home)
        if server.alive(home) and (state is None or not _lives(state.pid)):
            server.end_remnants(home)
        _start(home, settings.postgres_port)
    state = server.postmaster(home)
    return state.pid if state else None


def _lives(pid: int) -> bool:
    """Whether a process exists and is not merely waiting to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def status(settings: Settings) -> Status:
    """Look at the embedded server without starting or disturbing it."""
    if not settings.embedded_postgres:
        return Status(embedded=False)
    home = locate(settings)
    state = server.postmaster(home) if server.alive(home) else None
    if state is None or not state.ready:
        return Status(embedded=True, port=settings.postgres_port, log=home.log)
    return Status(
        embedded=True,
        running=True,
        in_use=_in_use(home),
        pid=state.pid,
        port=state.port,
        log=home.log,
    )


def _in_use(home: Home) -> bool:
    try:
        # Looking takes the users' lock for a moment; under the start lock no leaver can mistake us for a user.
        with locks.exclusive(home.start_lock, timeout=0):
            return is_used(home.users_lock)
    except BusyError:
        return True  # someone is coming or going


def _joinable(home: Home, port: int) -> bool:
    """Whether a server of ours is there to be used as it is."""
    if not server.alive(home):
        return False
    state = server.postmaster(home)
    if state is None or not state.ready or not server.accepts(state.port):
        return False  # starting or dying: decided under the start lock
    if state.port != port:
        raise BusyError(
            f"The embedded Postgres of {home.passfile.parent.parent} runs on port {state.port}, not {port}.",
            remedy=f"Set LAKEHOUSE_POSTGRES_PORT={state.port}, or end the processes that use it first.",
        )
    passwords = passfile.ensure(home.passfile)
    if not cluster.has_passwords(home, passwords):
        raise LakehouseError(
            f"{home.passfile} was changed or deleted while the embedded Postgres runs.",
            remedy="End the processes that use it; the next start gives the server the passwords in the file.",
        )
    return True


def _start(home: Home, port: int) -> None:
    if server.alive(home) and server.wait_until_settled(home) and _joinable(home, port):
        return
    programs = binaries.for_account(home.account)
    _require_disk(home)
    passwords = passfile.ensure(home.passfile)
    if not home.cluster.exists():
        ports.require_free(port)
        log.info("Creating the embedded Postgres in %s", home.path)
        cluster.create(home, programs, passwords)
    cluster.require_version(home)
    if not cluster.has_passwords(home, passwords):
        cluster.set_passwords(home, programs, passwords)
    server.start(home, programs, port)


def _leave(home: Home, users: int) -> None:
    """Give up the use of the server; the last one stops it. Never hides an error of the block."""
    try:
        # Blocking, since another leaver may hold it who sees that we are still here and leaves the stopping to us.
        with locks.exclusive(home.start_lock, timeout=LOCK_SECONDS):
            if try_lock(users, fcntl.LOCK_EX) and server.alive(home):
                server.stop(home)
    except LakehouseError as error:
        log.warning("%s", error)
    finally:
        os.close(users)


def _require_disk(home: Home) -> None:
    free = shutil.disk_usage(home.path).free
    if free < MIN_FREE_BYTES:
        raise LakehouseError(
            f"Only {free / 1e6:.0f} MB are free on the disk of {home.path}; the embedded Postgres needs "
            f"{MIN_FREE_BYTES / 1e6:.0f} MB to start.",
            remedy="Make room, or point LAKEHOUSE_DATA_DIR to another disk.",
        )
