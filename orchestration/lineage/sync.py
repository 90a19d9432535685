"""Metadata that no run tells: brought to lineage every six hours, and whenever the declarations have changed.

What belongs here: when, and what was told before. What does not: the events (:mod:`lineage.sync`).
"""

import contextlib
import logging
from datetime import UTC, datetime

import psycopg2
from psycopg2.extensions import connection as Connection

from lakehouse.errors import LakehouseError
from lakehouse.postgres.connect import connect_state
from lakehouse.settings import Settings
from lineage import outbox
from lineage.catalog import Catalog
from lineage.newest import outbox_graph
from lineage.outgoing import SYNC
from orchestration.lineage.known import present_catalog

log = logging.getLogger(__name__)

RUNS = 2
"""Of each job so many runs are read back: its last good one is among them in any case."""


def sync(settings: Settings) -> int:
    """Put into the outbox what is declared now: descriptions, owners, exposures, and what is gone.

    What was told today of the same declarations is not told again.

    Args:
        settings: the platform's settings; the state database must be running.

    Returns:
        How many events were new.

    Raises:
        UnavailableError: the state database cannot be reached.
        ConfigError: the dbt project does not parse.
        EventError: an identity cannot be told to a lineage server.
    """
    with contextlib.closing(connect_state(settings)) as connection:
        return _tell(connection, settings, present_catalog(connection, settings))


def try_to_sync(settings: Settings) -> str:
    """The same for those who have other things to do: what went wrong is logged; nothing is raised.

    Returns:
        What came of it, for people.
    """
    try:
        return f"{sync(settings)} new metadata event(s)."
    except (LakehouseError, psycopg2.Error) as error:
        log.warning("What is declared could not be told to lineage: %s", error)
        return f"Not now: {error}"
    except Exception as error:
        log.exception("What is declared could not be told to lineage.")
        return f"Failed: {error}"


def sync_if_changed(connection: Connection, settings: Settings, catalog: Catalog) -> int:
    """Tell of declarations that lineage has not heard of: after a run of changed code."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select exists(select from data_platform.lineage_outbox"
            " where order_key = %s and event_key like %s limit 1)",
            (SYNC, f"%/sync/{catalog.version}/%"),
        )
        (told,) = cursor.fetchone() or (False,)
    return 0 if told else _tell(connection, settings, catalog)


def _tell(connection: Connection, settings: Settings, catalog: Catalog) -> int:
    from lineage.facets.jobs import EventOptions
    from lineage.sync import sync_events

    events = sync_events(catalog, outbox_graph(connection, runs=RUNS), datetime.now(UTC), EventOptions.of(settings))
    return outbox.put(connection, events, run_id=None)
