"""Which events a run makes, in which order, and what they say of a good, a failed, a retried and a cancelled asset."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from made_runs import CHECKS, RUN, at, bare, changed, full

from lineage import naming
from lineage.catalog import Transformed
from lineage.events import run_events
from lineage.facets.jobs import EventOptions
from lineage.facts import Volume
from lineage.graph import JobId
from lineage.names import Column, Field
from lineage.reduce import reduce

MART = "mart_bioreactor_overview"
OTHER_RUN = "99999999-2222-4333-8444-555555555555"


def of(events, asset_key):
    """The two bodies of an asset's only attempt."""
    start, end = (event.body for event in events if event.job == f"lakehouse.{asset_key}")
    return start, end


def facets(body):
    return body["run"]["facets"]


def output(body):
    return body["outputs"][0]


def test_the_parent_starts_first_and_ends_last_and_each_asset_starts_and_ends_between(declared):
    events = run_events(full(declared), declared)
    told = [(event.kind, event.job, event.type) for event in events]
    assets = [f"lakehouse.{job.name}" for job in declared.jobs.values() if job.asset_key]
    pairs = [("run", name, kind) for name in assets for kind in ("START", "COMPLETE")]
    exposure = [("job", "exposure.bioreactor_overview", ""), ("dataset", "", "")]
    assert told == [("run", "lakehouse", "START"), *pairs, *exposure, ("run", "lakehouse", "COMPLETE")]
    assert {event.order_key for event in events} == {RUN}
    assert len({event.key for event in events}) == len(events)
    assert run_events(full(declared), declared) == events  # the same facts are the same events


def test_start_and_end_differ_in_type_time_parent_and_error_only(declared):
    events = run_events(full(declared, end="FAIL"), declared)
    events += run_events(changed(full(declared), "dim_batch", end="FAIL", error="no"), declared)
    starts = {}
    compared = 0
    for event in events:
        body = {
            **event.body,
            "run": {**event.body.get("run", {}), "facets": dict(event.body.get("run", {}).get("facets", {}))},
        }
        if event.kind != "run" or event.job == "lakehouse":
            continue
        kind, when = body.pop("eventType"), body.pop("eventTime")
        parent = body["run"]["facets"].pop("parent", None)
        error = body["run"]["facets"].pop("errorMessage", None)
        assert (parent is not None) == (kind == "START")
        assert (error is not None) == (kind == "FAIL")
        if kind == "START":
            starts[event.job] = (body, when)
        else:
            assert body == starts[event.job][0]
            assert when > starts[event.job][1]
            compared += 1
    assert compared == 14


def test_a_job_has_all_its_facets_on_every_event(declared):
    options = EventOptions("https://git.example.com/x/blob/main/")
    start, end = of(run_events(full(declared), declared, options), MART)
    assert start["job"] == end["job"]
    job = end["job"]["facets"]
    assert job["jobType"] | {"_producer": 0, "_schemaURL": 0} == {
        "_producer": 0,
        "_schemaURL": 0,
        "processingType": "BATCH",
        "integration": "DBT",
        "jobType": "MODEL",
    }
    assert job["documentation"]["description"].startswith("Everything a dashboard on bioreactor batches shows")
    assert job["ownership"]["owners"] == [{"name": "bioprocess-data@example.com", "type": "MAINTAINER"}]
    assert (job["sql"]["query"], job["sql"]["dialect"]) == ("select 7", "duckdb")
    path = "dbt_project/models/marts/bioreactor/mart_bioreactor_overview.sql"
    where = job["sourceCodeLocation"]
    assert (where["type"], where["url"]) == ("git", f"https://git.example.com/x/blob/main/{path}")
    assert (job["lakehouse"]["layer"], job["lakehouse"]["materialized"]) == ("mart", "published")
    raw = of(run_events(full(declared), declared), "raw_bioreactor_data")[1]["job"]["facets"]
    assert (raw["jobType"]["integration"], raw["jobType"]["jobType"]) == ("DAGSTER", "ASSET")
    assert raw["sourceCodeLocation"]["url"] == "file:ingestion/sources/bioreactor.yml"
    assert "sql" not in raw


def test_the_sql_of_the_last_build_stands_in_where_a_run_ran_none(declared):
    known = replace(declared, jobs={**declared.jobs, MART: replace(declared.jobs[MART], sql="select 'before'")})
    assert of(run_events(bare(known), known), MART)[1]["job"]["facets"]["sql"]["query"] == "select 'before'"
    assert "sql" not in of(run_events(bare(declared), declared), MART)[1]["job"]["facets"]


def test_only_outputs_have_a_schema_and_every_mention_is_described(declared):
    for event in run_events(full(declared), declared):
        for dataset in [*event.body.get("inputs", []), *event.body.get("outputs", [])]:
            assert {"dataSource", "documentation", "ownership", "lakehouse"} <= set(dataset["facets"])
        assert all("schema" not in dataset["facets"] for dataset in event.body.get("inputs", []))
    fields = output(of(run_events(full(declared), declared), MART)[1])["facets"]["schema"]["fields"]
    assert len(fields) == 30
    assert fields[0] == {"name": "batch_id", "type": "VARCHAR", "description": "The batch.", "ordinal_position": 1}


def test_the_columns_as_built_win_in_the_one_spelling_of_types(declared):
    built = (Column("batch_id", "text"), Column("extra", "double precision", "new"))
    events = run_events(changed(full(declared), MART, columns=built), declared)
    assert output(of(events, MART)[1])["facets"]["schema"]["fields"] == [
        {"name": "batch_id", "type": "VARCHAR", "description": "The batch.", "ordinal_position": 1},
        {"name": "extra", "type": "DOUBLE", "description": "new", "ordinal_position": 2},
    ]


def test_volumes_stand_where_they_were_counted(declared):
    events = run_events(full(declared), declared)
    _, mart = of(events, MART)
    assert output(mart)["outputFacets"]["outputStatistics"]["rowCount"] == 107
    metrics = output(mart)["facets"]["dataQualityMetrics"]
    assert (metrics["rowCount"], metrics["bytes"], metrics["fileCount"]) == (107, 2_007, 3)
    assert metrics["columnMetrics"]["batch_id"] | {"quantiles": {}} == {
        "nullCount": 0,
        "distinctCount": 3,
        "quantiles": {},
    }
    assert [item["inputFacets"]["inputStatistics"]["size"] for item in mart["inputs"]] == [77, 77]
    _, raw = of(events, "raw_bioreactor_data")
    assert raw["inputs"][0]["inputFacets"]["inputStatistics"]["fileCount"] == 9  # what others dropped
    assert [bool(item["outputFacets"]) for item in raw["outputs"]] == [True, False]  # the ledger's copy is not counted
    _, files = of(events, "stg_bioreactor__files")
    assert files["inputs"][0]["inputFacets"] == {}  # the raw asset's rows are not the ledger's
    _, silent = of(run_events(bare(declared), declared), MART)
    assert (output(silent)["outputFacets"], silent["inputs"][0]["inputFacets"]) == ({}, {})
    assert "dataQualityMetrics" not in output(silent)["facets"]
    _, rows = of(run_events(changed(bare(declared), MART, output=Volume(rows=0)), declared), MART)
    assert output(rows)["outputFacets"]["outputStatistics"]["rowCount"] == 0


def test_all_checks_of_an_asset_are_one_facet_of_what_it_wrote(declared):
    _, raw = of(run_events(full(declared), declared), "raw_bioreactor_data")
    found = raw["outputs"][0]["facets"]["dataQualityAssertions"]["assertions"]
    assert [(item["assertion"], item["success"], item["severity"], item.get("column")) for item in found] == [
        ("unique_key", True, "error", None),
        ("value_in_range", False, "warn", "avg_value"),
    ]
    assert found[1]["actual"] == CHECKS[1].message
    assert "dataQualityAssertions" not in raw["outputs"][1]["facets"]


def test_a_failed_model_keeps_its_edges_and_says_its_own_error(declared):
    facts = changed(full(declared, end="FAIL"), "dim_batch", end="FAIL", error="Binder Error: no x", stack="at line 3")
    events = run_events(facts, declared)
    _, failed = of(events, "dim_batch")
    good = of(run_events(full(declared), declared), "dim_batch")[1]
    assert failed["eventType"] == "FAIL"
    message = facets(failed)["errorMessage"]
    assert (message["message"], message["stackTrace"]) == ("Binder Error: no x", "at line 3")
    assert message["programmingLanguage"] == "SQL"
    names = [[item["name"] for item in body[side]] for body in (failed, good) for side in ("inputs", "outputs")]
    assert names[:2] == names[2:]
    assert facets(events[-1].body)["errorMessage"]["message"] == "the run failed; no reason was recorded"
    assert facets(events[-1].body)["errorMessage"]["programmingLanguage"] == "PYTHON"


def test_what_was_not_reached_is_aborted_with_its_reason(declared):
    facts = changed(full(declared, end="ABORT", error="cancelled by a user"), MART, end="ABORT", error="not built")
    events = run_events(facts, declared)
    assert [event.type for event in events if event.job in ("lakehouse", f"lakehouse.{MART}")] == [
        "START", "START", "ABORT", "ABORT",
    ]  # fmt: skip
    assert facets(of(events, MART)[1])["errorMessage"]["message"] == "not built"
    assert facets(events[-1].body)["errorMessage"]["message"] == "cancelled by a user"
    assert not [event for event in events if event.kind == "job"]  # no mart was built: nothing new for its dashboard


def test_every_attempt_is_a_run_of_its_own(declared):
    first = next(item for item in full(declared).assets if item.asset_key == "dim_batch")
    tries = (replace(first, end="FAIL", error="locked"), replace(first, attempt=1))
    events = run_events(replace(full(declared), assets=tries), declared)
    runs = [(event.type, event.body["run"]["runId"]) for event in events if event.job == "lakehouse.dim_batch"]
    ids = [naming.child_run_id(RUN, "step_curated", attempt, "dim_batch") for attempt in (0, 1)]
    assert runs == [("START", ids[0]), ("FAIL", ids[0]), ("START", ids[1]), ("COMPLETE", ids[1])]
    assert ids[0] != ids[1]


def test_dagsters_side_is_told_with_a_link_to_the_runs_page(declared):
    facts = changed(full(declared), "dim_batch", partition="2026-11-20", attempt=2, up_to_date=True)
    start, _ = of(run_events(facts, declared), "dim_batch")
    told = facets(start)["lakehouse_dagster"]
    assert {name: told[name] for name in ("run_id", "job", "started_by", "step", "attempt", "partition")} == {
        "run_id": RUN, "job": "nightly_pipeline", "started_by": "schedule",
        "step": "step_curated", "attempt": 2, "partition": "2026-11-20",
    }  # fmt: skip
    assert (told["up_to_date"], told["url"]) == (True, f"http://127.0.0.1:3000/runs/{RUN}")
    assert told["catalog_version"] == declared.version
    assert told["facts"] == {"full_refresh": False}  # counts per column have a facet of their own
    assert told["versions"]["dbt"].startswith("1.11")
    assert facets(start)["nominalTime"]["nominalStartTime"] == "2026-11-21T02:00:00.000Z"
    assert facets(start)["nominalTime"]["nominalEndTime"] == "2026-11-22T02:00:00.000Z"
    assert facets(start)["processing_engine"]["name"] == "DuckDB"
    parent = facets(start)["parent"]
    assert (parent["run"], parent["job"]) == ({"runId": RUN}, {"namespace": "lakehouse", "name": "lakehouse"})


@pytest.mark.parametrize(
    ("asset", "more", "expected"),
    [
        (MART, {}, "OVERWRITE"),
        ("stg_bioreactor", {}, "OVERWRITE"),
        ("dim_batch", {}, None),  # incremental: batches are replaced, not the table
        ("dim_batch", {"facts": {"full_refresh": True}}, "OVERWRITE"),
        (MART, {"up_to_date": True}, None),
        (MART, {"end": "FAIL"}, None),
        ("raw_bioreactor_data", {}, None),
    ],
)
def test_what_replaced_a_whole_relation_says_so(declared, asset, more, expected):
    _, end = of(run_events(changed(full(declared), asset, **more), declared), asset)
    assert output(end)["facets"].get("lifecycleStateChange", {}).get("lifecycleStateChange") == expected


def test_column_lineage_is_told_for_columns_that_exist_and_row_influences_once(declared):
    stats, batch = declared.jobs[MART].inputs
    mean = Transformed(Field(stats, "avg_value"), "DIRECT", "IDENTITY")
    twice = Transformed(Field(stats, "avg_value"), "INDIRECT", "CONDITIONAL")
    joined = Transformed(Field(batch, "batch_id"), "INDIRECT", "JOIN")
    elsewhere = Transformed(Field(declared.jobs["dim_batch"].inputs[0], "x"), "DIRECT", "IDENTITY")
    columns = {"avg_value": (mean, twice, joined), "coverage": (joined,), "gone": (mean,), "unit": (elsewhere,)}
    known = replace(declared, jobs={**declared.jobs, MART: replace(declared.jobs[MART], columns=columns)})
    lineage = output(of(run_events(full(known), known), MART)[1])["facets"]["columnLineage"]
    assert lineage["fields"] == {
        "avg_value": {
            "inputFields": [
                {
                    "namespace": "duckdb://lakehouse",
                    "name": "lakehouse.curated.fact_bioreactor_batch_stats",
                    "field": "avg_value",
                    "transformations": [
                        {"type": "DIRECT", "subtype": "IDENTITY"},
                        {"type": "INDIRECT", "subtype": "CONDITIONAL"},
                    ],
                }
            ]
        }
    }
    assert [(item["field"], item["transformations"]) for item in lineage["dataset"]] == [
        ("batch_id", [{"type": "INDIRECT", "subtype": "JOIN"}])
    ]


def test_an_asset_that_the_code_no_longer_knows_is_named_and_nothing_is_said_of_it(declared):
    facts = full(declared)
    gone = replace(facts.assets[0], asset_key="former_model")
    events = run_events(replace(facts, assets=(*facts.assets, gone)), declared)
    assert not [event for event in events if "former_model" in event.job]
    assert facets(events[0].body)["lakehouse_dagster"]["unknown_assets"] == ["former_model"]


def test_exposures_are_told_once_per_version_of_the_declarations(declared):
    one = [event for event in run_events(full(declared), declared) if event.kind != "run"]
    again = [event for event in run_events(full(declared, run_id=OTHER_RUN), declared) if event.kind != "run"]
    later = [event for event in run_events(full(declared), replace(declared, version="next")) if event.kind != "run"]
    assert (
        [event.key for event in again]
        == [event.key for event in one]
        == [
            f"exposure.bioreactor_overview/{declared.version}",
            f"exposure://lakehouse dashboard.bioreactor_overview/{declared.version}",
        ]
    )
    assert not {event.key for event in one} & {event.key for event in later}
    assert [item["name"] for item in one[0].body["inputs"]] == ["lakehouse.marts.mart_bioreactor_overview"]


def test_times_are_utc_and_a_clock_that_ran_backwards_ends_nothing_before_it_began(declared):
    facts = changed(full(declared), "dim_batch", started_at=at(50), ended_at=at(40))
    start, end = of(run_events(facts, declared), "dim_batch")
    assert start["eventTime"] == end["eventTime"] == "2026-11-21T02:00:50.000Z"
    events = run_events(full(declared, started_at=at(30), ended_at=at(31)), declared)
    assert (events[0].body["eventTime"], events[-1].body["eventTime"]) == (
        "2026-11-21T02:00:10.000Z",
        "2026-11-21T02:01:18.000Z",
    )
    with pytest.raises(ValueError, match="without a time zone"):
        run_events(full(declared, started_at=datetime(2026, 1, 1), ended_at=datetime(2026, 1, 1), assets=()), declared)


def test_a_reader_sees_every_edge_and_one_version_per_output(declared):
    graph = reduce([event.body for event in run_events(full(declared), declared)])
    for job in declared.jobs.values():
        node = graph.jobs[JobId("lakehouse", f"lakehouse.{job.name}" if job.asset_key else job.name)]
        assert (node.inputs, node.outputs) == (frozenset(job.inputs), frozenset(job.outputs))
        assert node.layer == job.layer
    assert len(graph.jobs) == 9
    assert {len(node.versions) for node in graph.datasets.values()} <= {1, 2}
    for asset in full(declared).assets:
        for dataset in declared.jobs[asset.asset_key].outputs:
            assert len(graph.datasets[dataset].versions) == 1
