"""Column lineage of every model from the SQL that dbt really ran: exact, and the same after an incremental build."""

from __future__ import annotations

import json

import pytest

from lakehouse.dbt.manifest import ensure_manifest
from lineage.catalog import Catalog, Transformed
from lineage.columns import covers, model_columns
from lineage.declared import catalog
from lineage.names import Dataset, Field

ONE = ("2026-01-01 00:00:00", "B1", "R1", "ph", 7.0, "pH")
TWO = ("2026-01-02 00:00:00", "B2", "R1", "ph", 7.1, "pH")
ROW_LEVEL = ("JOIN", "FILTER", "GROUP_BY", "SORT")

FILES = ["file_key", "batch_key", "fingerprint", "arrival_seq", "ingested_at", "row_count", "batch_ids"]
LATEST = "staging._arrival_seq CONDITIONAL, staging._file_row_number CONDITIONAL"
VALUE = f"staging.value AGGREGATION, {LATEST}"
VALUE_TIME = f"staging.timestamp AGGREGATION, {LATEST}, staging.value CONDITIONAL"
VERSION = "files.file_key AGGREGATION, files.fingerprint AGGREGATION"

EXPECTED = {
    "stg_bioreactor__files": {name: f"ledger.{name} IDENTITY" for name in FILES},
    "stg_bioreactor": {
        "batch_id": "raw.batch_id TRANSFORMATION",
        "equipment_id": "raw.equipment_id TRANSFORMATION",
        "parameter": "raw.parameter TRANSFORMATION",
        "timestamp": "raw.timestamp TRANSFORMATION",
        "value": "raw.value TRANSFORMATION",
        "unit": "raw.unit TRANSFORMATION",
        "_batch_id": "files.batch_key IDENTITY",
        "_ingested_at": "files.ingested_at IDENTITY",
        "_source_file": "",  # the file's name and the row's number come from the dataset itself
        "_file_row_number": "",
        "_arrival_seq": "files.arrival_seq IDENTITY",
    },
    "int_bioreactor_downsample_5m": {
        "batch_id": "staging.batch_id IDENTITY",
        "equipment_id": "staging.equipment_id IDENTITY",
        "parameter": "staging.parameter IDENTITY",
        "unit": "staging.unit TRANSFORMATION",
        "bucket_start": "staging.timestamp TRANSFORMATION",
        "reading_count": "",  # count(*)
        "value_count": VALUE,
        "null_count": VALUE,
        "duplicate_count": "",
        "in_range_count": f"{LATEST}, staging.parameter CONDITIONAL, staging.value CONDITIONAL",
        "value_sum": VALUE,
        "value_mean": VALUE,
        "value_min": VALUE,
        "value_max": VALUE,
        "value_m2": VALUE,
        "first_reading_at": "staging.timestamp AGGREGATION",
        "last_reading_at": "staging.timestamp AGGREGATION",
        "first_value_at": VALUE_TIME,
        "last_value_at": VALUE_TIME,
        "_batch_version": VERSION,
        "_source_files": VERSION,
        "_ingested_at": "files.ingested_at AGGREGATION",
    },
    "dim_batch": {
        "batch_id": "buckets.batch_id IDENTITY",
        "equipment_id": "buckets.equipment_id AGGREGATION, buckets.equipment_id CONDITIONAL,"
        " buckets.reading_count CONDITIONAL",
        "equipment_count": "",
        "equipment_ids": "buckets.equipment_id AGGREGATION",
        "batch_start": "buckets.first_reading_at AGGREGATION",
        "batch_end": "buckets.last_reading_at AGGREGATION",
        "duration_hours": "buckets.first_reading_at AGGREGATION, buckets.last_reading_at AGGREGATION",
        "parameter_count": "buckets.parameter AGGREGATION",
        "bucket_count": "buckets.bucket_start AGGREGATION",
        "reading_count": "buckets.reading_count AGGREGATION",
        "value_count": "buckets.value_count AGGREGATION",
        "null_count": "buckets.null_count AGGREGATION",
        "duplicate_count": "buckets.duplicate_count AGGREGATION",
        "source_files": "buckets._source_files AGGREGATION",
        "_batch_version": "buckets._batch_version AGGREGATION",
        "_ingested_at": "buckets._ingested_at AGGREGATION",
    },
    "fact_bioreactor_batch_stats": {
        "batch_id": "buckets.batch_id IDENTITY",
        "equipment_id": "buckets.equipment_id IDENTITY",
        "parameter": "buckets.parameter IDENTITY",
        "unit": "buckets.unit IDENTITY",
        "reading_count": "buckets.reading_count AGGREGATION",
        "value_count": "buckets.value_count AGGREGATION",
        "null_count": "buckets.null_count AGGREGATION",
        "duplicate_count": "buckets.duplicate_count AGGREGATION",
        "in_range_count": "buckets.in_range_count AGGREGATION",
        "avg_value": "buckets.value_count AGGREGATION, buckets.value_sum AGGREGATION",
        "stddev_value": "buckets.value_count AGGREGATION, buckets.value_m2 AGGREGATION,"
        " buckets.value_mean AGGREGATION, buckets.value_sum AGGREGATION, buckets.value_count CONDITIONAL",
        "min_value": "buckets.value_min AGGREGATION",
        "max_value": "buckets.value_max AGGREGATION",
        "first_reading_at": "buckets.first_reading_at AGGREGATION",
        "last_reading_at": "buckets.last_reading_at AGGREGATION",
        "first_value_at": "buckets.first_value_at AGGREGATION",
        "last_value_at": "buckets.last_value_at AGGREGATION",
        "bucket_count": "buckets.value_count CONDITIONAL",  # count(*) filter (where value_count > 0)
        "expected_bucket_count": "buckets.bucket_start AGGREGATION",
        "coverage": "buckets.bucket_start AGGREGATION, buckets.value_count CONDITIONAL",
        "_batch_version": "buckets._batch_version AGGREGATION",
        "_ingested_at": "buckets._ingested_at AGGREGATION",
    },
    "mart_bioreactor_overview": {
        "batch_id": "fact.batch_id IDENTITY",
        "equipment_id": "fact.equipment_id IDENTITY",
        "parameter": "fact.parameter IDENTITY",
        "unit": "fact.unit IDENTITY",
        "batch_start": "batch.batch_start IDENTITY",
        "batch_end": "batch.batch_end IDENTITY",
        "duration_hours": "batch.duration_hours IDENTITY",
        "batch_parameter_count": "batch.parameter_count IDENTITY",
        "batch_reading_count": "batch.reading_count IDENTITY",
        "batch_equipment_count": "batch.equipment_count IDENTITY",
        "reading_count": "fact.reading_count IDENTITY",
        "value_count": "fact.value_count IDENTITY",
        "null_count": "fact.null_count IDENTITY",
        "duplicate_count": "fact.duplicate_count IDENTITY",
        "avg_value": "fact.avg_value IDENTITY",
        "stddev_value": "fact.stddev_value IDENTITY",
        "min_value": "fact.min_value IDENTITY",
        "max_value": "fact.max_value IDENTITY",
        "first_value_at": "fact.first_value_at IDENTITY",
        "last_value_at": "fact.last_value_at IDENTITY",
        "coverage": "fact.coverage IDENTITY",
        "is_declared_parameter": "",  # the declared ranges are literals
        "range_min": "",
        "range_max": "",
        "in_range_share": "fact.in_range_count TRANSFORMATION, fact.value_count TRANSFORMATION",
        "expected_avg_min": "",
        "expected_avg_max": "",
        "is_avg_as_expected": "fact.avg_value TRANSFORMATION",
        "source_files": "batch.source_files TRANSFORMATION",
        "last_ingested_at": "batch._ingested_at IDENTITY",
    },
}

EXPECTED_ROWS = {
    "stg_bioreactor__files": "ledger.arrival_seq SORT",
    "stg_bioreactor": "raw.parameter FILTER, raw.timestamp FILTER, raw.value FILTER, files.file_key JOIN",
    "int_bioreactor_downsample_5m": "staging._arrival_seq FILTER, staging._file_row_number FILTER,"
    " staging.timestamp FILTER, staging.value FILTER, staging.batch_id GROUP_BY, staging.equipment_id GROUP_BY,"
    " staging.parameter GROUP_BY, staging.timestamp GROUP_BY, staging.unit GROUP_BY, files.batch_ids GROUP_BY,"
    " files.file_key GROUP_BY, files.fingerprint GROUP_BY, files.ingested_at GROUP_BY, staging.batch_id JOIN,"
    " files.batch_ids JOIN, staging.batch_id SORT, staging.equipment_id SORT, staging.parameter SORT,"
    " staging.timestamp SORT, staging.unit SORT",
    "dim_batch": "buckets.batch_id GROUP_BY, buckets.equipment_id GROUP_BY, buckets.batch_id JOIN,"
    " buckets.batch_id SORT",
    "fact_bioreactor_batch_stats": ", ".join(
        f"buckets.{name} {how}"
        for how in ("GROUP_BY", "JOIN", "SORT")
        for name in ("batch_id", "equipment_id", "parameter", "unit")
    ),
    "mart_bioreactor_overview": "batch.batch_id JOIN, fact.batch_id JOIN, fact.parameter JOIN, batch.batch_start SORT,"
    " fact.batch_id SORT, fact.equipment_id SORT, fact.parameter SORT, fact.unit SORT",
}


@pytest.fixture
def declared(warehouse) -> Catalog:
    settings = warehouse.settings
    manifest = json.loads((ensure_manifest(settings) / "manifest.json").read_text(encoding="utf-8"))
    return catalog(manifest, settings)


def labels(declared: Catalog, lake: str) -> dict[Dataset, str]:
    """Short names of the datasets, which are written out in full once: here."""
    duckdb = "duckdb://lakehouse"
    return {
        Dataset("file", f"{lake}/raw/bioreactor"): "raw",
        Dataset("file", f"{lake}/raw/_ledger/bioreactor.parquet"): "ledger",
        Dataset(duckdb, "lakehouse.staging.stg_bioreactor__files"): "files",
        Dataset(duckdb, "lakehouse.staging.stg_bioreactor"): "staging",
        Dataset(duckdb, "lakehouse.intermediate.int_bioreactor_downsample_5m"): "buckets",
        Dataset(duckdb, "lakehouse.curated.dim_batch"): "batch",
        Dataset(duckdb, "lakehouse.curated.fact_bioreactor_batch_stats"): "fact",
    }


def written(sources: list[Transformed], names: dict[Dataset, str]) -> str:
    for source in sources:
        assert (source.kind == "DIRECT") == (source.subtype in ("IDENTITY", "TRANSFORMATION", "AGGREGATION"))
    return ", ".join(f"{names[item.field.dataset]}.{item.field.column} {item.subtype}" for item in sources)


def origins(full: dict, declared: Catalog, asset: str, column: str) -> set[Field]:
    """The columns at the beginning of a column's direct lineage, through every layer."""
    above = {
        Field(declared.jobs[name].outputs[0], output): {item.field for item in sources if item.kind == "DIRECT"}
        for name, columns in full.items()
        for output, sources in columns.items()
    }
    here, found = {Field(declared.jobs[asset].outputs[0], column)}, set()
    while here:
        found |= {field for field in here if not above.get(field)}
        here = {field for item in here for field in above.get(item, ())}
    return found


def test_every_column_of_every_model_is_made_of_what_its_sql_says(warehouse, declared):
    names = labels(declared, warehouse.settings.lake_root)

    def built() -> dict[str, dict[str, tuple[Transformed, ...]]]:
        outcomes = warehouse.build() | {"mart_bioreactor_overview": warehouse.publish()}
        sql = {name: outcomes[name].compiled_code for name in EXPECTED}
        return {name: model_columns(text, declared.jobs[name], declared) for name, text in sql.items()}

    warehouse.drop_readings("B1.parquet", [ONE])
    full = built()
    for name, columns in full.items():
        own = {
            column: written([item for item in sources if item.subtype not in ROW_LEVEL], names)
            for column, sources in columns.items()
        }
        assert own == EXPECTED[name], name
        rows = [item for item in columns[next(iter(columns))] if item.subtype in ROW_LEVEL]
        assert written(rows, names) == EXPECTED_ROWS[name], name
        assert covers(declared.jobs[name], columns)
    raw = Field(Dataset("file", f"{warehouse.settings.lake_root}/raw/bioreactor"), "value")
    assert origins(full, declared, "mart_bioreactor_overview", "avg_value") == {raw}
    warehouse.drop_readings("B2.parquet", [TWO])
    assert built() == full


def test_sql_compiled_while_nothing_had_arrived_is_known_to_be_half_the_truth(warehouse, declared):
    outcomes = warehouse.build(must_succeed=False)
    job = declared.jobs["stg_bioreactor"]
    columns = model_columns(outcomes["stg_bioreactor"].compiled_code, job, declared)
    assert columns == {}
    assert not covers(job, columns)
