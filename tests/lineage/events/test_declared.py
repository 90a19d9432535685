"""The catalog from the real manifest: every edge of the platform and no other, and what is told about each dataset."""

from __future__ import annotations

import copy

import pyarrow.parquet as pq
import pytest

from ingestion import ledger_export
from lakehouse.dbt.runner import raw_invoke
from lakehouse.settings import Settings
from lineage import declared as module
from lineage.catalog import Catalog, Transformed
from lineage.names import Column, Dataset, Field

DUCKDB = "duckdb://lakehouse"
MARTS = "postgres://127.0.0.1:15432"


@pytest.fixture
def lake(settings) -> str:
    return settings.lake_root


def edges(catalog: Catalog) -> dict[str, tuple[list[str], list[str]]]:
    return {
        job.name: ([str(item) for item in job.inputs], [str(item) for item in job.outputs])
        for job in catalog.jobs.values()
    }


def test_every_edge_from_the_dropped_files_to_the_dashboard_and_no_other(declared, lake):
    files = f"{DUCKDB} lakehouse.staging.stg_bioreactor__files"
    staging = f"{DUCKDB} lakehouse.staging.stg_bioreactor"
    buckets = f"{DUCKDB} lakehouse.intermediate.int_bioreactor_downsample_5m"
    batch = f"{DUCKDB} lakehouse.curated.dim_batch"
    stats = f"{DUCKDB} lakehouse.curated.fact_bioreactor_batch_stats"
    mart = f"{MARTS} lakehouse.marts.mart_bioreactor_overview"
    raw, ledger = f"file {lake}/raw/bioreactor", f"file {lake}/raw/_ledger/bioreactor.parquet"
    assert edges(declared) == {
        "raw_bioreactor_data": ([f"file {lake}/raw/bioreactor/*.parquet"], [raw, ledger]),
        "stg_bioreactor__files": ([ledger], [files]),
        "stg_bioreactor": ([raw, files], [staging]),
        "int_bioreactor_downsample_5m": ([files, staging], [buckets]),
        "dim_batch": ([buckets], [batch]),
        "fact_bioreactor_batch_stats": ([buckets], [stats]),
        "mart_bioreactor_overview": ([stats, batch], [mart]),
        "exposure.bioreactor_overview": ([mart], ["exposure://lakehouse dashboard.bioreactor_overview"]),
    }


def test_every_job_comes_after_those_it_reads(declared):
    order = list(declared.jobs)
    for job in declared.jobs.values():
        for dataset in job.inputs:
            if writer := declared.writer(dataset):
                assert order.index(writer.name) < order.index(job.name)


def test_layers_domains_kinds_and_the_assets_that_write(declared):
    assert [(info.kind, info.layer, info.domain, info.asset_key) for info in declared.datasets.values()] == [
        ("file", "source", "bioreactor", None),
        ("parquet", "raw", "bioreactor", "raw_bioreactor_data"),
        ("parquet", "raw", "bioreactor", "raw_bioreactor_data"),
        ("table", "staging", "bioreactor", "stg_bioreactor__files"),
        ("view", "staging", "bioreactor", "stg_bioreactor"),
        ("table", "intermediate", "bioreactor", "int_bioreactor_downsample_5m"),
        ("table", "curated", "bioreactor", "dim_batch"),
        ("table", "curated", "bioreactor", "fact_bioreactor_batch_stats"),
        ("mart", "mart", "bioreactor", "mart_bioreactor_overview"),
        ("exposure", "exposure", "bioreactor", None),
    ]


def test_descriptions_owners_columns_and_places_are_the_declared_ones(declared, lake):
    raw = declared.datasets[Dataset("file", f"{lake}/raw/bioreactor")]
    assert raw.columns[0].name == "timestamp"
    assert [column.type for column in raw.columns] == [
        "TIMESTAMP",
        "VARCHAR",
        "VARCHAR",
        "VARCHAR",
        "DOUBLE",
        "VARCHAR",
    ]
    assert raw.owners == ("bioprocess-data@example.com",)
    assert raw.source_uri == f"file://{lake}"
    mart = declared.datasets[Dataset(MARTS, "lakehouse.marts.mart_bioreactor_overview")]
    assert len(mart.columns) == 30
    assert Column("avg_value", "DOUBLE", "Mean of the values.") in mart.columns
    job = declared.jobs["exposure.bioreactor_overview"]
    assert job.description.startswith("Dashboard and reports on bioreactor batches in Superset")
    assert job.owners == ("bioprocess-data@example.com",)
    assert [(job.language, job.materialized, job.source_path) for job in declared.jobs.values()][:3] == [
        ("PYTHON", "", "ingestion/sources/bioreactor.yml"),
        ("SQL", "table", "dbt_project/models/staging/bioreactor/stg_bioreactor__files.sql"),
        ("SQL", "view", "dbt_project/models/staging/bioreactor/stg_bioreactor.sql"),
    ]


def test_every_column_of_every_dataset_that_we_write_has_a_type(declared):
    for info in declared.datasets.values():
        if info.asset_key:
            assert info.columns
            assert all(column.type for column in info.columns)


def test_the_ledgers_columns_are_those_that_ingestion_writes(tmp_path):
    path = tmp_path / "ledger.parquet"
    path.write_bytes(ledger_export._parquet([]))
    names = {"string": "VARCHAR", "int64": "BIGINT", "timestamp[us]": "TIMESTAMP", "list<element: string>": "VARCHAR[]"}
    written = [(field.name, names[str(field.type)]) for field in pq.read_schema(path)]
    assert written == [(column.name, column.type) for column in module.LEDGER_COLUMNS]


def test_a_second_source_with_two_streams_and_a_model_that_reads_it_plainly(manifest, settings, lake):
    more = copy.deepcopy(manifest)
    readings = more["sources"]["source.lakehouse.bioreactor.readings"]
    for stream in ("orders", "items"):
        node = copy.deepcopy(readings)
        node |= {"name": stream, "source_name": "shop", "fqn": ["lakehouse", "staging", "commerce", "shop", stream]}
        node["meta"] = {"asset": "raw_shop_data", "drop_zone": f"raw/shop/{stream}", "pattern": f"{stream}-*.parquet"}
        more["sources"][f"source.lakehouse.shop.{stream}"] = node
    model = copy.deepcopy(more["nodes"]["model.lakehouse.dim_batch"])
    model |= {"name": "stg_shop", "alias": "stg_shop", "unique_id": "model.lakehouse.stg_shop", "schema": "staging"}
    model["depends_on"] = {
        "macros": ["macro.lakehouse.ledger"],
        "nodes": ["source.lakehouse.shop.orders", "source.lakehouse.bioreactor.readings"],
    }
    more["nodes"]["model.lakehouse.stg_shop"] = model
    made = module.catalog(more, settings)
    shop = made.jobs["raw_shop_data"]
    assert [item.name for item in shop.inputs] == [
        f"{lake}/raw/shop/orders/orders-*.parquet",
        f"{lake}/raw/shop/items/items-*.parquet",
    ]
    assert [item.name for item in shop.outputs] == [f"{lake}/raw/shop/orders", f"{lake}/raw/shop/items"]
    assert shop.domain == "commerce"
    # A source without a ledger is read as it lies; one with a ledger through it.
    assert [item.name for item in made.jobs["stg_shop"].inputs] == [
        f"{lake}/raw/shop/orders",
        f"{lake}/raw/_ledger/bioreactor.parquet",
    ]


def test_an_ephemeral_model_is_seen_through(manifest, settings):
    more = copy.deepcopy(manifest)
    more["nodes"]["model.lakehouse.dim_batch"]["config"]["materialized"] = "ephemeral"
    made = module.catalog(more, settings)
    assert "dim_batch" not in made.jobs
    assert [item.name for item in made.jobs["mart_bioreactor_overview"].inputs] == [
        "lakehouse.curated.fact_bioreactor_batch_stats",
        "lakehouse.intermediate.int_bioreactor_downsample_5m",
    ]


def test_the_same_code_on_servers_is_the_same_graph_in_other_places(manifest, tmp_path):
    servers = Settings(
        _env_file=None,
        data_dir=tmp_path,
        lake_url="s3://lake/team",
        state_url="postgresql://u:p@state/state",
        marts_url="postgresql://u:secret@postgres-marts:5433/serving",
    )
    made = module.catalog(manifest, servers)
    assert made.jobs["raw_bioreactor_data"].inputs == (Dataset("s3://lake", "team/raw/bioreactor/*.parquet"),)
    assert made.jobs["stg_bioreactor"].inputs[0] == Dataset("s3://lake", "team/raw/bioreactor")
    mart = Dataset("postgres://postgres-marts:5433", "serving.marts.mart_bioreactor_overview")
    assert made.jobs["exposure.bioreactor_overview"].inputs == (mart,)
    assert made.datasets[mart].source_uri == "postgres://postgres-marts:5433/serving"
    assert "secret" not in str(made)


def test_the_version_changes_with_what_is_declared_and_not_with_what_builds_give(manifest, settings, declared):
    def version(change=None, **more) -> str:
        copied = copy.deepcopy(manifest)
        if change:
            change(copied)
        return module.catalog(copied, settings, job_namespace=more.pop("job_namespace", "lakehouse"), **more).version

    def describe(copied):
        copied["nodes"]["model.lakehouse.dim_batch"]["description"] = "other"

    def retype(copied):
        copied["nodes"]["model.lakehouse.dim_batch"]["columns"]["batch_id"]["data_type"] = "bigint"

    lineage = {"dim_batch": {"batch_id": (Transformed(Field(Dataset("a", "b"), "c"), "DIRECT", "IDENTITY"),)}}
    assert version() == declared.version
    assert version(sql={"dim_batch": "select 1"}) == declared.version
    assert version(columns=lineage) == declared.version
    changed = [version(describe), version(retype), version(job_namespace="other")]
    assert len({declared.version, *changed}) == 4


def test_names_in_compiled_sql_are_known_by_relation(manifest, settings):
    known = module.relations(manifest, settings)
    assert known["lakehouse.curated.dim_batch"] == Dataset(DUCKDB, "lakehouse.curated.dim_batch")
    assert known["marts.marts.mart_bioreactor_overview"] == Dataset(MARTS, "lakehouse.marts.mart_bioreactor_overview")
    assert len(known) == 6


def test_plain_dbt_without_postgres_has_no_mart_and_no_exposure_that_reads_one(settings, tmp_path):
    done = raw_invoke(settings, ["parse", "--target", "duckdb", "--no-partial-parse", "--target-path", str(tmp_path)])
    assert done.success, done.exception
    assert done.result.exposures == {}
    assert "model.lakehouse.mart_bioreactor_overview" not in done.result.nodes
