"""The drainer as a process: its settings, its signals, and what it does besides delivering.

What belongs here: putting the pieces together. What does not: the pieces.
"""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from lakehouse.errors import ConfigError
from lineage import backlog, retention
from lineage.drainer import Done, Drainer
from lineage.openlineage_config import Target, target
from lineage.transport import Outcome, open_transport

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

    from lakehouse.settings import Settings

log = logging.getLogger(__name__)

CARE_SECONDS = 60.0
NEWS_SECONDS = 1.0
"""Alerts about news are written this often at most: dead letters may come by the hundred."""
RETENTION_SECONDS = 3600.0
KEEPALIVE = "keepalives_idle=30&keepalives_interval=10&keepalives_count=3&tcp_user_timeout=60000"
"""A database host that vanished is noticed within a minute."""


class Duties:
    """What is done now and then on the drainer's connection: measurement, alerts, retention.

    Args:
        settings: for limits.
        goal: where events go.
    """

    def __init__(self, settings: Settings, goal: Target) -> None:
        self._settings, self._goal = settings, goal
        self._care_at = self._retention_at = 0.0
        self._last = -CARE_SECONDS
        self._who: backlog.Identity | None = None

    def __call__(self, connection: Connection, drainer: Drainer) -> None:
        """Do what is due."""
        now = time.monotonic()
        who = self._who = self._who or backlog.Identity.here(connection)
        due = now >= self._care_at
        if due or (drainer.news and (drainer.ending or now >= self._last + NEWS_SECONDS)):
            self._last = now
            drainer.news = False
            last = drainer.outage.last
            if last is not None and last.outcome is Outcome.MISCONFIGURED:
                backlog.alert_refused(connection, self._goal, who, f"{last.status or ''} {last.error}".strip())
            elif last is None and drainer.done.delivered:  # not before: one that has sent nothing proves nothing
                backlog.taken(connection, who)
            backlog.alert(connection, self._settings)
        if due:
            self._care_at = now + CARE_SECONDS
            backlog.measure(connection, self._goal)
        if now >= self._retention_at:
            self._retention_at = now + RETENTION_SECONDS
            try:
                retention.forget_old(connection, self._settings)
            except ConfigError as error:  # a file that is just being edited; what waits is delivered all the same
                log.warning("Old lineage events are looked for later: %s", error)


def serve(settings: Settings, say: Callable[[str], None], *, once: bool = False) -> Done:
    """Deliver until SIGTERM or SIGINT, or with ``once`` until nothing is pending. For the main thread of a process.

    Args:
        settings: the platform's settings; the state database must be migrated.
        say: told what a person should read.
        once: return when the outbox is empty.

    Returns:
        What was delivered and what was refused.

    Raises:
        ConfigError: no transport is set, or it is wrong.
        UnavailableError: with ``once``: the server or the database is away.
    """
    from lakehouse.postgres.connect import connect, state_url

    goal = target()
    if goal is None:
        raise ConfigError(
            "No lineage server is set, or OPENLINEAGE_DISABLED is true.",
            remedy="Set OPENLINEAGE_URL, or a transport in openlineage.yml; without one lineage is browsed with "
            "`lakehouse lineage open`.",
        )
    transport = open_transport(goal, clients=settings.lineage_clients, timeout=settings.lineage_timeout_seconds)
    duties = Duties(settings, goal)
    url = state_url(settings)
    url += f"{'&' if '?' in url else '?'}{KEEPALIVE}"
    drainer = Drainer(lambda: connect(url, what="the state database"), transport, settings, care=duties, say=say)
    signal.signal(signal.SIGTERM, drainer.request_stop)
    signal.signal(signal.SIGINT, drainer.request_stop)
    say(f"Delivering lineage events to {goal}")
    done = drainer.run(once=once)
    say(f"Delivered {done.delivered}, refused {done.dead}")
    return done
