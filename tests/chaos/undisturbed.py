"""The whole result of a platform, value by value, and the same for one that was never disturbed.

Left out: times of arrival, ids and whatever is derived from them; they differ between any two platforms.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from typing import Any

import duckdb
from arena import PREFIX, Store, on_store, rows
from arrivals import Arrivals, drop
from platforms import Platform, a_platform

from ingestion.ingest import ingest
from lakehouse import postgres
from lakehouse.duckdb.lock import shared
from lakehouse.postgres import embedded
from lakehouse.postgres.connect import marts_url, state_url

LEDGER = """
select file_key, fingerprint, size_bytes, status, row_count, rejected_rows, min_time, max_time, batch_ids,
       facts ->> 'cause', facts -> 'parameters'
from data_platform.ingestion_runs order by ingestion_id
"""
DIFFERS = {"_ingested_at", "_batch_version", "last_ingested_at"}
Result = dict[str, list[Any]]


def result_of(platform: Platform) -> Result:
    """Everything the platform holds: curated tables, marts, ledger, and what is set aside."""
    found: Result = {}
    with embedded.running(platform.settings):
        found["ledger"] = rows(state_url(platform.settings), LEDGER)
        tables = rows(marts_url(platform.settings), "select tablename from pg_tables where schemaname = 'marts'")
        for (table,) in tables:
            found[f"marts.{table}"] = _table(lambda sql: rows(marts_url(platform.settings), sql), "marts", table)
    with (
        shared(platform.settings.warehouse, timeout=60),
        contextlib.closing(duckdb.connect(str(platform.settings.warehouse), read_only=True)) as warehouse,
    ):

        def ask(sql: str) -> list[tuple[Any, ...]]:
            return warehouse.execute(sql).fetchall()

        for schema, table in ask(
            "select schema_name, table_name from duckdb_tables() where schema_name in ('intermediate', 'curated')"
        ):
            found[f"{schema}.{table}"] = _table(ask, schema, table)
    return found


def _table(ask: Any, schema: str, table: str) -> list[Any]:
    columns = [
        row[0]
        for row in ask(
            "select column_name from information_schema.columns"
            f" where table_schema = '{schema}' and table_name = '{table}' order by column_name"
        )
    ]
    wanted = ", ".join(f'"{name}"' for name in columns if name not in DIFFERS)
    return sorted(ask(f'select {wanted} from {schema}."{table}"'), key=_order)


def _order(row: Any) -> tuple[str, list[float]]:
    """Rows in an order that a last digit decides only between rows that are otherwise alike."""
    exact = [value for value in row if not isinstance(value, float)]
    return str(exact), [value for value in row if isinstance(value, float)]


def _alike(here: Any, there: Any) -> bool:
    """Equal; floats to nine digits: the last ones of a sum depend on how many files one run read at once."""
    if isinstance(here, float) and isinstance(there, float):
        return math.isclose(here, there, rel_tol=1e-9, abs_tol=1e-9) or (math.isnan(here) and math.isnan(there))
    return bool(here == there)


class Undisturbed:
    """A platform of its own that is given the same files, round by round, and that nobody kills."""

    def __init__(self, store: Store, platform: Platform) -> None:
        self._store, self.platform = store, platform
        self._prefix = f"undisturbed/{PREFIX}"
        platform.variables |= on_store(store, self._prefix)
        self._given = 0

    def catch_up(self, arrivals: Arrivals) -> Result:
        """Land what arrived since the last time, a round at a time, then build once."""
        settings = self.platform.settings
        with postgres.ready(settings):
            for files in arrivals.rounds[self._given :]:
                drop(self._store.endpoint, self._prefix, files)
                ingest(settings, "bioreactor")
        self._given = len(arrivals.rounds)
        self.platform.run()
        return result_of(self.platform)


@contextlib.contextmanager
def an_undisturbed(store: Store):
    """An undisturbed platform on the same store, gone afterwards."""
    with a_platform() as platform:
        yield Undisturbed(store, platform)


def differences(found: Result, expected: Result) -> list[str]:
    """What differs, with the first few rows of each; empty where all is equal."""
    lines = []
    for name in sorted(found.keys() | expected.keys()):
        here, there = found.get(name, []), expected.get(name, [])
        pairs = [pair for pair in itertools.zip_longest(here, there) if not _same_row(*pair)]
        if pairs:
            shown = "; ".join(f"{one} beside {other}" for one, other in pairs[:3])
            lines.append(f"{name}: {len(here)} rows, expected {len(there)}; {len(pairs)} differ: {shown}")
    return lines


def _same_row(here: Any, there: Any) -> bool:
    return here is not None and there is not None and len(here) == len(there) and all(map(_alike, here, there))
