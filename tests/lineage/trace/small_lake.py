"""A real lake that is ingested, built and published without Dagster, and what its raw files say by themselves."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.ingest import ingest
from lakehouse.dbt.compiled import compiled_sql
from lakehouse.dbt.manifest import ensure_manifest
from lakehouse.dbt.runner import build
from lakehouse.postgres.connect import connect, marts_url, state_url
from lakehouse.settings import Settings
from lineage.trace.result import FileRows, Step, Trace
from lineage.trace.trace import Asked, trace
from orchestration.lineage.compiled import keep_sql

Reading = tuple[Any, ...]
"""(time, batch, equipment, parameter, value, unit)"""
COLUMNS = ("timestamp", "batch_id", "equipment_id", "parameter", "value", "unit")
MART = "mart_bioreactor_overview"
START = dt.datetime(2026, 1, 1)


def series(
    parameter: str, count: int, *, batch: str = "B001", unit: str | None = "u", equipment: str = "BR-01", first: int = 0
) -> list[Reading]:
    """Readings a minute apart, the first after so many minutes."""
    return [
        (START + dt.timedelta(minutes=first + index), batch, equipment, parameter, float(index), unit)
        for index in range(count)
    ]


def interleaved(*parts: list[Reading]) -> list[Reading]:
    """Readings of several series in turn, as an instrument writes them."""
    return [reading for together in zip(*parts, strict=True) for reading in together]


class SmallLake:
    """Drops files, brings them to the mart, and traces."""

    def __init__(self, settings: Settings, manifest: Any) -> None:
        self.settings = settings
        self.manifest = manifest
        self.root = Path(settings.lake_root)
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.rmtree(settings.warehouse.parent, ignore_errors=True)
        settings.warehouse.parent.mkdir(parents=True)
        self.execute("TRUNCATE data_platform.ingestion_runs, data_platform.watermarks, data_platform.schema_history")
        self.execute("TRUNCATE data_platform.asset_status, data_platform.lineage_models")

    # -- files ----------------------------------------------------------------------------------------

    def path(self, name: str) -> Path:
        """Of a file in the drop zone."""
        return self.root / "raw" / "bioreactor" / name

    def drop(self, name: str, rows: list[Reading]) -> None:
        """Put a file into the drop zone, as old as files are that nobody writes to any more."""
        self.path(name).parent.mkdir(parents=True, exist_ok=True)
        columns = list(zip(*rows, strict=True))
        types = (pa.timestamp("us"), pa.string(), pa.string(), pa.string(), pa.float64(), pa.string())
        arrays = {key: pa.array(values, kind) for key, values, kind in zip(COLUMNS, columns, types, strict=True)}
        scratch = self.path(name).with_name(f".{name}")
        pq.write_table(pa.table(arrays), scratch)
        old = time.time() - 3600 + len(list(self.path(name).parent.iterdir()))
        os.utime(scratch, (old, old))
        scratch.replace(self.path(name))

    def positions(self, name: str, **wanted: str | None) -> list[int]:
        """Positions of the rows of a raw file with these texts, read by pyarrow alone."""
        rows = pq.read_table(self.path(name)).to_pylist()
        return [
            index for index, row in enumerate(rows) if all(row[column] == value for column, value in wanted.items())
        ]

    # -- the pipeline ---------------------------------------------------------------------------------

    def ingest(self) -> None:
        """Accept what lies there."""
        report = ingest(self.settings, "bioreactor", run_id="run-of-the-test")
        assert not report.quarantined, report.quarantined

    def build(self, *layers: str) -> None:
        """Build these layers, by default all, and publish."""
        for layer in layers or ("staging", "intermediate", "curated", "mart"):
            target = "postgres" if layer == "mart" else "duckdb"
            outcomes = build(
                self.settings, self.manifest, target=target, select=[f"tag:{layer}"], variables={"accept_stale": True}
            )
            bad = [f"{item.unique_id}: {item.message}" for item in outcomes if item.status == "error"]
            assert not bad, "\n".join(bad)
            sql = {item.unique_id.split(".")[2]: item.compiled_code for item in outcomes if item.compiled_code}
            models = {name: text for name, text in sql.items() if f"model.lakehouse.{name}" in self.manifest.nodes}
            with self._state() as connection:
                keep_sql(connection, "manifest of the test", models)

    def run(self) -> None:
        """All of it."""
        self.ingest()
        self.build()

    # -- asking ---------------------------------------------------------------------------------------

    def trace(self, *keys: str, mart: str = MART, **options: Any) -> Trace:
        """``lakehouse trace``, as the command calls it."""
        manifest = json.loads((ensure_manifest(self.settings) / "manifest.json").read_text(encoding="utf-8"))
        return trace(
            self.settings, manifest, Asked(mart, keys, **options), compiled=lambda: compiled_sql(self.settings)
        )

    def mart(self, query: str) -> list[tuple[Any, ...]]:
        """Rows from the marts database."""
        url = marts_url(self.settings)
        with contextlib.closing(connect(url, what="the marts")) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def execute(self, statement: str) -> None:
        """Change the state database."""
        with self._state() as connection, connection, connection.cursor() as cursor:
            cursor.execute(statement)

    def _state(self) -> Any:
        return contextlib.closing(connect(state_url(self.settings), what="the state"))


def staging(found: Trace) -> Step:
    """The rows of the raw files that are the row's own."""
    (step,) = [step for step in found.start.walk() if step.model == "stg_bioreactor"]
    return step


def by_name(found: Trace) -> dict[str, FileRows]:
    """What was found in each file, by the file's name."""
    return {item.version.file_key.removeprefix("raw/bioreactor/"): item for item in staging(found).files}


def numbers(item: FileRows) -> list[int]:
    """Every row position that the ranges stand for."""
    return [number for part in item.ranges for number in range(part.first, part.last + 1, part.step)]
