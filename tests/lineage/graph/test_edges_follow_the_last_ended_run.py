"""Jobs and edges of the reduced graph, rule by rule (measured on a real Marquez)."""

from __future__ import annotations

from handmade import BATCH, MART, RAW, STAGING, event, graph, job, metadata, moment, pair, run_id

LANDED = pair("COMPLETE", "raw", "r1", 0, [], [RAW])


def test_a_good_run_draws_its_edges() -> None:
    seen = graph(pair("COMPLETE", "stg", "r1", 0, [RAW], [STAGING]))
    assert seen.reads == {(RAW, job("stg"))}
    assert seen.writes == {(job("stg"), STAGING)}
    assert set(seen.datasets) == {RAW, STAGING}


def test_a_run_that_only_started_draws_nothing_yet() -> None:
    seen = graph(event("START", "stg", "r1", 0, [RAW], [STAGING]))
    assert (seen.reads, seen.writes) == (frozenset(), frozenset())


def test_the_next_run_replaces_edges_when_it_ends_and_not_before() -> None:
    first = pair("COMPLETE", "dim", "r1", 0, [STAGING], [BATCH])
    second = pair("COMPLETE", "dim", "r2", 10, [RAW], [BATCH])
    assert graph(first, second[0]).reads == {(STAGING, job("dim"))}
    assert graph(first, second).reads == {(RAW, job("dim"))}


def test_edges_are_the_union_of_what_all_events_of_the_run_said() -> None:
    seen = graph(event("START", "dim", "r1", 0, [STAGING], [BATCH]), event("COMPLETE", "dim", "r1", 2, [RAW], [MART]))
    assert seen.reads == {(STAGING, job("dim")), (RAW, job("dim"))}
    assert seen.writes == {(job("dim"), BATCH), (job("dim"), MART)}


def test_a_failed_run_with_full_lists_keeps_the_edges() -> None:
    good = pair("COMPLETE", "stg", "r1", 0, [RAW], [STAGING])
    seen = graph(good, pair("FAIL", "stg", "r2", 10, [RAW], [STAGING]))
    assert seen.reads == {(RAW, job("stg"))}
    assert seen.writes == {(job("stg"), STAGING)}


def test_a_failed_run_with_empty_lists_takes_the_edges_away_until_the_next_good_run() -> None:
    good = pair("COMPLETE", "stg", "r1", 0, [RAW], [STAGING])
    bare = pair("FAIL", "stg", "r2", 10)
    assert graph(good, bare).reads == frozenset()
    assert graph(good, bare).writes == frozenset()
    assert graph(good, bare, pair("COMPLETE", "stg", "r3", 20, [RAW], [STAGING])).reads == {(RAW, job("stg"))}


def test_even_a_start_with_an_empty_list_takes_that_side_away_at_once() -> None:
    good = pair("COMPLETE", "stg", "r1", 0, [RAW], [STAGING])
    seen = graph(good, event("START", "stg", "r2", 10, [], [STAGING]))
    assert seen.reads == frozenset()
    assert seen.writes == {(job("stg"), STAGING)}


def test_an_end_with_empty_lists_still_has_what_its_start_said() -> None:
    seen = graph(event("START", "stg", "r1", 0, [RAW], [STAGING]), event("FAIL", "stg", "r1", 2))
    assert seen.reads == {(RAW, job("stg"))}
    assert seen.writes == {(job("stg"), STAGING)}


def test_a_replay_changes_nothing() -> None:
    events = [
        *LANDED,
        *pair("COMPLETE", "stg", "r2", 5, [RAW], [STAGING]),
        *pair("FAIL", "stg", "r3", 9, [RAW], [STAGING]),
    ]
    assert graph(events, events) == graph(events)


def test_a_child_is_named_after_its_parent_with_or_without_the_prefix() -> None:
    above = event("START", "lakehouse", "p", 0)
    for name in ("stg", "lakehouse.stg"):
        seen = graph(above, pair("COMPLETE", name, "r1", 1, [RAW], [STAGING], parent="p"))
        assert set(seen.jobs) == {job("lakehouse"), job("lakehouse.stg")}
        assert seen.jobs[job("lakehouse.stg")].parent == "lakehouse"
        assert seen.jobs[job("lakehouse.stg")].simple_name == "stg"


def test_an_end_without_a_parent_finds_the_job_by_its_full_name_only() -> None:
    above = event("START", "lakehouse", "p", 0)
    start = event("START", "lakehouse.stg", "r1", 1, [RAW], [STAGING], parent="p")
    full = graph(above, start, event("COMPLETE", "lakehouse.stg", "r1", 3, [RAW], [STAGING]))
    assert set(full.jobs) == {job("lakehouse"), job("lakehouse.stg")}
    assert full.jobs[job("lakehouse.stg")].parent == "lakehouse"
    assert full.reads == {(RAW, job("lakehouse.stg"))}
    short = graph(above, start, event("COMPLETE", "stg", "r1", 3, [RAW], [STAGING]))
    assert job("stg") in short.jobs  # a second node: so ends carry the full name


def test_a_parent_known_from_its_children_only_takes_the_first_childs_state_and_keeps_it() -> None:
    seen = graph(pair("COMPLETE", "stg", "r1", 1, [RAW], [STAGING], parent="p"))
    parent = seen.jobs[job("lakehouse")]
    assert parent.latest is not None
    assert (parent.latest.run_id, parent.latest.state) == (run_id("p"), "RUNNING")


def test_a_parent_with_events_of_its_own_has_its_own_state() -> None:
    seen = graph(
        event("START", "lakehouse", "p", 0),
        pair("FAIL", "stg", "r1", 1, [RAW], [STAGING], parent="p"),
        event("COMPLETE", "lakehouse", "p", 9),
    )
    latest = seen.jobs[job("lakehouse")].latest
    assert latest is not None
    assert (latest.state, latest.duration) == ("COMPLETED", 9.0)


def test_a_job_event_gives_edges_but_no_run() -> None:
    seen = graph(metadata("exposure.overview", 0, [MART], [BATCH]))
    assert seen.reads == {(MART, job("exposure.overview"))}
    assert seen.writes == {(job("exposure.overview"), BATCH)}
    assert seen.jobs[job("exposure.overview")].latest is None
    assert seen.columns == frozenset()


def test_the_state_is_the_one_that_arrived_last() -> None:
    start, end = pair("COMPLETE", "stg", "r1", 0, [RAW], [STAGING])
    swapped = graph(end, start).jobs[job("stg")].latest
    assert swapped is not None
    assert swapped.state == "RUNNING"
    reopened = graph(start, end, event("RUNNING", "stg", "r1", 5, [RAW], [STAGING])).jobs[job("stg")].latest
    assert reopened is not None
    assert reopened.state == "RUNNING"


def test_other_and_unknown_types_are_running() -> None:
    for kind in ("OTHER", "PAUSED"):
        latest = graph(event(kind, "stg", "r1", 0, [RAW], [STAGING])).jobs[job("stg")].latest
        assert latest is not None
        assert latest.state == "RUNNING"


def test_a_run_has_its_times_its_duration_and_its_error() -> None:
    told = {"errorMessage": {"message": "column ph not found", "programmingLanguage": "SQL"}}
    start = event("START", "stg", "r1", 0, [RAW], [STAGING])
    latest = graph(start, event("FAIL", "stg", "r1", 2.5, [RAW], [STAGING], run_facets=told)).jobs[job("stg")].latest
    assert latest is not None
    assert (latest.state, latest.error) == ("FAILED", "column ph not found")
    assert (latest.started_at, latest.ended_at, latest.duration) == (moment(0), moment(2.5), 2.5)


def test_an_end_alone_has_neither_start_nor_duration() -> None:
    latest = graph(event("COMPLETE", "stg", "r1", 2, [RAW], [STAGING])).jobs[job("stg")].latest
    assert latest is not None
    assert (latest.started_at, latest.ended_at, latest.duration) == (None, moment(2), None)


def test_runs_are_listed_newest_first_and_an_old_one_that_arrives_late_is_not_the_latest() -> None:
    seen = graph(pair("COMPLETE", "stg", "new", 100, [RAW], [STAGING]), pair("FAIL", "stg", "old", 0, [RAW], [STAGING]))
    node = seen.jobs[job("stg")]
    assert [run.run_id for run in node.runs] == [run_id("new"), run_id("old")]
    assert node.latest == node.runs[0]


def test_what_a_later_event_leaves_out_of_a_jobs_facets_is_gone() -> None:
    told = {
        "documentation": {"description": "One row per batch"},
        "ownership": {"owners": [{"name": "ada@example.com"}]},
    }
    first = pair("COMPLETE", "dim", "r1", 0, [STAGING], [BATCH], job_facets=told)
    node = graph(first).jobs[job("dim")]
    assert (node.description, node.owners) == ("One row per batch", ("ada@example.com",))
    node = graph(first, pair("COMPLETE", "dim", "r2", 9, [STAGING], [BATCH])).jobs[job("dim")]
    assert (node.description, node.owners) == ("", ())
