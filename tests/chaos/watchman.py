"""Watches, all through the chaos, that nobody holds anything for long: locks, open transactions."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import psycopg2
from arena import Arena

from lakehouse.duckdb.lock import holder
from lakehouse.postgres.connect import state_url

LIMIT_SECONDS = 30.0
POLL_SECONDS = 1.0
HELD = {
    "advisory lock": "select pid::text || ' ' || objid from pg_locks where locktype = 'advisory' and granted",
    "idle in transaction": "select pid || ' ' || xact_start || ' ' || query from pg_stat_activity"
    " where state like 'idle in transaction%%' and xact_start is not null",
}


class Watchman:
    """Notes how long each holder was seen without a break.

    Every healthy holder of this small data lets go within seconds, so what is seen for longer than the limit is
    something that a dead one left.

    Attributes:
        longest: kind → (seconds, who), the longest so far.
    """

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._since: dict[tuple[str, str], float] = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.longest: dict[str, tuple[float, str]] = {}

    def __enter__(self) -> Watchman:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        connection: Any = None
        while not self._ended.wait(POLL_SECONDS):
            try:
                connection = connection or psycopg2.connect(state_url(self._arena.platform.settings))
                connection.autocommit = True
                seen = self._look(connection)
            except psycopg2.Error:
                with contextlib.suppress(Exception):
                    connection.close()
                connection = None
                seen = set()  # a server that is gone holds nothing
            present = holder(self._arena.platform.settings.warehouse)
            if present is not None:
                seen.add(("warehouse lock", str(present)))
            now = time.monotonic()
            self._since = {item: self._since.get(item, now) for item in seen}
            for (kind, who), since in self._since.items():
                if now - since >= self.longest.get(kind, (0.0, ""))[0]:
                    self.longest[kind] = (now - since, who)

    @staticmethod
    def _look(connection: Any) -> set[tuple[str, str]]:
        seen = set()
        with connection.cursor() as cursor:
            for kind, sql in HELD.items():
                cursor.execute(sql.replace("%%", "%"))
                seen |= {(kind, row[0]) for row in cursor.fetchall()}
        return seen

    def violations(self) -> list[str]:
        """What was held for too long."""
        return [
            f"{kind} held for {seconds:.0f} s by {who}"
            for kind, (seconds, who) in self.longest.items()
            if seconds > LIMIT_SECONDS
        ]
