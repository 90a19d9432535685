"""What `lakehouse lineage verify` calls a difference."""

from __future__ import annotations

from dataclasses import replace

import pytest
from handmade import BATCH, MART, RAW, STAGING, dataset, dataset_event, event, graph, metadata, pair

from lineage.catalog import Catalog, DatasetInfo, Job
from lineage.graph import Graph
from lineage.names import Dataset
from lineage.verify import against_catalog, against_server


def declared(name: str, inputs: list[Dataset], outputs: list[Dataset], asset: bool = True) -> Job:
    key = name if asset else None
    return Job(name, key, "", "", "", (), tuple(inputs), tuple(outputs), "", "SQL")


JOBS = [
    declared("raw", [], [RAW]),
    declared("stg", [RAW], [STAGING]),
    declared("dim", [STAGING], [BATCH]),
    declared("exposure.page", [BATCH], [MART], asset=False),
]
CATALOG = Catalog(
    "lakehouse",
    "lakehouse",
    {job.name: job for job in JOBS},
    {each: DatasetInfo(each, "table", None, "", "") for each in (RAW, STAGING, BATCH, MART)},
    "1",
)
RECORDED = [
    event("START", "lakehouse", "p", 0),
    *pair("COMPLETE", "lakehouse.raw", "r1", 1, [], [dataset(RAW, "value:DOUBLE")], parent="p"),
    *pair("COMPLETE", "lakehouse.stg", "r2", 5, [RAW], [dataset(STAGING, "value:DOUBLE")], parent="p"),
    *pair("COMPLETE", "lakehouse.dim", "r3", 10, [STAGING], [dataset(BATCH, "value:DOUBLE")], parent="p"),
    metadata("exposure.page", 15, [BATCH], [MART]),
    event("COMPLETE", "lakehouse", "p", 20),
]


def kinds(*events: object, catalog: Catalog = CATALOG) -> list[tuple[str, str]]:
    return [(finding.kind, finding.subject) for finding in against_catalog(graph(RECORDED, *events), catalog)]


def test_what_ran_as_declared_has_no_finding():
    assert against_catalog(graph(RECORDED), CATALOG) == []


def test_a_declared_job_of_which_nothing_is_recorded_is_missing():
    more = replace(CATALOG, jobs={**CATALOG.jobs, "fact": declared("fact", [STAGING], [])})
    assert kinds(catalog=more) == [("job missing", "fact")]


def test_edges_that_differ_are_named_on_both_sides():
    moved = pair("COMPLETE", "lakehouse.dim", "r4", 30, [RAW], [dataset(BATCH, "value:DOUBLE")])
    assert kinds(moved) == [("edge missing", "dim"), ("edge extra", "dim")]


def test_a_job_and_a_dataset_that_no_code_declares_are_extra():
    phantom = Dataset("duckdb://lakehouse", "lakehouse.staging.read_parquet")
    strange = pair("COMPLETE", "lakehouse.old", "r4", 30, [RAW], [phantom])
    assert kinds(strange) == [("job extra", "lakehouse.old"), ("phantom dataset", "read_parquet")]


def test_a_dropped_dataset_without_edges_is_no_phantom():
    gone = Dataset("duckdb://lakehouse", "lakehouse.curated.old")
    dropped = dataset_event(dataset(gone, lifecycleStateChange={"lifecycleStateChange": "DROP"}), 30)
    assert kinds(dropped) == []


def test_a_run_without_an_end_is_unfinished():
    again = event("START", "lakehouse.dim", "r4", 30, [STAGING], [dataset(BATCH, "value:DOUBLE")])
    assert kinds(again) == [("unfinished", "dim")]


def test_a_table_older_than_what_it_is_made_from_is_stale():
    newer = pair("COMPLETE", "lakehouse.stg", "r4", 30, [RAW], [dataset(STAGING, "value:DOUBLE")])
    assert kinds(newer) == [("stale", "dim_batch")]


def served(*events: object) -> Graph:
    return graph(RECORDED, *events)


def test_a_server_that_shows_the_same_has_no_finding():
    assert against_server(graph(RECORDED), served()) == []


AGAIN = dataset(BATCH, "value:DOUBLE")
RETYPED = dataset(STAGING, "value:FLOAT")


@pytest.mark.parametrize(
    ("there", "expected"),
    [
        (pair("FAIL", "lakehouse.dim", "r9", 40, [STAGING], [AGAIN]), {("state", "dim")}),
        (pair("COMPLETE", "lakehouse.dim", "r9", 40, [STAGING], [AGAIN]), {("version", "dim_batch")}),
        (pair("COMPLETE", "x", "r9", 40, [STAGING], []), {("job extra", "x")}),
        (pair("COMPLETE", "x", "r9", 40, [RETYPED], []), {("job extra", "x"), ("column", "stg_bioreactor")}),
        (pair("FAIL", "lakehouse.dim", "r9", 40), {("state", "dim"), ("edge missing", "dim")}),
    ],
)
def test_a_server_that_shows_something_else_is_told_apart(there, expected):
    findings = against_server(graph(RECORDED), served(there))
    assert {(finding.kind, finding.subject) for finding in findings} == expected


def test_a_server_that_lacks_everything_is_told_so():
    findings = against_server(graph(RECORDED), Graph({}, {}))
    assert {finding.kind for finding in findings} == {"job missing", "dataset missing"}
