"""One embedded PostgreSQL for all tests of delivery, an empty outbox for each."""

from __future__ import annotations

import pytest
from obedient_server import obedient
from platforms import a_platform

from lakehouse.postgres import ready
from lakehouse.postgres.connect import connect, state_url

TABLES = ("lineage_outbox", "lineage_runs", "alert_history", "platform_health_metrics")


@pytest.fixture(scope="session")
def delivery_server():
    """A platform whose Postgres runs."""
    with a_platform() as platform, ready(platform.settings):
        yield platform


@pytest.fixture
def outbox(delivery_server):
    """A connection to an empty outbox."""
    connection = connect(state_url(delivery_server.settings), what="state database")
    with connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE " + ", ".join(f"data_platform.{table}" for table in TABLES) + " RESTART IDENTITY")
    yield connection
    connection.close()


@pytest.fixture
def server():
    """A lineage server that does what the test says."""
    with obedient() as running:
        yield running
