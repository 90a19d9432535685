"""Keeps the embedded Postgres running under `lakehouse up`: no child of ours, but the kernel tells of its end.

What belongs here: noticing that the server is gone or hangs. What does not: how a server is started
(:mod:`lakehouse.postgres.embedded`).
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from lakehouse.errors import LakehouseError
from lakehouse.kernel import start_time
from lakehouse.postgres import embedded, server
from lakehouse.settings import Settings

LOOK_SECONDS = 15.0
HANG_SECONDS = 40.0
DYING_SECONDS = 5.0
RETRY_SECONDS = (1.0, 30.0)
STABLE_AFTER_SECONDS = 60.0


class PostgresGuard:
    """A thread that starts the server again when it ends. Use as a context manager, inside ``embedded.running``.

    Args:
        settings: the platform's settings; the server must be embedded and running.
        say: told what happens.
        back: told why it had to be started again, once it works.
        changed: called when :meth:`status` is another.
    """

    def __init__(
        self, settings: Settings, say: Callable[[str], None], back: Callable[[str], None], changed: Callable[[], None]
    ) -> None:
        self._settings, self._say, self._back, self._changed = settings, say, back, changed
        self._pid = embedded.status(settings).pid
        self._since = datetime.now(UTC)
        self._restarts = 0
        self.works = True
        self._ears, self._bell = os.pipe()
        self._thread = threading.Thread(target=self._work, name="postgres guard", daemon=True)

    def __enter__(self) -> PostgresGuard:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._bell)
        self._thread.join()
        os.close(self._ears)

    @property
    def stable(self) -> bool:
        """Whether the server has been working for a minute."""
        return self.works and (datetime.now(UTC) - self._since).total_seconds() > STABLE_AFTER_SECONDS

    def status(self) -> dict[str, Any]:
        """Like one entry of :meth:`lakehouse.services.supervisor.Supervisor.status`."""
        return {
            "name": "postgres",
            "state": "up" if self.works else "starting",
            "pid": self._pid,
            "began": start_time(self._pid) if self._pid else None,
            "since": self._since.isoformat(timespec="seconds"),
            "restarts": self._restarts,
        }

    def _work(self) -> None:
        while (what := self._wait()) is not None:
            self.works = False
            began = time.monotonic()
            self._say(f"postgres {what}; it is started again (log: {embedded.status(self._settings).log})")
            self._changed()
            pause = RETRY_SECONDS[0]
            while True:
                try:
                    self._pid = embedded.revive(self._settings)
                    break
                except (LakehouseError, OSError) as error:
                    self._say(f"postgres does not start; again in {pause:.0f} s. {error}")
                if select.select([self._ears], [], [], pause)[0]:
                    return
                pause = min(2 * pause, RETRY_SECONDS[1])
            self._restarts += 1
            self._since = datetime.now(UTC)
            self.works = True
            self._say(f"postgres works again after {time.monotonic() - began:.1f} s")
            self._changed()
            self._back(what)

    def _wait(self) -> str | None:
        """What happened to the server; None when we are told to end."""
        good = time.monotonic()
        try:
            pidfd = os.pidfd_open(self._pid or 0)
        except (ProcessLookupError, OSError):
            return "has ended"
        try:
            while True:
                ready = select.select([self._ears, pidfd], [], [], LOOK_SECONDS)[0]
                if self._ears in ready:
                    return None
                if pidfd in ready:
                    return "has ended"
                if server.answers(self._settings.postgres_port):
                    good = time.monotonic()
                elif time.monotonic() - good > HANG_SECONDS:
                    with contextlib.suppress(ProcessLookupError):
                        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                    select.select([pidfd], [], [], DYING_SECONDS)  # else it would be taken for one that lives
                    return f"has not answered for {HANG_SECONDS:.0f} s"
        finally:
            os.close(pidfd)
