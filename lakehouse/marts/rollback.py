"""Bringing a former version of a mart back, and keeping it until it is released.

A rolled back mart is held: the next run would put the bad version back within seconds. That it is held stands beside
the mart (``marts_build.publications``), where the publishing transaction sees it; the state database gets an alert,
and forgets what the mart was built from, so that no run takes it for up to date.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lakehouse import state
from lakehouse.errors import BlockedError, BusyError, ConfigError, first_line
from lakehouse.marts.turn import WAIT_SECONDS, reserve
from lakehouse.marts.versions import Published, Version, of_run, published
from lakehouse.postgres.connect import connect_marts, connect_state
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

HELD = "mart_held"
"""Kind of the alert that is open for as long as a mart is held."""


def roll_back(
    settings: Settings,
    mart: str,
    run: str,
    *,
    wait_seconds: float = WAIT_SECONDS,
    on_wait: Callable[[str], None] = lambda _: None,
) -> Version:
    """Serve the version that a run published, and hold the mart.

    Readers see the present version or the former one, whole. Views, grants, comments, indexes and owner stay.

    Args:
        settings: the platform's settings; both databases must be ready.
        mart: its name.
        run: the run, or the beginning of its id.
        wait_seconds: how long to wait for a publication of this mart that is under way.
        on_wait: called once, with a line that names whom it waits for.

    Returns:
        The version that is served now.

    Raises:
        ConfigError: there is no such mart or version.
        BusyError: a publication did not end in time, or readers held the mart without a gap for a minute.
        BlockedError: it cannot be served again, e.g. a view needs a column that it does not have; names it.
    """
    import psycopg2

    with (
        contextlib.closing(connect_marts(settings)) as marts,
        contextlib.closing(connect_state(settings)) as connection,
    ):
        marts.set_session(isolation_level="READ COMMITTED")  # whatever the server's default is
        found = published(marts, mart)
        version = of_run(found, run)
        reason = (
            f"rolled back at {datetime.now(UTC):%Y-%m-%d %H:%M} UTC to what run {version.run_id} published"
            f" at {version.published_at:%Y-%m-%d %H:%M %Z}"
        )
        state.forget_inputs(connection, [found.asset_key])
        try:
            with marts, marts.cursor() as cursor:
                building = state.building_run(connection, found.asset_key)
                reserve(cursor, found.mart, building, wait_seconds=wait_seconds, on_wait=on_wait)
                cursor.execute(
                    "select marts_build.roll_back(%s, %s, %s, %s)",
                    (found.mart, version.number, settings.marts_keep_versions, reason),
                )
        except psycopg2.errors.LockNotAvailable as error:
            raise BusyError(first_line(error), remedy="Let the long query end, then roll back again.") from error
        except (psycopg2.errors.RaiseException, psycopg2.errors.ObjectNotInPrerequisiteState) as error:
            raise BlockedError(first_line(error), remedy="Mend what it names, then roll back again.") from error
        state.resolve_alerts(connection, kind=HELD, subjects=[found.asset_key])  # of an earlier rollback
        alert_held(connection, found.asset_key, found.mart, reason, run_id=version.run_id)
        return published(marts, mart).versions[0]


def release(settings: Settings, mart: str) -> Published:
    """Let runs publish a held mart again.

    Raises:
        ConfigError: there is no such mart, or it is not held.
    """
    with (
        contextlib.closing(connect_marts(settings)) as marts,
        contextlib.closing(connect_state(settings)) as connection,
    ):
        found = published(marts, mart)
        if found.held is None:
            raise ConfigError(f"{found.mart} is not held.", remedy="Nothing to do: runs publish it.")
        state.forget_inputs(connection, [found.asset_key])
        with marts, marts.cursor() as cursor:
            cursor.execute(
                "update marts_build.publications set held_at = null, held_reason = null where mart = %s", (found.mart,)
            )
        state.resolve_alerts(connection, kind=HELD, subjects=[found.asset_key])
    return found


def alert_held(connection: Connection, asset_key: str, mart: str, reason: str, *, run_id: str) -> None:
    """Have an alert open about a mart that runs leave alone."""
    state.raise_alert(
        connection,
        severity="warning",
        kind=HELD,
        subject=asset_key,
        message=f"{mart} is held: {reason}. Runs leave it as it is.",
        remedy=f"Mend the cause, then: lakehouse rollback {mart} --release && lakehouse run --select {asset_key}",
        run_id=run_id,
    )
