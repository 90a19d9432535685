"""Measurements of the platform itself: ``data_platform.platform_health_metrics``.

What belongs here: writing a measurement and the few sums that are shown. What does not: taking it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

FILE_TO_MART = "file_to_mart_seconds"
"""From the moment a file could be read until the mart held it; one measurement a run, of its slowest file."""


@dataclass(frozen=True)
class Latency:
    """How long files took to the mart.

    Attributes:
        files: how many it is about.
        p50, p95, most: seconds; each file counts with the slowest file of its run.
    """

    files: int
    p50: float
    p95: float
    most: float


def measure(connection: Connection, metric: str, value: float, labels: Mapping[str, Any]) -> None:
    """Write one measurement."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "insert into data_platform.platform_health_metrics (metric, value, labels) values (%s, %s, %s)",
            (metric, value, json.dumps(dict(labels))),
        )


def file_latency(connection: Connection, source: str, *, runs: int = 200) -> Latency | None:
    """How long files of a source took to the mart in its last runs; None where nothing was measured yet."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select value, (labels->>'files')::int from data_platform.platform_health_metrics"
            " where metric = %s and labels->>'source' = %s order by measured_at desc limit %s",
            (FILE_TO_MART, source, runs),
        )
        found = sorted((float(value), int(files or 1)) for value, files in cursor.fetchall())
    total = sum(files for _, files in found)
    return Latency(total, _at(found, 0.5 * total), _at(found, 0.95 * total), found[-1][0]) if found else None


def _at(found: list[tuple[float, int]], rank: float) -> float:
    """The value at a rank, each counted as often as it had files."""
    passed = 0
    for value, files in found:
        passed += files
        if passed >= rank:
            return value
    return found[-1][0]
