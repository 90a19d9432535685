"""A sync tells what is declared without moving versions, edges, checks or states that runs have told."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_runs import at, bare, changed, full

from lineage.events import run_events
from lineage.graph import JobId
from lineage.names import Dataset
from lineage.reduce import reduce
from lineage.sync import sync_events

SYNC = JobId("lakehouse", "lakehouse.metadata_sync")


def bodies(events):
    return [event.body for event in events]


@pytest.fixture(scope="module")
def ran(declared):
    return bodies(run_events(full(declared), declared))


def described(catalog, text="told anew"):
    """The same declarations with other words for everything."""
    infos = {
        dataset: replace(
            info,
            description=text,
            owners=("team@example.com",),
            columns=tuple(replace(column, description=text) for column in info.columns),
        )
        for dataset, info in catalog.datasets.items()
    }
    return replace(catalog, datasets=infos, version="next")


def without(catalog, *gone: str):
    """The declarations after assets were removed from the code."""
    jobs = {name: job for name, job in catalog.jobs.items() if name not in gone}
    left = {dataset for job in jobs.values() for dataset in (*job.inputs, *job.outputs)}
    datasets = {dataset: info for dataset, info in catalog.datasets.items() if dataset in left}
    return replace(catalog, jobs=jobs, datasets=datasets, version="less")


def test_before_any_run_every_edge_and_description_is_there(declared):
    events = sync_events(declared, reduce([]), at(0))
    graph = reduce(bodies(events))
    for job in declared.jobs.values():
        node = graph.jobs[JobId("lakehouse", f"lakehouse.{job.name}" if job.asset_key else job.name)]
        assert (node.inputs, node.outputs) == (frozenset(job.inputs), frozenset(job.outputs))
        assert (node.description, node.owners, node.latest) == (job.description, job.owners, None)
    for dataset, info in declared.datasets.items():
        node = graph.datasets[dataset]
        assert (node.description, node.owners, node.deleted) == (info.description, info.owners, False)
        if info.asset_key:
            assert [column.name for column in node.columns] == [column.name for column in info.columns]
    assert {event.order_key for event in events} == {"sync"}
    assert len({event.key for event in events}) == len(events)


def test_after_a_run_words_are_new_and_nothing_else_has_moved(declared, ran):
    before = reduce(ran)
    events = sync_events(described(declared), before, at(200))
    after = reduce([*ran, *bodies(events)])
    for job_id, node in before.jobs.items():
        now = after.jobs[job_id]
        assert (now.inputs, now.outputs, now.latest, now.runs) == (node.inputs, node.outputs, node.latest, node.runs)
    written = {dataset for job in declared.jobs.values() if job.asset_key for dataset in job.outputs}
    for dataset in written:
        was, now = before.datasets[dataset], after.datasets[dataset]
        assert now.description == "told anew"
        assert now.owners == ("team@example.com",)
        assert {column.description for column in now.columns} == {"told anew"}
        assert [(column.name, column.type) for column in now.columns] == [
            (column.name, column.type) for column in was.columns
        ]
        assert (now.current.run_id, len(now.versions)) == (was.current.run_id, len(was.versions))
        assert now.assertions == was.assertions
    assert after.columns == before.columns
    assert (after.jobs[SYNC].inputs, after.jobs[SYNC].outputs) == (frozenset(), frozenset())


def test_a_dataset_that_is_only_read_is_not_mentioned_by_the_sync(declared, ran):
    events = sync_events(declared, reduce(ran), at(200))
    mentioned = {item["name"] for event in events for item in event.body.get("inputs", [])}
    assert not [name for name in mentioned if name.endswith("*.parquet")]
    assert len(mentioned) == 8  # what runs write: two of the raw asset, six models


def test_columns_keep_the_types_of_the_last_run_whatever_is_declared_now(declared):
    name = declared.jobs["dim_batch"].outputs[0]
    ran = bodies(run_events(full(declared), declared))
    info = declared.datasets[name]
    retyped = replace(info, columns=tuple(replace(column, type="JSON") for column in info.columns))
    now = replace(declared, datasets={**declared.datasets, name: retyped})
    after = reduce([*ran, *bodies(sync_events(now, reduce(ran), at(200)))])
    assert [column.type for column in after.datasets[name].columns] == [column.type for column in info.columns]


def test_the_same_declarations_on_the_same_day_are_the_same_keys(declared, ran):
    known = reduce(ran)
    one, two = sync_events(declared, known, at(200)), sync_events(declared, known, at(5_000))
    assert [event.key for event in one] == [event.key for event in two]
    tomorrow = sync_events(declared, known, at(86_400))
    changed_ones = sync_events(replace(declared, version="next"), known, at(200))
    assert not {event.key for event in one} & {event.key for event in [*tomorrow, *changed_ones]}


def test_a_removed_model_is_dropped_and_leaves_the_graph(declared, ran):
    now = without(declared, "mart_bioreactor_overview", "exposure.bioreactor_overview")
    known = reduce(ran)
    events = sync_events(now, known, at(200))
    after = reduce([*ran, *bodies(events)])
    mart = declared.jobs["mart_bioreactor_overview"].outputs[0]
    assert after.datasets[mart].deleted
    assert after.datasets[mart].description == declared.datasets[mart].description
    for name in ("lakehouse.mart_bioreactor_overview", "exposure.bioreactor_overview"):
        node = after.jobs[JobId("lakehouse", name)]
        assert (node.inputs, node.outputs) == (frozenset(), frozenset())
        assert (node.latest.state, node.latest.error) == ("ABORTED", "It was removed from the code.")
    assert [dataset for dataset, node in after.datasets.items() if node.deleted] == [
        mart,
        Dataset("exposure://lakehouse", "dashboard.bioreactor_overview"),
    ]
    again = sync_events(now, after, at(300))  # what is gone is told once
    assert not [event for event in again if event.type == "ABORT" or "DROP" in str(event.body)]
    back = reduce([*ran, *bodies(events), *bodies(run_events(full(declared), declared))])
    assert not back.datasets[mart].deleted


def test_a_model_that_only_ever_failed_has_run_and_gets_no_job_event(declared):
    facts = bare(declared)
    for asset in facts.assets:
        facts = changed(facts, asset.asset_key, end="FAIL", error="no")
    ran = bodies(run_events(facts, declared))
    events = sync_events(declared, reduce(ran), at(200))
    assert {event.job for event in events if event.kind == "job"} == {SYNC.name, "exposure.bioreactor_overview"}
    after = reduce([*ran, *bodies(events)])
    assert after.jobs[JobId("lakehouse", "lakehouse.dim_batch")].latest.state == "FAILED"


def test_the_parent_and_jobs_of_others_are_left_alone(declared, ran):
    other = {**ran[0], "job": {**ran[0]["job"], "namespace": "others", "name": "theirs"}, "inputs": ran[1]["inputs"]}
    other["run"] = {**other["run"], "runId": "99999999-2222-4333-8444-555555555555"}
    told = [*ran, other, {**other, "eventType": "COMPLETE"}]
    events = sync_events(declared, reduce(told), at(200))
    assert not {event.job for event in events} & {"theirs", "lakehouse"}
