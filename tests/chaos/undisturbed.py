"""The whole result of a platform, value by value, and the same for one that was never disturbed.

Left out: times of arrival, ids and whatever is derived from them; they differ between any two platforms.
"""

from __future__ import annotations

import contextlib
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
    return sorted(str([_plain(value) for value in row]) for row in ask(f'select {wanted} from {schema}."{table}"'))


def _plain(value: Any) -> Any:
    # The last digits of a sum of floats depend on how many files one run read at once.
    return f"{value:.12g}" if isinstance(value, float) else value


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
        here, there = [str(row) for row in found.get(name, [])], [str(row) for row in expected.get(name, [])]
        if here != there:
            extra, missing = sorted(set(here) - set(there))[:3], sorted(set(there) - set(here))[:3]
            lines.append(f"{name}: {len(here)} rows, expected {len(there)}; only here {extra}; only there {missing}")
    return lines
