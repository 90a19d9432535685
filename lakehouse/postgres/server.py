"""Starts, stops and probes one PostgreSQL server process.

What belongs here: the process. What does not: who may use it and when it stops (:mod:`lakehouse.postgres.embedded`).

Whether the server lives is told by a lock that its own processes inherit: the kernel frees it when the last of them is
gone. A pid in a file proves nothing after a kill, a reboot or from within another container.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import signal
import socket
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from lakehouse.errors import LakehouseError
from lakehouse.locks import is_held, open_lock
from lakehouse.postgres import ports
from lakehouse.postgres.cluster import clean_environment
from lakehouse.postgres.home import Home
from lakehouse.postgres.passfile import HOST
from lakehouse.postgres.service_user import run_as

START_SECONDS = 300.0
"""How long a start may take; recovery after a crash replays at most ``max_wal_size``."""
STOP_SECONDS = 60.0
CONNECT_SECONDS = 2.0
POLL_SECONDS = 0.005
LOG_LIMIT = 10 * 2**20
"""Above this size in bytes the log begins anew, keeping one predecessor."""

SSL_REQUEST = struct.pack("!ii", 8, 80877103)  # length and code, from PostgreSQL's protocol

OPTIONS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "cluster_name": "lakehouse",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
    "password_encryption": "scram-sha-256",  # the name of a method
}


@dataclass(frozen=True)
class Postmaster:
    """What a server says about itself in ``postmaster.pid``."""

    pid: int
    port: int
    ready: bool


def alive(home: Home) -> bool:
    """Whether any process of the server lives."""
    return is_held(home.server_lock)


def postmaster(home: Home) -> Postmaster | None:
    """What the server wrote about itself; only meaningful while :func:`alive`."""
    try:
        lines = (home.cluster / "postmaster.pid").read_text().splitlines()
        return Postmaster(int(lines[0]), int(lines[3]), lines[7].strip() == "ready")
    except (OSError, IndexError, ValueError):
        return None  # not there, or being written


def start(home: Home, programs: Path, port: int) -> None:
    """Start the server and wait until it takes connections. The caller holds the start lock; nothing runs.

    Raises:
        BusyError: the port is taken.
        LakehouseError: it did not start; quotes the end of its log.
    """
    ports.require_free(port)
    (home.cluster / "postmaster.pid").unlink(missing_ok=True)  # nothing lives, so it is stale; its pid may be reused
    _rotate(home.log)
    offset = home.log.stat().st_size if home.log.exists() else 0
    token = open_lock(home.server_lock)
    try:
        fcntl.flock(token, fcntl.LOCK_EX)
        options = " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in OPTIONS.items())
        # Relative paths: pg_ctl builds a shell command, in which a folder name could be read as code.
        done = subprocess.run(
            [programs / "pg_ctl", "start", "-W", "-s", "-D", ".", "-l", home.log.name, "-o", f"-p {port} {options}"],
            cwd=home.cluster,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            pass_fds=(token,),
            start_new_session=True,  # Ctrl-C in the caller's terminal is not for the server
            **run_as(home.account),
        )
    finally:
        os.close(token)  # without unlocking: the server has it now
    try:
        deadline = time.monotonic() + START_SECONDS
        while not ((state := postmaster(home)) and state.ready):
            if not alive(home):
                raise _failed(home, port, offset, done.stderr)
            if time.monotonic() > deadline:
                raise _failed(home, port, offset, f"It was not ready after {START_SECONDS:.0f} s.")
            time.sleep(POLL_SECONDS)
    except BaseException:
        if alive(home):
            stop(home)
        raise


def wait_until_settled(home: Home) -> bool:
    """Wait for a server that is starting or dying; True when it takes connections, False when it is gone.

    Raises:
        LakehouseError: neither happened in time.
    """
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if not alive(home):
            return False
        state = postmaster(home)
        if state is not None and state.ready and accepts(state.port):
            return True
        time.sleep(POLL_SECONDS)
    raise LakehouseError(
        f"Processes of the embedded Postgres in {home.path} neither work nor end.",
        remedy=f"Look at {home.log}, end them, then try again.",
    )


def stop(home: Home) -> None:
    """Stop the server (fast: open transactions are rolled back). The caller holds the start lock.

    Raises:
        LakehouseError: it does not end.
    """
    for kind in (signal.SIGINT, signal.SIGQUIT):  # fast, then immediate
        deadline = time.monotonic() + STOP_SECONDS
        signalled = None
        while alive(home):
            state = postmaster(home)
            if state is not None and state.pid != signalled:
                signalled = state.pid
                _signal(state.pid, kind)
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)
        else:
            return
    raise LakehouseError(
        f"The embedded Postgres in {home.path} does not stop.", remedy=f"Look at {home.log} and end its processes."
    )


def accepts(port: int) -> bool:
    """Whether somebody takes connections there. A pid would not tell: a killed process keeps it until it is reaped."""
    try:
        socket.create_connection((HOST, port), timeout=CONNECT_SECONDS).close()
    except OSError:
        return False
    return True


def answers(port: int) -> bool:
    """Whether a server works there: it must start a session and let that say whether it speaks TLS.

    Cheaper than a login, and more than an open port, which the kernel keeps for a server that hangs.
    """
    try:
        with socket.create_connection((HOST, port), timeout=CONNECT_SECONDS) as connection:
            connection.sendall(SSL_REQUEST)
            return connection.recv(1) in (b"N", b"S")
    except OSError:
        return False


def end_remnants(home: Home) -> None:
    """Kill what a dead server left running. The caller holds the start lock.

    A session in the middle of a statement notices only at its end that its server is gone, and until then no new one
    may start on the same files. Its work is lost in any case.
    """
    inode = home.server_lock.stat().st_ino
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "comm").read_text().strip() == "postgres" and any(
                _inode(handle) == inode for handle in (process / "fd").iterdir()
            ):
                os.kill(int(process.name), signal.SIGKILL)


def _inode(handle: Path) -> int | None:
    try:
        return handle.stat().st_ino
    except OSError:
        return None


def _signal(pid: int, kind: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended by itself
        os.kill(pid, kind)


def _rotate(path: Path) -> None:
    if path.exists() and path.stat().st_size > LOG_LIMIT:
        path.replace(path.with_name(f"{path.name}.1"))


def _failed(home: Home, port: int, offset: int, said: str) -> LakehouseError:
    tail = said.strip()
    if home.log.exists():
        with home.log.open("rb") as file:
            file.seek(offset)
            tail = "\n".join((tail, *file.read().decode(errors="replace").splitlines()[-15:])).strip()
    if "Address already in use" in tail:
        return ports.taken(port)
    quoted = tail.replace("\n", "\n    ") or "(it said nothing)"
    return LakehouseError(
        f"The embedded Postgres in {home.path} does not start. Its log ends with:\n    {quoted}",
        remedy=f"Mend what it names (full log: {home.log}). If its files are damaged: lakehouse rebuild --from-lake "
        f"--discard-postgres builds everything anew; or move {home.cluster} away and restore a backup.",
    )
