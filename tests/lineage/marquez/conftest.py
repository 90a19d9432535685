"""The real Marquez that the tests marked ``marquez`` need."""

from __future__ import annotations

import marquez_server
import pytest


@pytest.fixture(scope="session")
def marquez_url() -> str:
    """Address of the server; the test fails where there is none."""
    return marquez_server.marquez_url()
