"""A warehouse of its own per test, in one installation with one manifest and one Postgres for all of them."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from platforms import an_installation

from lakehouse.dbt.manifest import load_manifest
from lakehouse.dbt.runner import NodeOutcome, build, raw_invoke
from lakehouse.postgres.connect import connect, marts_admin_url
from lakehouse.settings import Settings

READINGS = {"timestamp": "timestamp", "batch_id": "string", "equipment_id": "string", "parameter": "string"}


class Warehouse:
    """A lake, the DuckDB file built from it, and the marts; drives dbt on them."""

    def __init__(self, settings: Settings, manifest: Any) -> None:
        self.settings = settings
        self.manifest = manifest
        self.lake = Path(settings.lake_root)
        self.arrivals: dict[str, tuple[int, str]] = {}
        self.arrived = 0
        self.moved: dict[str, str] = {}

    # -- the lake, as ingestion leaves it -------------------------------------------------------------

    def drop(self, name: str, table: Any) -> str:
        """Write a table as a file of the drop zone, accept it and return its key."""
        import pyarrow.parquet as pq

        key = f"raw/bioreactor/{name}"
        path = self.lake / key
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, path)
        self.arrived += 1
        self.arrivals[key] = (self.arrived, "sha256:" + hashlib.sha256(path.read_bytes()).hexdigest())
        return key

    def drop_readings(self, name: str, rows: list[tuple[Any, ...]]) -> str:
        """Drop (time, batch, equipment, parameter, value, unit) rows in the declared types; times are text."""
        return self.drop(name, readings(rows))

    def move_to_kept(self, key: str) -> None:
        """Somebody takes a file away before it was built: its kept copy is to be read."""
        self.moved[key] = f"raw/_kept/bioreactor/[{len(self.moved)}] it's kept.parquet"
        (self.lake / self.moved[key]).parent.mkdir(parents=True, exist_ok=True)
        (self.lake / key).rename(self.lake / self.moved[key])

    def remove(self, key: str) -> None:
        """Somebody deletes a file: the ledger's copy names it no longer."""
        (self.lake / key).unlink()
        del self.arrivals[key]

    def export_ledger(self) -> None:
        """Write raw/_ledger/bioreactor.parquet, as ingestion does after every run."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        rows = []
        for key, (arrival, fingerprint) in sorted(self.arrivals.items(), key=lambda item: item[1]):
            table = pq.read_table(self.lake / self.moved.get(key, key), columns=["batch_id"])
            ids = {value.strip() for value in table["batch_id"].to_pylist() if value and value.strip()}
            moment = dt.datetime(2026, 1, 1) + dt.timedelta(minutes=arrival)
            rows.append((key, f"batch-{arrival}", fingerprint, arrival, moment, table.num_rows, sorted(ids)))
        schema = pa.schema(
            [
                ("file_key", pa.string()),
                ("batch_key", pa.string()),
                ("fingerprint", pa.string()),
                ("arrival_seq", pa.int64()),
                ("ingested_at", pa.timestamp("us")),
                ("row_count", pa.int64()),
                ("batch_ids", pa.list_(pa.string())),
            ]
        )
        path = self.lake / "raw/_ledger/bioreactor.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.moved:  # else the file is as it was before there was this column
            rows = [(*row, self.moved.get(row[0], row[0])) for row in rows]
            schema = schema.append(pa.field("read_key", pa.string()))
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
        pq.write_table(pa.table(list(map(list, columns)), schema), path)

    # -- dbt ------------------------------------------------------------------------------------------

    def build(self, **options: Any) -> dict[str, NodeOutcome]:
        """Export the ledger and build everything up to curated; every node must come out well unless told."""
        self.export_ledger()
        return self.run("duckdb", ["tag:staging", "tag:intermediate", "tag:curated"], **options)

    def publish(self, **options: Any) -> NodeOutcome:
        """Build the mart and return how it came out."""
        return self.run("postgres", ["tag:mart"], **options)["mart_bioreactor_overview"]

    def run(
        self, target: str, select: list[str], *, must_succeed: bool = True, **options: Any
    ) -> dict[str, NodeOutcome]:
        outcomes = build(self.settings, self.manifest, target=target, select=select, **options)
        bad = [f"{item.unique_id}: {item.message}" for item in outcomes if not item.ok]
        assert not (must_succeed and bad), "\n".join(bad)
        return {item.unique_id.split(".")[2]: item for item in outcomes}

    def dbt(self, *args: str) -> Any:
        """Any other dbt command."""
        return raw_invoke(self.settings, args, manifest=self.manifest)

    # -- looking --------------------------------------------------------------------------------------

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows from the DuckDB file."""
        import duckdb

        with duckdb.connect(str(self.settings.warehouse), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(sql).fetchall()

    def frame(self, sql: str) -> Any:
        """A pandas frame from the DuckDB file."""
        import duckdb

        with duckdb.connect(str(self.settings.warehouse), read_only=True) as connection:
            return connection.execute(sql).df()

    def marts(self, *statements: str, role: str | None = None) -> list[tuple[Any, ...]]:
        """Run statements in the marts database as its superuser (or acting as a role); rows of the last one."""
        with contextlib.closing(connect(marts_admin_url(self.settings), what="the test marts")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                if role:
                    cursor.execute(f'SET ROLE "{role}"')
                for statement in statements:
                    cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []


def readings(rows: list[tuple[Any, ...]]) -> Any:
    """(time, batch, equipment, parameter, value, unit) rows as an Arrow table of the declared types."""
    import pyarrow as pa

    columns = list(zip(*rows, strict=True))
    times = [None if text is None else dt.datetime.fromisoformat(text) for text in columns[0]]
    return pa.table(
        {
            "timestamp": pa.array(times, pa.timestamp("us")),
            "batch_id": pa.array(columns[1], pa.string()),
            "equipment_id": pa.array(columns[2], pa.string()),
            "parameter": pa.array(columns[3], pa.string()),
            "value": pa.array(columns[4], pa.float64()),
            "unit": pa.array(columns[5], pa.string()),
        }
    )


@pytest.fixture(scope="session")
def installation() -> Iterator[tuple[Settings, Any]]:
    """Settings with a migrated Postgres, and the manifest that all tests share."""
    with an_installation("dbt", data="da [t]a") as settings:  # signs that DuckDB would read as a pattern
        yield settings, load_manifest(settings)


@pytest.fixture
def warehouse(installation: tuple[Settings, Any]) -> Warehouse:
    """An empty lake and no DuckDB file yet."""
    settings, manifest = installation
    shutil.rmtree(settings.lake_root, ignore_errors=True)
    shutil.rmtree(settings.warehouse.parent, ignore_errors=True)
    settings.warehouse.parent.mkdir(parents=True)
    return Warehouse(settings, manifest)
