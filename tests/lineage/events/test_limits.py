"""What a lineage server cannot take never gets into the outbox: texts are cut, faults of identities are all named."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from made_runs import at, full

from lineage import limits
from lineage.events import run_events
from lineage.facets.jobs import EventOptions
from lineage.names import Dataset
from lineage.outgoing import Outgoing


@pytest.fixture(scope="module")
def end(declared) -> Outgoing:
    return next(event for event in run_events(full(declared), declared) if event.job == "lakehouse.dim_batch")


def broken(event: Outgoing, change) -> list[str]:
    body = copy.deepcopy(event.body)
    change(body)
    return limits.faults(body, event.kind)


def dataset(body):
    return body["outputs"][0]


def rename(key, value):
    return lambda body: dataset(body).__setitem__(key, value)


FACETS = {"_producer": "p", "_schemaURL": "u"}


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (rename("namespace", "duckdb://läke"), "holds other signs than"),
        (rename("namespace", "a b"), "holds other signs than"),
        (rename("namespace", ""), "holds other signs than"),
        (rename("namespace", "n" * 1_025), "holds other signs than"),
        (rename("name", ""), "is empty"),
        (rename("name", "ä" * 1_300), "longer than 2,599 bytes"),
        (rename("name", "a#b"), "ends column lineage"),
        (rename("name", "9lives"), "begins with a digit"),
        (rename("name", "a\0b"), "no database stores"),
        (rename("name", "a\ud800b"), "no database stores"),
        (lambda body: body["job"].update(namespace="läke"), "the job namespace"),
        (lambda body: body["job"].update(name="j" * 2_001), "longer than 2,000 bytes"),
        (lambda body: body["run"].update(runId="17"), "no UUID"),
        (lambda body: body.update(eventType=None), "its type None is none of"),
        (lambda body: body.update(eventType="RUNNING"), "its type 'RUNNING' is none of"),
        (lambda body: body.update(eventTime="2026-01-01T00:00:00+0200"), "not ISO 8601"),
        (lambda body: body.update(eventTime="2026-01-01"), "not ISO 8601"),
        (lambda body: body.update(eventTime="2026-01-01 00:00:00Z"), "not ISO 8601"),
        (lambda body: body.update(eventTime=1_767_225_600_000), "not ISO 8601"),
        (lambda body: dataset(body)["facets"]["schema"]["fields"][0].pop("type"), "has no type"),
        (lambda body: dataset(body)["facets"]["schema"]["fields"][0].update(name="c" * 256), "longer than 255 bytes"),
        (lambda body: dataset(body)["facets"]["schema"]["fields"][1].update(name="batch_id"), "stands twice in"),
        (lambda body: body["inputs"].append(body["inputs"][0]), "stands twice among its inputs"),
        (lambda body: dataset(body)["facets"].update({"f" * 256: FACETS}), "longer than 255 bytes"),
        (lambda body: dataset(body)["facets"]["schema"].pop("_producer"), "lacks _producer"),
        (lambda body: body["job"]["facets"]["jobType"].pop("_schemaURL"), "lacks _producer or _schemaURL"),
        (lambda body: body["job"].update(facets={"x": {**FACETS, "text": "x" * 20_000_001}}), "more than 20,000,000"),
    ],
)
def test_a_fault_is_named(end, change, fault):
    found = broken(end, change)
    assert any(fault in text for text in found), found


def test_a_good_event_has_no_fault(end):
    assert limits.faults(end.body) == []


def lineage(body, column="batch_id", name=None):
    source = {"namespace": "duckdb://lakehouse", "name": name or body["inputs"][0]["name"], "field": "x"}
    dataset(body)["facets"]["columnLineage"] = {**FACETS, "fields": {column: {"inputFields": [source]}}}


def test_column_lineage_speaks_of_its_own_columns_and_of_inputs_only(end):
    assert broken(end, lineage) == []
    assert "which is not in its schema" in broken(end, lambda body: lineage(body, column="other"))[0]
    assert "which is not among its inputs" in broken(end, lambda body: lineage(body, name="other"))[0]


def test_all_faults_of_all_events_are_named_at_once_and_nothing_is_let_through(declared):
    mart, batch = declared.jobs["mart_bioreactor_overview"], declared.jobs["dim_batch"]
    bad = {
        mart.outputs[0]: Dataset("postgres://[::1]:5432", "9.marts.m"),
        batch.outputs[0]: Dataset("duckdb://lakehouse", "a#b"),
    }
    jobs = {
        job.name: replace(
            job,
            inputs=tuple(bad.get(item, item) for item in job.inputs),
            outputs=tuple(bad.get(item, item) for item in job.outputs),
        )
        for job in declared.jobs.values()
    }
    infos = {bad.get(key, key): replace(info, dataset=bad.get(key, key)) for key, info in declared.datasets.items()}
    with pytest.raises(limits.EventError) as raised:
        run_events(full(declared), replace(declared, jobs=jobs, datasets=infos))
    text = str(raised.value)
    assert "lakehouse.mart_bioreactor_overview: the namespace 'postgres://[::1]:5432'" in text
    assert "begins with a digit" in text
    assert "lakehouse.dim_batch: the dataset 'a#b' holds a #" in text
    assert "docs/lineage/naming.md" in raised.value.remedy
    assert len(text.splitlines()) == len(set(text.splitlines()))


def test_a_run_id_belongs_to_one_job(end):
    other = copy.deepcopy(end.body)
    other["job"]["name"] = "lakehouse.other"
    with pytest.raises(limits.EventError, match=r"its run id .* is that of lakehouse\.dim_batch too"):
        limits.checked([end, replace(end, body=other)])


def test_texts_that_explain_are_cut_and_identities_never(declared):
    long = "ü" * 200_000
    facts = full(declared, end="FAIL", error=long, tags={"a\0": "b\0", long: "c"})
    event = run_events(facts, declared)[-1]
    facets = event.body["run"]["facets"]
    message = facets["errorMessage"]["message"]
    assert len(message.encode()) <= limits.MAX_TEXT
    assert message.endswith(limits.MARK)
    tags = facets["lakehouse_dagster"]["tags"]
    assert tags["a\ufffd"] == "b\ufffd"
    assert {len(name.encode()) <= limits.MAX_FIELD for name in tags} == {True}


def test_a_type_of_many_fields_is_cut_to_what_marquez_stores(declared):
    info = next(info for info in declared.datasets.values() if info.asset_key == "dim_batch")
    wide = "STRUCT(" + ", ".join(f"field_{number} INTEGER" for number in range(500)) + ")"
    columns = (replace(info.columns[0], type=wide), *info.columns[1:])
    known = replace(declared, datasets={**declared.datasets, info.dataset: replace(info, columns=columns)})
    body = next(event.body for event in run_events(full(known), known) if event.job == "lakehouse.dim_batch")
    told = dataset(body)["facets"]["schema"]["fields"][0]["type"]
    assert len(told.encode()) <= 2_500
    assert told.startswith("STRUCT(field_0 INTEGER")
    assert told.endswith(limits.MARK)


def test_a_link_that_is_too_long_is_left_out_because_half_of_it_leads_nowhere(declared):
    events = run_events(full(declared), declared, EventOptions("https://git.example.com/" + "x" * 250))
    assert all("sourceCodeLocation" not in event.body["job"]["facets"] for event in events if event.kind != "dataset")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        (1.5, 1.5),
        (True, True),
        (None, None),
        ({1: (2, 3)}, {"1": [2, 3]}),
        (datetime(2026, 1, 1, tzinfo=UTC), "2026-01-01 00:00:00+00:00"),
        ({"a": {"b": "\0"}}, {"a": {"b": "\ufffd"}}),
    ],
)
def test_any_value_becomes_json_that_a_database_stores(value, expected):
    assert limits.plain(value) == expected


def test_cutting_keeps_whole_signs_and_leaves_short_texts_alone():
    assert limits.cut("ü" * 50_000) == "ü" * 50_000
    assert limits.cut("ü" * 50_001) == "ü" * 49_995 + limits.MARK
    assert limits.cut("x" * 100_001) == "x" * (100_000 - len(limits.MARK.encode())) + limits.MARK
    assert limits.cut("half \ud83d of a pair") == "half \ufffd of a pair"


def test_a_time_with_another_offset_is_told_in_utc(declared):
    local = at(0).astimezone(timezone(timedelta(hours=2)))
    assert run_events(full(declared, started_at=local), declared)[0].body["eventTime"] == "2026-11-21T02:00:00.000Z"
