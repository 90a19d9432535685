"""What several tests of the Dagster layer need: a platform with a state database, without a lake or web pages."""

from __future__ import annotations

import pytest
from platforms import a_platform

from lakehouse import postgres
from lakehouse.postgres.connect import connect, state_url


@pytest.fixture(scope="module")
def database():
    """Settings and an open connection to the state database, for one module's tests."""
    with a_platform() as platform, postgres.ready(platform.settings):
        connection = connect(state_url(platform.settings), what="state database")
        yield platform.settings, connection
        connection.close()
