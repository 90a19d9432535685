"""One embedded PostgreSQL for all tests of delivery, an empty outbox for each."""

from __future__ import annotations

import pytest
from obedient_server import obedient
from platforms import a_platform

from lakehouse.postgres import ready
from lakehouse.postgres.connect import connect, state_url
from lineage.drainer import Drainer
from lineage.drainer_service import Duties
from lineage.openlineage_config import target
from lineage.transport import open_transport

HASTE = {
    "lineage_look_seconds": 0.05,
    "lineage_retry_seconds": 0.02,
    "lineage_retry_max_seconds": 0.1,
    "lineage_timeout_seconds": 1.0,
}
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


@pytest.fixture
def drain(delivery_server, server):
    """Make a drainer of the test's server; ``key`` is its key, other keyword arguments are settings."""
    made = []

    def make(key="", **changes):
        settings = delivery_server.settings.model_copy(update=HASTE | changes)
        goal = target({"OPENLINEAGE_URL": server.url, "OPENLINEAGE_API_KEY": key})
        transport = open_transport(goal, clients=settings.lineage_clients, timeout=settings.lineage_timeout_seconds)
        drainer = Drainer(
            lambda: connect(state_url(settings), what="state database"),
            transport,
            settings,
            care=Duties(settings, goal),
            say=drainer_said.append,
        )
        made.append(drainer)
        return drainer

    drainer_said: list[str] = []
    make.said = drainer_said
    yield make
    for drainer in made:
        drainer.request_stop()
