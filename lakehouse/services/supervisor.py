"""Keeps services running: starts them in order, starts again what ends or hangs, ends them all; leaves no orphan.

It sleeps until something happens: the kernel tells of a process's end (pidfd), a watching thread of an answer, a timer
of a restart that is due. Only whether the code has changed is looked up now and then.
"""

from __future__ import annotations

import contextlib
import os
import queue
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lakehouse.errors import LakehouseError
from lakehouse.kernel import start_time
from lakehouse.services import child, logs
from lakehouse.services.house import House
from lakehouse.services.processes import Service
from lakehouse.services.watch import Answer, Watch

START_TIMEOUT_SECONDS = 120.0
STOP_TIMEOUT_SECONDS = 20.0
HANG_SECONDS = 40.0
"""A service that works no more, but whose process lives, is started again after this long without a good answer."""
MAX_RESTART_DELAY_SECONDS = 30.0
STABLE_AFTER_SECONDS = 60.0
CODE_LOOK_SECONDS = 10.0
"""A look costs 1.6 ms of processor time, 0.02 % of a core at this pace."""


@dataclass
class Seat:
    """The place of one service and the process that sits in it, if any."""

    service: Service
    process: subprocess.Popen[bytes] | None = None
    pidfd: int = -1
    watch: Watch | None = None
    works: bool = False
    stable: bool = False
    began: float = 0.0
    since: datetime | None = None
    code: int = 0
    good: float = 0.0
    trouble: str = ""
    starts: int = 0
    deaths: int = 0
    restart_at: float | None = field(default=0.0)

    @property
    def state(self) -> str:
        """``up``, ``starting`` or ``waiting`` (for its restart, or for what it needs)."""
        return "waiting" if self.process is None else "up" if self.works else "starting"


class Supervisor:
    """Runs services until told to stop.

    Args:
        services: in starting order.
        environment: of the children.
        house: what surrounds the services: probes, log files, the database, who is told.
    """

    def __init__(self, services: Sequence[Service], environment: Mapping[str, str], house: House) -> None:
        self._seats = {item.name: Seat(item) for item in services}
        self._environment = dict(environment)
        self._house = house
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._selector = selectors.DefaultSelector()
        self._ears, self._bell = socket.socketpair()
        for end in (self._ears, self._bell):
            end.setblocking(False)
        self._selector.register(self._ears, selectors.EVENT_READ)
        self._stopping = False
        self._strict = True
        self._next_look = 0.0

    def start(self) -> None:
        """Start every service and wait until each works; those that do not wait for another start together.

        Raises:
            LakehouseError: one of them ended or does not work in time; the end of its log is quoted.
        """
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not self._stopping and not all(seat.works for seat in self._seats.values()):
            self._turn(deadline)
            if time.monotonic() > deadline:
                raise self._did_not_start(next(seat for seat in self._seats.values() if not seat.works))
        self._strict = False

    def watch(self) -> None:
        """Start again what ends or hangs, until :meth:`request_stop`."""
        self._strict = False
        while not self._stopping:
            self._turn(None)

    def request_stop(self, *_: object) -> None:
        """End :meth:`start` and :meth:`watch`; usable as a signal handler and from any thread."""
        self._stopping = True
        self._ring()

    def stop(self) -> None:
        """End all services, each politely first, with all they started; those that others need end last."""
        needed = {name for seat in self._seats.values() for name in seat.service.after}
        for group in (set(self._seats) - needed, needed):
            leaders = [seat.process.pid for name in group if (seat := self._seats[name]).process is not None]
            child.end_sessions(leaders, STOP_TIMEOUT_SECONDS)
            for name in group:
                self._vacate(self._seats[name])
        self._house.tell_record([])

    def status(self) -> list[dict[str, Any]]:
        """One entry per service, for :mod:`lakehouse.services.record`."""
        return [
            {
                "name": name,
                "state": seat.state,
                "pid": seat.process.pid if seat.process else None,
                "began": start_time(seat.process.pid) if seat.process else None,
                "since": seat.since.isoformat(timespec="seconds") if seat.since else None,
                "restarts": max(seat.starts - 1, 0),
            }
            for name, seat in self._seats.items()
        ]

    # -- one turn of the loop ------------------------------------------------------------------------------

    def _turn(self, deadline: float | None) -> None:
        now = time.monotonic()
        self._house.care(now)
        self._follow_code(now)
        for seat in self._seats.values():
            if seat.process is None and seat.restart_at is not None and now >= seat.restart_at and self._may(seat):
                self._spawn(seat)
        for key, _ in self._selector.select(self._patience(deadline)):
            if key.fileobj is self._ears:
                with contextlib.suppress(BlockingIOError):
                    self._ears.recv(4096)
            elif isinstance(key.data, Seat):
                self._note_end(key.data)
        while not self._answers.empty() and not self._stopping:
            self._note_answer(self._answers.get())

    def _patience(self, deadline: float | None) -> float:
        """Seconds until something is due."""
        now = time.monotonic()
        due = [self._house.next_care, *([] if self._strict else [self._next_look]), *([deadline] if deadline else [])]
        due += [
            seat.restart_at
            for seat in self._seats.values()
            if seat.process is None and seat.restart_at is not None and self._may(seat)
        ]
        return max(min(due) - now, 0.0)

    def _may(self, seat: Seat) -> bool:
        return all(self._seats[name].works for name in seat.service.after if name in self._seats)

    def _spawn(self, seat: Seat) -> None:
        name = seat.service.name
        if seat.service.follows_code:
            seat.code = self._house.code_version()  # before it reads the first file
        who = {"PGAPPNAME": f"lakehouse {name}"}  # so that pg_stat_activity tells whose a session is
        seat.process = child.spawn(
            seat.service.command, self._environment | who | seat.service.environment, self._house.log_file(name)
        )
        seat.pidfd = os.pidfd_open(seat.process.pid)
        self._selector.register(seat.pidfd, selectors.EVENT_READ, seat)
        seat.starts += 1
        seat.began = seat.good = time.monotonic()
        seat.since = datetime.now(UTC)
        seat.works = seat.stable = False
        probe = self._house.probe(name, seat.process.pid, seat.since)
        seat.watch = Watch(name, seat.starts, probe, self._hear)
        self._house.tell_record(self.status())

    def _hear(self, answer: Answer) -> None:
        self._answers.put(answer)
        self._ring()

    def _ring(self) -> None:
        with contextlib.suppress(OSError):  # full: it is awake anyway; closed: it is gone
            self._bell.send(b"!")

    def _note_end(self, seat: Seat) -> None:
        if self._strict:
            raise self._did_not_start(seat)
        self._again(seat, f"ended {_how(seat.process.wait())}" if seat.process else "ended")

    def _note_answer(self, answer: Answer) -> None:
        seat = self._seats[answer.service]
        if seat.process is None or answer.generation != seat.starts:
            return  # of a former process
        now = time.monotonic()
        if answer.error is None:
            seat.good = now
            if not seat.works:
                seat.works = True
                self._say_up(seat)
                self._house.tell_record(self.status())
            if not seat.stable and now - seat.began > STABLE_AFTER_SECONDS:
                seat.stable = True
                seat.trouble = ""
                seat.deaths = 0
                # Without trouble too: an earlier `lakehouse up` may have ended before it could.
                self._house.resolve(seat.service.name)
            return
        if not self._house.database_works() or not self._seen(seat):
            seat.good = now  # not its fault
        limit = HANG_SECONDS if seat.works else START_TIMEOUT_SECONDS
        if now - seat.good > limit and not self._strict:
            self._again(seat, f"has not worked for {limit:.0f} s ({answer.error.message})")

    def _seen(self, seat: Seat) -> bool:
        through = self._seats.get(seat.service.seen_through or "")
        return through is None or (through.works and time.monotonic() - through.good < HANG_SECONDS / 2)

    def _again(self, seat: Seat, what: str) -> None:
        """End what is left of a service and have it started again, later the more often it happens."""
        if time.monotonic() - seat.began > STABLE_AFTER_SECONDS:
            seat.deaths = 0
        delay = min(2.0**seat.deaths - 1, MAX_RESTART_DELAY_SECONDS)
        seat.deaths += 1
        if seat.process is not None:  # what it had started must not hold its port
            child.signal_all(child.session(seat.process.pid), signal.SIGKILL)
        self._vacate(seat)
        seat.trouble = what
        seat.restart_at = time.monotonic() + delay
        when = f"in {delay:.0f} s" if delay else "now"
        name = seat.service.name
        self._house.say(f"{name} {what}; it is started again {when} (log: {self._house.log_file(name)})")
        self._house.tell_record(self.status())

    def _follow_code(self, now: float) -> None:
        """Start anew what has loaded other code than there is now; one that executes a run is left until that ended."""
        if self._strict or now < self._next_look:
            return
        self._next_look = now + CODE_LOOK_SECONDS
        followers = [seat for seat in self._seats.values() if seat.service.follows_code and seat.works]
        code = self._house.code_version() if followers else 0
        for seat in followers:
            if seat.process is None or seat.code == code or child.busy(seat.process.pid):
                continue
            self._house.say(f"code has changed: {seat.service.name} started anew")
            child.end_sessions([seat.process.pid], STOP_TIMEOUT_SECONDS)
            self._vacate(seat)
            seat.restart_at = now

    def _vacate(self, seat: Seat) -> None:
        if seat.watch is not None:
            seat.watch.end()
            seat.watch = None
        if seat.process is not None:
            self._selector.unregister(seat.pidfd)
            os.close(seat.pidfd)
            seat.process.wait()
            seat.process = None
        seat.works = False

    def _say_up(self, seat: Seat) -> None:
        page = f": {seat.service.page}" if seat.service.page else ""
        if seat.starts == 1:
            self._house.say(f"{seat.service.name} is up{page}")
        else:
            seconds = time.monotonic() - seat.began
            self._house.say(f"{seat.service.name} works again after {seconds:.1f} s{page}")
            if seat.trouble:
                self._house.alert(seat.service.name, f"The {seat.service.name} {seat.trouble}; it was started again.")

    def _did_not_start(self, seat: Seat) -> LakehouseError:
        log = self._house.log_file(seat.service.name)
        return LakehouseError(
            f"The {seat.service.name} did not start. The end of its log:\n{logs.tail(log)}",
            remedy=f"The whole log is {log}.",
        )


def _how(code: int) -> str:
    if code >= 0:
        return f"with code {code}"
    with contextlib.suppress(ValueError):
        return f"by {signal.Signals(-code).name}"
    return f"by signal {-code}"
