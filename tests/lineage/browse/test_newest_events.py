"""The graph needs few of the outbox's events: the newest of each job, and those of its last good run."""

from __future__ import annotations

from handmade import BATCH, RAW, STAGING, dataset, dataset_event, job, metadata, pair, run_id
from synthetic import synthetic_events

from lineage.newest import newest_bodies, outbox_graph
from lineage.reduce import reduce


def test_an_empty_outbox_gives_an_empty_graph(connection):
    assert outbox_graph(connection).datasets == {}


def test_few_runs_give_the_same_graph_as_all_events(connection, recorded):
    events = [*synthetic_events(20), metadata("exposure.x", 900, [BATCH], [STAGING])]
    events.append(dataset_event(dataset(BATCH, "id:INT"), 901))
    recorded(events)
    assert list(newest_bodies(connection)) == events
    assert outbox_graph(connection) == reduce(events)


def test_of_many_runs_only_the_newest_are_read(connection, recorded):
    runs = [pair("COMPLETE", "stg", f"r{number}", 10 * number, [RAW], [STAGING]) for number in range(300)]
    recorded(event for events in runs for event in events)
    bodies = list(newest_bodies(connection, runs=5))
    assert [body["run"]["runId"] for body in bodies[::2]] == [run_id(f"r{number}") for number in range(295, 300)]
    assert len(bodies) == 10


def test_the_last_good_run_is_read_however_long_ago_it_was(connection, recorded):
    good = pair("COMPLETE", "stg", "good", 0, [RAW], [dataset(STAGING, "ph:DOUBLE")])
    bad = [pair("FAIL", "stg", f"r{n}", 10 * n, [RAW], [dataset(STAGING, "ph:DOUBLE")]) for n in range(1, 40)]
    recorded([*good, *(event for events in bad for event in events)])
    graph = outbox_graph(connection, runs=3)
    current = graph.datasets[STAGING].current
    latest = graph.jobs[job("stg")].latest
    assert current is not None
    assert latest is not None
    assert (current.run_id, latest.run_id, latest.state) == (run_id("good"), run_id("r39"), "FAILED")


def test_a_rare_job_is_read_beside_a_busy_one(connection, recorded):
    rare = pair("COMPLETE", "dim", "once", 0, [STAGING], [BATCH])
    busy = [event for n in range(1, 200) for event in pair("COMPLETE", "stg", f"r{n}", 10 * n, [RAW], [STAGING])]
    recorded([*rare, *busy])
    assert set(outbox_graph(connection, runs=2).jobs) == {job("dim"), job("stg")}


def test_of_each_dataset_the_newest_dataset_event_is_read(connection, recorded):
    recorded([dataset_event(dataset(of, f"c{n}:INT"), n) for n in range(50) for of in (BATCH, STAGING)])
    graph = outbox_graph(connection)
    assert [column.name for of in (BATCH, STAGING) for column in graph.datasets[of].columns] == ["c49", "c49"]
    assert len(list(newest_bodies(connection))) == 2
