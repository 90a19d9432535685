"""Starts a list of processes, restarts one that dies, ends them all in reverse order; leaves no orphan.

Each child is its own session, so a Ctrl-C on the terminal reaches only the supervisor, which ends them in order. The
kernel ends a child whose supervisor was killed (``PR_SET_PDEATHSIG``).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from lakehouse.errors import BusyError, LakehouseError
from lakehouse.services.processes import HOST, Service

PR_SET_PDEATHSIG = 1
START_TIMEOUT_SECONDS = 120.0
STOP_TIMEOUT_SECONDS = 20.0
MAX_RESTART_DELAY_SECONDS = 30.0
STABLE_AFTER_SECONDS = 60.0
MAX_LOG_BYTES = 20 * 1024 * 1024

_libc = ctypes.CDLL(None, use_errno=True)


def require_ports(services: Sequence[Service], variables: Mapping[str, str]) -> None:
    """Check that every port is free.

    Args:
        services: what will listen.
        variables: service name → environment variable that moves its port.

    Raises:
        BusyError: one error naming every taken port and who has it.
    """
    from lakehouse.postgres.ports import free_port, listener

    faults = []
    for service in services:
        if service.port is None:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, service.port))
            except OSError:
                who = listener(service.port) or "another process"
                faults.append(
                    f"port {service.port} ({service.name}) is taken by {who}; "
                    f"another one: {variables[service.name]}={free_port()}"
                )
    if faults:
        raise BusyError(
            "Cannot start:\n  - " + "\n  - ".join(faults),
            remedy="End what listens there (another `lakehouse up`?), or set the variable(s) in .env.",
        )


class Supervisor:
    """Runs services until told to stop.

    Args:
        services: in starting order.
        environment: of the children.
        logs: folder for one log file each.
        say: told about starts, deaths and restarts.
    """

    def __init__(
        self, services: Sequence[Service], environment: Mapping[str, str], logs: Path, say: Callable[[str], None]
    ) -> None:
        self._services = list(services)
        self._environment = dict(environment)
        self._logs = logs
        self._say = say
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, float] = {}
        self._deaths: dict[str, int] = {}
        self._restart_at: dict[str, float] = {}
        self._stopping = False

    def start(self) -> None:
        """Start every service and wait until it answers on its port.

        Raises:
            LakehouseError: one of them ended or did not answer; the tail of its log is quoted.
        """
        for service in self._services:
            self._spawn(service)
            self._wait_until_up(service)
            self._say(f"{service.name} is up{f': {service.page}' if service.page else ''}")

    def watch(self) -> None:
        """Restart what dies, until :meth:`request_stop`."""
        while not self._stopping:
            now = time.monotonic()
            for service in self._services:
                child = self._running.get(service.name)
                if child is not None and child.poll() is not None:
                    self._note_death(service, child, now)
                elif child is None and now >= self._restart_at.get(service.name, now):
                    self._spawn(service)
                    self._say(f"{service.name} restarted")
            time.sleep(0.2)

    def request_stop(self, *_: object) -> None:
        """End :meth:`watch`; usable as a signal handler."""
        self._stopping = True

    def stop(self) -> None:
        """End all children in reverse order, politely first, and what they started with them."""
        for service in reversed(self._services):
            child = self._running.pop(service.name, None)
            if child is None:
                continue
            _signal_session(child.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(STOP_TIMEOUT_SECONDS)
            _signal_session(child.pid, signal.SIGKILL)
            child.wait()

    def log_file(self, service: Service) -> Path:
        """Where a service's output goes."""
        return self._logs / f"{service.name.replace(' ', '-')}.log"

    def _spawn(self, service: Service) -> None:
        self._logs.mkdir(parents=True, exist_ok=True)
        path = self.log_file(service)
        if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
            path.replace(path.with_suffix(".log.1"))
        with path.open("ab") as log:
            self._running[service.name] = _popen(service, self._environment | service.environment, log)
        self._started[service.name] = time.monotonic()

    def _wait_until_up(self, service: Service) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while service.port is not None and not self._stopping:
            if self._running[service.name].poll() is not None or time.monotonic() > deadline:
                raise LakehouseError(
                    f"The {service.name} did not start. The end of its log:\n{self._tail(service)}",
                    remedy=f"The whole log is {self.log_file(service)}.",
                )
            with contextlib.suppress(OSError), socket.create_connection((HOST, service.port), timeout=1):
                return
            time.sleep(0.1)

    def _note_death(self, service: Service, child: subprocess.Popen[bytes], now: float) -> None:
        if now - self._started[service.name] > STABLE_AFTER_SECONDS:
            self._deaths[service.name] = 0
        delay = min(2.0 ** self._deaths.get(service.name, 0), MAX_RESTART_DELAY_SECONDS)
        self._deaths[service.name] = self._deaths.get(service.name, 0) + 1
        self._restart_at[service.name] = now + delay
        _signal_session(child.pid, signal.SIGKILL)  # what it had started must not hold its port
        del self._running[service.name]
        self._say(
            f"{service.name} ended with code {child.returncode}; again in {delay:.0f} s (log: {self.log_file(service)})"
        )

    def _tail(self, service: Service, lines: int = 15) -> str:
        with contextlib.suppress(OSError):
            text = self.log_file(service).read_text(encoding="utf-8", errors="replace")
            return "\n".join("    " + line for line in text.splitlines()[-lines:])
        return "    (empty)"


def _popen(service: Service, environment: Mapping[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    parent = os.getpid()

    def tie_to_parent() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the parent died before the line above
            os._exit(1)

    return subprocess.Popen(
        service.command,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        env=dict(environment),
        start_new_session=True,
        preexec_fn=tie_to_parent,
    )


def _signal_session(leader: int, number: signal.Signals) -> None:
    """Send a signal to every process of the session that ``leader`` began (runs included), group or not."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
            if int(fields[3]) == leader:
                os.kill(int(stat.parent.name), number)
