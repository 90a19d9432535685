"""Who listens on a TCP port of this machine, as far as ``/proc`` tells."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

from lakehouse.errors import BusyError, ConfigError
from lakehouse.postgres.passfile import HOST

LISTEN = "0A"  # state column of /proc/net/tcp


def require_free(port: int) -> None:
    """Check that the embedded server can listen on ``port``.

    Raises:
        BusyError: someone listens there; names the process where the kernel tells us.
        ConfigError: this user may not use the port.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except PermissionError as error:
            raise ConfigError(
                f"Port {port} on {HOST} is reserved for root.", remedy="Set LAKEHOUSE_POSTGRES_PORT above 1023."
            ) from error
        except OSError as error:
            raise taken(port) from error


def taken(port: int) -> BusyError:
    """The error for a port somebody else has."""
    who = listener(port)
    return BusyError(
        f"Port {port} on {HOST}, where the embedded Postgres should listen, is taken by {who or 'another process'}.",
        remedy=f"End that process, or choose another port: LAKEHOUSE_POSTGRES_PORT={free_port()}",
    )


def free_port() -> int:
    """A port that is free at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def listener(port: int) -> str | None:
    """The program that listens on ``port``, e.g. ``nginx (process 812)``; None where it cannot be told."""
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    if not sockets:
        return None
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # ended meanwhile, or belongs to another user
            if any(_target(link) in sockets for link in (process / "fd").iterdir()):
                return f"{(process / 'comm').read_text().strip()} (process {process.name})"
    return None


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""  # closed meanwhile; in our own process that is the listing itself


def _listening_inodes(port: int) -> list[str]:
    found = []
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in map(str.split, lines):
            if fields[3] == LISTEN and int(fields[1].rsplit(":", 1)[1], 16) == port:
                found.append(fields[9])
    return found
