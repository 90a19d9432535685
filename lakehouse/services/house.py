"""What surrounds the services of `lakehouse up`: their probes and logs, the database, the disk, and who is told.

What belongs here: connections between the supervisor and the platform. What does not: deciding when to restart.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from lakehouse.code_version import code_version
from lakehouse.errors import LakehouseError
from lakehouse.services import logs, probes, record
from lakehouse.services.postgres_guard import PostgresGuard
from lakehouse.services.watch import Probe
from lakehouse.settings import Settings

log = logging.getLogger(__name__)

CARE_SECONDS = 60.0
LOW_DISK_BYTES = 2 * 10**9
"""A run of 20 million rows writes about 1 GB before anything old is removed."""
RESTARTED, DISK_LOW = "service_restarted", "disk_low"


class House:
    """The platform as a supervisor sees it.

    Args:
        settings: the platform's settings.
        say: told what a person at the terminal should read.
    """

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self.say = say
        self.next_care = 0.0
        self._guard: PostgresGuard | None = None
        self._services: Sequence[dict[str, Any]] = ()
        self._writing = threading.Lock()
        self._disk_is_low: bool | None = None  # not looked yet; an earlier `lakehouse up` may have left an alert
        logs.folder(settings).mkdir(parents=True, exist_ok=True)

    @contextlib.contextmanager
    def guarding(self) -> Iterator[None]:
        """Have the embedded Postgres started again when it ends, for the length of the block."""
        if not self._settings.embedded_postgres:
            yield
            return

        def back(what: str) -> None:
            self.alert("postgres", f"The embedded Postgres {what}; it was started again.")

        with PostgresGuard(self._settings, self.say, back, self.tell_record) as self._guard:
            yield

    def probe(self, service: str, pid: int, since: datetime) -> Probe:
        """How to ask whether a service works.

        Args:
            service: its name.
            pid: of the process that was started for it.
            since: when that was.
        """
        name = service.replace(" ", "-")
        if name == "daemon":
            return lambda: probes.daemon(self._settings, since)
        if name == "worker":
            return lambda: probes.worker(self._settings, pid)
        if name == "lineage":
            return lambda: probes.lineage(self._settings, pid)
        return lambda: probes.PROBES[name](self._settings)

    def log_file(self, service: str) -> Path:
        """Where a service's output goes."""
        return logs.path_of(self._settings, service)

    def database_works(self) -> bool:
        """Whether the state database can be asked; where it cannot, no service is to blame."""
        if self._guard is not None:
            return self._guard.works
        from lakehouse.postgres.connect import connect_state

        try:
            connect_state(self._settings).close()
        except LakehouseError:
            return False
        return True

    def code_version(self) -> int:
        """A number that changes with the code, models or declarations."""
        return code_version()

    def tell_record(self, services: Sequence[dict[str, Any]] | None = None) -> None:
        """Write what runs where `lakehouse status` reads it; without services, those of last time."""
        with self._writing:
            if services is not None:
                self._services = services
            try:
                record.write(self._settings, [*([self._guard.status()] if self._guard else []), *self._services])
            except OSError as error:  # a full disk must not end what keeps everything running
                log.warning("What runs could not be recorded: %s", error)

    def alert(self, service: str, message: str) -> None:
        """Record that a service had to be started again; resolved by :meth:`resolve`."""
        self._alert("warning", RESTARTED, service, message, f"Its log says why: lakehouse logs {service}")

    def resolve(self, service: str) -> None:
        """The service has been working for a while."""
        self._resolve(RESTARTED, service)

    def care(self, now: float) -> None:
        """Once a minute: keep the logs within bounds, look at the disk."""
        if now < self.next_care:
            return
        self.next_care = now + CARE_SECONDS
        for path in [*logs.folder(self._settings).glob("*.log"), logs.path_of(self._settings, "postgres")]:
            with contextlib.suppress(OSError):
                logs.keep_within(path)
        if self._guard is not None and self._guard.stable:
            self.resolve("postgres")
        self._look_at_disk()

    def _look_at_disk(self) -> None:
        free = shutil.disk_usage(self._settings.data_path).free
        low = free < LOW_DISK_BYTES
        if low == self._disk_is_low:
            return
        self._disk_is_low = low
        if not low:
            self._resolve(DISK_LOW, str(self._settings.data_path))
            return
        text = f"Only {free / 1e9:.1f} GB are free on the disk of {self._settings.data_path}."
        self.say(text)
        remedy = "Make room before a run fails for it: docs/operations/sizing.md says what grows."
        self._alert("warning", DISK_LOW, str(self._settings.data_path), text, remedy)

    def _alert(self, severity: str, kind: str, subject: str, message: str, remedy: str) -> None:
        from lakehouse.alerts import Alert, raise_all

        self._in_state(lambda cursor: raise_all(cursor, [Alert(severity, kind, subject, message, remedy)], None))

    def _resolve(self, kind: str, subject: str) -> None:
        from lakehouse.alerts import resolve

        self._in_state(lambda cursor: resolve(cursor, kind, [subject]))

    def _in_state(self, work: Callable[[Any], object]) -> None:
        from psycopg2 import Error as PostgresError

        from lakehouse.postgres.connect import connect_state

        try:
            connection = connect_state(self._settings)
            with contextlib.closing(connection), connection, connection.cursor() as cursor:
                work(cursor)
        except (LakehouseError, PostgresError) as error:
            log.warning("An alert could not be recorded: %s", error)
