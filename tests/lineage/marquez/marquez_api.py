"""Sends events to a Marquez as plainly as can be, so that what it shows is not our drainer's doing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import urllib3


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
