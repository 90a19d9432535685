"""A real Marquez, given by ``MARQUEZ_URL``.

It may hold other data and is not emptied: every test has a job namespace and datasets of its own.
"""

from __future__ import annotations

import os

import pytest

MISSING = (
    "MARQUEZ_URL is not set. Start a Marquez (docker compose --profile lineage up -d) and say where it is, e.g. "
    "MARQUEZ_URL=http://localhost:5000 make prove-marquez"
)


@pytest.fixture(scope="session")
def marquez_url() -> str:
    """Address of the server; the test fails where there is none."""
    url = os.environ.get("MARQUEZ_URL", "").strip()
    if not url:
        pytest.fail(MISSING, pytrace=False)
    return url
