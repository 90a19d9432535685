"""A real Marquez, given by ``MARQUEZ_URL``: where it is, and events sent to it as plainly as can be.

It may hold other data and is not emptied: every test has a job namespace and datasets of its own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
import urllib3

MISSING = (
    "MARQUEZ_URL is not set. Start a Marquez (docker compose --profile lineage up --detach --wait) and say where it is:"
    " MARQUEZ_URL=http://localhost:5000 make prove-marquez"
)


def marquez_url() -> str:
    """Address of the server; the test fails where none is set."""
    url = os.environ.get("MARQUEZ_URL", "").strip()
    if not url:
        pytest.fail(MISSING, pytrace=False)
    return url


def post(url: str, bodies: Iterable[Mapping[str, Any]]) -> None:
    """Send events one after the other, each stored before the next is sent.

    Raises:
        AssertionError: one was not stored.
    """
    pool = urllib3.PoolManager(retries=False, timeout=60)
    for body in bodies:
        answer = pool.request(
            "POST",
            f"{url.rstrip('/')}/api/v1/lineage",
            body=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        assert answer.status == 201, f"{answer.status} for {body}: {answer.data[:500]!r}"
