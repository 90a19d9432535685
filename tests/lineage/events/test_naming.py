"""Dataset identities from settings, to the letter: two tools meet in a graph only there."""

from __future__ import annotations

import re

import pytest

from lakehouse.settings import Settings
from lineage import naming
from lineage.names import Dataset

ALLOWED = re.compile(r"[a-zA-Z:;=/0-9_\-.@+]{1,1024}")
"""Marquez's rule for namespaces of datasets; another sign breaks its list of namespaces for good."""


def settings(tmp_path, **values: object) -> Settings:
    if "marts_url" in values:
        values["state_url"] = "postgresql://u:p@state/state"
    return Settings(_env_file=None, data_dir=tmp_path, **values)


def test_a_local_lake_is_the_namespace_file_and_the_absolute_path(tmp_path):
    found = naming.lake_dataset(settings(tmp_path), "raw/bioreactor")
    assert found == Dataset("file", f"{tmp_path}/lake/raw/bioreactor")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("s3://lake", Dataset("s3://lake", "raw/bioreactor")),
        ("s3://lake/", Dataset("s3://lake", "raw/bioreactor")),
        ("s3://my-bucket.eu/team/a", Dataset("s3://my-bucket.eu", "team/a/raw/bioreactor")),
        ("s3://lake/2026", Dataset("s3://lake", "/2026/raw/bioreactor")),
    ],
)
def test_an_s3_lake_is_bucket_and_prefix(tmp_path, url, expected):
    assert naming.lake_dataset(settings(tmp_path, lake_url=url), "raw/bioreactor") == expected


def test_what_others_drop_is_apart_from_what_was_accepted(tmp_path):
    found = naming.dropped_dataset(settings(tmp_path, lake_url="s3://lake/p"), "raw/bioreactor", "*.parquet")
    assert found == Dataset("s3://lake", "p/raw/bioreactor/*.parquet")


def test_a_hash_in_a_path_is_written_so_that_column_lineage_survives_it(tmp_path):
    found = naming.lake_dataset(settings(tmp_path / "a#b"), "raw/x#y")
    assert found == Dataset("file", f"{tmp_path}/a%23b/lake/raw/x%23y")


@pytest.mark.parametrize(
    ("path", "catalog"), [("warehouse/lakehouse.duckdb", "lakehouse"), ("x/dwh.db", "dwh"), ("9.duckdb", '"9"')]
)
def test_a_warehouse_relation_is_named_after_the_file(tmp_path, path, catalog):
    found = naming.warehouse_dataset(settings(tmp_path, warehouse_path=path), "curated", "dim_batch")
    assert found == Dataset("duckdb://lakehouse", f"{catalog}.curated.dim_batch")


def test_embedded_marts_are_on_the_loopback_address_and_its_port(tmp_path):
    found = naming.marts_dataset(settings(tmp_path, postgres_port=15999), "marts", "m")
    assert found == Dataset("postgres://127.0.0.1:15999", "lakehouse.marts.m")


@pytest.mark.parametrize(
    ("url", "namespace", "database"),
    [
        ("postgresql://u:p@db.example/marts", "postgres://db.example:5432", "marts"),
        ("postgres://u:p%40ss@DB.Example:6000/marts?sslmode=require", "postgres://db.example:6000", "marts"),
        ("postgresql://u:p@[::1]/marts", "postgres://--1.ipv6-literal.net:5432", "marts"),
        ("postgresql://u@[FE80::1%25eth0]:6000/marts", "postgres://fe80--1seth0.ipv6-literal.net:6000", "marts"),
        ("postgresql://u@one:5433,two:5434/marts", "postgres://one:5433", "marts"),
        ("postgresql://u@%2Fvar%2Frun%2Fpostgresql/marts", "postgres://localhost:5432", "marts"),
        ("postgresql://u@db/my%20marts", "postgres://db:5432", "my marts"),
        ("postgresql://u@db/2026", "postgres://db:5432", '"2026"'),
    ],
)
def test_external_marts_are_named_by_host_port_and_database_without_the_password(tmp_path, url, namespace, database):
    made = settings(tmp_path, marts_url=url)
    found = naming.marts_dataset(made, "marts", "m")
    assert found == Dataset(namespace, f"{database}.marts.m")
    assert ALLOWED.fullmatch(namespace)
    assert naming.source_uri(made, found) == f"{namespace}/{database.strip(chr(34))}"


def test_a_relation_of_the_attached_database_is_postgres_every_other_is_the_warehouse(tmp_path):
    made = settings(tmp_path)
    assert naming.relation_dataset(made, "marts", "marts", "m").namespace == "postgres://127.0.0.1:15432"
    assert naming.relation_dataset(made, "lakehouse", "curated", "d").namespace == "duckdb://lakehouse"


def test_the_real_place_is_told_beside_the_logical_name(tmp_path):
    made = settings(tmp_path)
    assert naming.source_uri(made, naming.warehouse_dataset(made, "a", "b")) == (
        f"duckdb://{tmp_path}/warehouse/lakehouse.duckdb"
    )
    assert naming.source_uri(made, naming.lake_dataset(made, "raw/x")) == f"file://{tmp_path}/lake"
    s3 = settings(tmp_path, lake_url="s3://lake/p")
    assert naming.source_uri(s3, naming.lake_dataset(s3, "raw/x")) == "s3://lake/p"


def test_a_run_id_depends_on_everything_that_tells_attempts_apart_and_on_nothing_else():
    one = naming.child_run_id("r", "s", 0, "a", None)
    assert one == "acc52fb3-7668-5b73-9d83-9530a96a4ef0"
    others = {
        naming.child_run_id(*arguments)
        for arguments in [("x", "s", 0, "a"), ("r", "x", 0, "a"), ("r", "s", 1, "a"), ("r", "s", 0, "x")]
    } | {naming.child_run_id("r", "s", 0, "a", "2026-01-01")}
    assert len(others | {one}) == 6


@pytest.mark.parametrize(("value", "expected"), [("", "lakehouse"), (" ", "lakehouse"), ("team-a", "team-a")])
def test_the_job_namespace_is_openlineages_own_variable(value, expected):
    assert naming.job_namespace({"OPENLINEAGE_NAMESPACE": value}) == expected
    assert naming.job_namespace({}) == "lakehouse"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("varchar", "VARCHAR"),
        ("text", "VARCHAR"),
        ("character varying(20)", "VARCHAR(20)"),
        ("int8", "BIGINT"),
        ("int8[]", "BIGINT[]"),
        ("varchar[3][]", "VARCHAR[3][]"),
        ("double  precision", "DOUBLE"),
        ("timestamp without time zone", "TIMESTAMP"),
        ("timestamptz", "TIMESTAMP WITH TIME ZONE"),
        ("numeric(10, 2)", "DECIMAL(10,2)"),
        ("decimal(10,2)[]", "DECIMAL(10,2)[]"),
        ("MAP(varchar, integer)", "MAP(VARCHAR,INTEGER)"),
        ("STRUCT(aB INTEGER)", "STRUCT(aB INTEGER)"),
        ('STRUCT("a b" INTEGER)[]', 'STRUCT("a b" INTEGER)[]'),
    ],
)
def test_a_type_has_one_spelling_whoever_wrote_it(written, expected):
    assert naming.type_name(written) == expected
    assert naming.type_name(expected) == expected
