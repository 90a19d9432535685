"""The lineage graph of a real platform beside the one that its models and sources declare, on every back end.

One set of questions: what the reducer answers and what a server answers must be the same, and right.
"""

from __future__ import annotations

import json

import pytest
from column_closure import above
from graph_differences import differences

from lineage.graph import ENDED, JobId
from lineage.names import Dataset, Field
from lineage.paths import short_name
from lineage.reduce import reduce

pytestmark = [pytest.mark.prove, pytest.mark.timeout(900)]

RAW, LEDGER = "raw/bioreactor", "raw/_ledger/bioreactor.parquet"
VALUE = {(RAW, "value"), (LEDGER, "arrival_seq")}
"""A reading's value; which of several deliveries of one reading counts is decided by when its file arrived."""
FROM_THE_FILES = {
    "batch_id": {(RAW, "batch_id")},
    "equipment_id": {(RAW, "equipment_id")},
    "parameter": {(RAW, "parameter")},
    "unit": {(RAW, "unit")},
    "batch_start": {(RAW, "timestamp")},
    "batch_end": {(RAW, "timestamp")},
    "duration_hours": {(RAW, "timestamp")},
    "avg_value": VALUE,
    "stddev_value": VALUE,
    "min_value": VALUE,
    "first_value_at": VALUE | {(RAW, "timestamp")},
    "in_range_share": VALUE | {(RAW, "parameter")},
    "source_files": {(LEDGER, "file_key"), (LEDGER, "fingerprint")},
    "last_ingested_at": {(LEDGER, "ingested_at")},
    "range_min": set(),
}
"""Column of mart_bioreactor_overview → all columns of files that it comes from, by reading the models."""
STEPS = {
    ("mart_bioreactor_overview", "avg_value"): {("fact_bioreactor_batch_stats", "avg_value")},
    ("fact_bioreactor_batch_stats", "avg_value"): {
        ("int_bioreactor_downsample_5m", "value_sum"),
        ("int_bioreactor_downsample_5m", "value_count"),
    },
    ("mart_bioreactor_overview", "batch_start"): {("dim_batch", "batch_start")},
    ("dim_batch", "batch_start"): {("int_bioreactor_downsample_5m", "first_reading_at")},
    ("int_bioreactor_downsample_5m", "batch_id"): {("stg_bioreactor", "batch_id")},
    ("stg_bioreactor", "batch_id"): {(RAW, "batch_id")},
    ("stg_bioreactor", "value"): {(RAW, "value")},
    ("stg_bioreactor__files", "file_key"): {(LEDGER, "file_key")},
}
"""Single steps: from the mart in Postgres into DuckDB, and from DuckDB into the Parquet files."""


def dataset(graph, name):
    return next(each for each in graph.datasets if short_name(each) == name)


def node(graph, story, asset):
    return graph.jobs[story.expected.assets[asset]]


def relations(story, stage):
    """Asset → columns and rows of its relation in DuckDB; a model's own bookkeeping tables are left out."""
    found = {name: told for name, told in stage.relations.items() if name in story.expected.assets}
    assert len(found) == len(story.expected.assets) - 2, "all but the raw files and the mart in Postgres"
    return found


def known(graph):
    """Edges, jobs with edges and datasets: all that a picture shows."""
    return graph.reads, graph.writes, set(graph.datasets)


@pytest.mark.parametrize("stage", ["first", "second", "failed", "mended"])
def test_every_expected_edge_is_there_and_no_other(graphs, story, stage):
    graph = getattr(graphs, stage)
    assert graph.reads == story.expected.reads
    assert graph.writes == story.expected.writes


@pytest.mark.parametrize("stage", ["first", "second", "failed", "mended"])
def test_no_job_and_no_dataset_is_there_that_nobody_declared(graphs, story, stage):
    graph = getattr(graphs, stage)
    technical = {JobId(story.namespace, "lakehouse"), JobId(story.namespace, "lakehouse.metadata_sync")}
    assert set(graph.jobs) - technical == {*story.expected.assets.values(), *story.expected.exposures}
    assert set(graph.datasets) == story.expected.datasets


def test_every_layer_from_the_dropped_files_to_the_dashboard_is_one_path(graphs, story):
    """What two tools name must be one dataset: else the path would be broken in between."""
    graph = graphs.first
    [dropped] = story.expected.sources
    reached, edge = {dropped}, {dropped}
    while edge := {below for each in edge for below in graph.downstream(each)} - reached:
        reached |= edge
    assert reached == story.expected.datasets


def test_every_output_has_one_version_for_each_run(graphs, story):
    for asset, job in story.expected.assets.items():
        runs = [run.run_id for run in graphs.mended.jobs[job].runs]
        assert len(runs) == len(set(runs)) == 4, asset
        for output in story.expected.outputs(asset):
            versions = [version.run_id for version in graphs.mended.datasets[output].versions]
            assert sorted(versions) == sorted(runs), output


def test_a_dataset_that_no_run_writes_has_one_version(graphs, story):
    exposed = {dataset for job, dataset in story.expected.writes if job in story.expected.exposures}
    for each in story.expected.sources | exposed:
        assert [version.run_id for version in graphs.mended.datasets[each].versions] == [None], each


def test_a_second_run_adds_versions_and_no_nodes(graphs, story):
    assert known(graphs.second) == known(graphs.first)
    for asset in story.expected.assets:
        for output in story.expected.outputs(asset):
            before, after = graphs.first.datasets[output], graphs.second.datasets[output]
            assert len(after.versions) == len(before.versions) + 1, output
            assert after.current.run_id == node(graphs.second, story, asset).latest.run_id, output


def test_columns_and_types_are_those_of_the_relations(graphs, story):
    for name, (columns, _) in relations(story, story.first).items():
        found = graphs.first.datasets[dataset(graphs.first, name)].columns
        assert sorted((column.name, column.type) for column in found) == sorted(columns), name
    mart = graphs.first.datasets[dataset(graphs.first, "mart_bioreactor_overview")]
    assert {"batch_id", "avg_value", "last_ingested_at"} <= {column.name for column in mart.columns}
    assert len(mart.columns) == len({column.name for column in mart.columns}), "no column twice"


@pytest.mark.parametrize("column", sorted(FROM_THE_FILES))
def test_a_mart_column_leads_back_to_the_columns_of_the_files(graphs, column):
    graph = graphs.first
    found = above(graph, Field(dataset(graph, "mart_bioreactor_overview"), column))
    files = {(short_name(each.dataset), each.column) for each in found if each.dataset.namespace == "file"}
    assert files == FROM_THE_FILES[column]


@pytest.mark.parametrize("step", sorted(STEPS))
def test_a_column_comes_from_these_columns_directly(graphs, step):
    table, column = step
    found = graphs.first.column_sources(Field(dataset(graphs.first, table), column))
    assert {(short_name(each.dataset), each.column) for each in found} == STEPS[step]


def test_column_edges_only_join_columns_that_exist(graphs):
    for graph in (graphs.first, graphs.mended):
        for edge in graph.columns:
            for end in (edge.source, edge.target):
                assert end.column in {column.name for column in graph.datasets[end.dataset].columns}, end


def test_every_check_is_told_with_its_verdict(graphs, story):
    for asset in story.expected.assets:
        line = story.first.line(asset)
        found = [check for each in story.expected.outputs(asset) for check in graphs.first.datasets[each].assertions]
        assert sum(check.passed for check in found) == line["passed"], asset
        assert sum(not check.passed for check in found) == line["failed"], asset
    batches = graphs.first.datasets[dataset(graphs.first, "dim_batch")].assertions
    assert {(check.name, check.severity) for check in batches} == {
        ("fresh_dim_batch_batch_start__bioreactor__readings", "warn"),
        ("unique_combination_dim_batch_batch_id", "error"),
    }


@pytest.mark.parametrize("stage", ["first", "second", "mended"])
def test_a_good_run_is_complete_with_the_durations_that_the_command_showed(graphs, story, stage):
    graph, ran = getattr(graphs, stage), getattr(story, stage)
    for asset in story.expected.assets:
        latest = node(graph, story, asset).latest
        assert (latest.state, latest.error) == ("COMPLETED", None), asset
        assert latest.duration == pytest.approx(ran.line(asset)["seconds"] or 0, abs=0.02), asset
        assert latest.dagster_run == ran.result["run_id"]
    parent = graph.jobs[JobId(story.namespace, "lakehouse")].latest
    assert (parent.state, parent.run_id) == ("COMPLETED", ran.result["run_id"])
    children = [node(graph, story, asset).latest for asset in story.expected.assets]
    assert parent.started_at <= min(child.started_at for child in children)
    assert parent.ended_at >= max(child.ended_at for child in children)


def test_rows_are_those_of_the_relations(graphs, story):
    for stage in ("first", "mended"):
        graph, ran = getattr(graphs, stage), getattr(story, stage)
        for name, (_, rows) in relations(story, ran).items():
            assert graph.datasets[dataset(graph, name)].volume.rows == rows, (stage, name)


def test_a_failed_model_is_failed_with_its_error_and_keeps_its_edges(graphs, story):
    batch = node(graphs.failed, story, "dim_batch")
    assert batch.latest.state == "FAILED"
    assert "no_such_column" in batch.latest.error
    assert (batch.inputs, batch.outputs) == (
        node(graphs.second, story, "dim_batch").inputs,
        node(graphs.second, story, "dim_batch").outputs,
    )
    parent = graphs.failed.jobs[JobId(story.namespace, "lakehouse")].latest
    assert (parent.state, parent.run_id) == ("FAILED", story.failed.result["run_id"])


def test_what_a_failure_stopped_is_aborted_and_says_why_and_the_rest_is_complete(graphs, story):
    states = {asset: node(graphs.failed, story, asset).latest for asset in story.expected.assets}
    assert {asset for asset, run in states.items() if run.state == "ABORTED"} == {"mart_bioreactor_overview"}
    why = "not built, because something above it failed in the same run"
    assert states["mart_bioreactor_overview"].error == why
    assert {asset for asset, run in states.items() if run.state == "FAILED"} == {"dim_batch"}
    assert {run.state for run in states.values()} <= ENDED


def test_a_failed_run_leaves_the_version_columns_and_checks_of_the_last_good_one(graphs, story):
    for asset in ("dim_batch", "mart_bioreactor_overview"):
        [output] = story.expected.outputs(asset)
        before, after = graphs.second.datasets[output], graphs.failed.datasets[output]
        assert after.current == before.current, asset
        assert after.columns == before.columns, asset
        assert after.assertions == before.assertions, asset
        assert len(after.versions) == len(before.versions) + 1, asset


def test_a_failure_adds_and_removes_nothing_and_neither_does_its_repair(graphs, story):
    assert known(graphs.failed) == known(graphs.second) == known(graphs.mended)
    assert graphs.failed.columns >= graphs.second.columns
    assert graphs.mended.columns == graphs.second.columns


def test_descriptions_and_owners_are_those_of_the_models(graphs, story):
    mart = graphs.mended.datasets[dataset(graphs.mended, "mart_bioreactor_overview")]
    assert mart.description.startswith("Everything a dashboard on bioreactor batches shows")
    for job in story.expected.assets.values():
        assert graphs.mended.jobs[job].owners == ("bioprocess-data@example.com",), job
    for each in story.expected.datasets:
        assert graphs.mended.datasets[each].description, each
        assert graphs.mended.datasets[each].owners == ("bioprocess-data@example.com",), each


@pytest.mark.parametrize("stage", ["first", "second", "failed", "mended"])
def test_every_back_end_says_the_same_to_the_letter(graphs, story, stage):
    assert differences(reduce(getattr(story, stage).bodies), getattr(graphs, stage)) == []


def test_verify_says_so_too(story):
    broken = json.loads(story.verify_failed.stdout)
    assert story.verify_failed.returncode == 1
    assert ("stale", "dim_batch") in {(finding["kind"], finding["subject"]) for finding in broken["declared"]}
    assert json.loads(story.verify_mended.stdout)["declared"] == [], story.verify_mended.stdout
    assert story.verify_mended.returncode == 0


def test_the_newest_events_give_the_same_graph_as_all(story, graphs, request):
    if "outbox" not in request.node.callspec.id:
        pytest.skip("of the outbox only")
    from lakehouse.postgres import ready
    from lakehouse.postgres.connect import connect, state_url
    from lineage.newest import outbox_graph

    with ready(story.platform.settings):
        connection = connect(state_url(story.platform.settings), what="state database")
        try:
            newest = outbox_graph(connection)
        finally:
            connection.close()
    assert newest == graphs.mended


def test_identities_are_what_the_naming_page_says(story):
    """Spelled out once, so that a change of the spelling is seen by a person."""
    lake = f"{story.platform.home}/lake"
    assert Dataset("file", f"{lake}/raw/bioreactor") in story.expected.datasets
    assert Dataset("file", f"{lake}/raw/bioreactor/*.parquet") in story.expected.sources
    assert any(each.namespace.startswith("postgres://127.0.0.1:") for each in story.expected.datasets)
