"""Checks that ran alone bring their verdicts to the dataset; edges, versions, states and descriptions stay."""

from __future__ import annotations

from dataclasses import replace

import pytest
from made_runs import CHECKS, at, full

from lineage.checked import checked_events
from lineage.events import run_events
from lineage.facts import AssetRun, Check, RunFacts
from lineage.graph import Assertion, JobId
from lineage.outgoing import SYNC
from lineage.reduce import reduce

OTHER_RUN = "99999999-2222-4333-8444-555555555555"
JOB = "lakehouse.checks.dim_batch"


def bodies(events):
    return [event.body for event in events]


def asked(*checks: Check, asset: str = "dim_batch", **more) -> RunFacts:
    """A run that asked checks of one asset and built nothing."""
    attempt = AssetRun(asset, "step_curated", 0, "COMPLETE", at(200), at(205), checks=checks)
    attempt = replace(attempt, **more)
    return RunFacts(OTHER_RUN, "__ASSET_JOB", "page", attempt.end, at(199), at(206), checked=(attempt,))


@pytest.fixture(scope="module")
def ran(declared):
    return bodies(run_events(full(declared), declared))


def dim_batch(declared):
    return declared.jobs["dim_batch"].outputs[0]


def test_a_verdict_replaces_its_own_and_no_other_and_nothing_else_moves(declared, ran):
    before = reduce(ran)
    facts = asked(replace(CHECKS[1], passed=True, message=""))
    events = [*run_events(facts, declared), *checked_events(facts, declared, before, {"dim_batch": list(CHECKS)})]
    assert [(event.order_key, event.kind, event.type, event.job) for event in events] == [
        (OTHER_RUN, "run", "START", "lakehouse"),
        (OTHER_RUN, "run", "COMPLETE", "lakehouse"),
        (SYNC, "job", "", JOB),
        (SYNC, "run", "START", JOB),
        (SYNC, "run", "COMPLETE", JOB),
    ]
    after = reduce([*ran, *bodies(events)])
    node = dim_batch(declared)
    assert before.datasets[node].assertions == (
        Assertion("unique_key", True, None, "error"),
        Assertion("value_in_range", False, "avg_value", "warn"),
    )
    verdicts = (Assertion("unique_key", True, None, "error"), Assertion("value_in_range", True, "avg_value", "warn"))
    assert after.datasets == {**before.datasets, node: replace(before.datasets[node], assertions=verdicts)}
    assert (after.reads, after.writes, after.columns) == (before.reads, before.writes, before.columns)
    check, parent = JobId("lakehouse", JOB), JobId("lakehouse", "lakehouse")
    assert set(after.jobs) == {*before.jobs, check}
    assert {name: after.jobs[name] for name in before.jobs if name != parent} == {
        name: job for name, job in before.jobs.items() if name != parent
    }
    assert after.jobs[parent].latest.run_id == OTHER_RUN
    assert (after.jobs[check].latest.state, after.jobs[check].latest.dagster_run) == ("COMPLETED", OTHER_RUN)


def test_the_next_build_has_the_last_word_even_if_the_verdict_arrives_after_it(declared, ran):
    facts = asked(replace(CHECKS[0], passed=False))
    events = bodies(checked_events(facts, declared, reduce(ran), {"dim_batch": list(CHECKS)}))
    later = full(declared, run_id="77777777-2222-4333-8444-555555555555")
    moved = tuple(replace(item, started_at=at(300), ended_at=at(310)) for item in later.assets)
    again = bodies(run_events(replace(later, assets=moved, started_at=at(299), ended_at=at(311)), declared))
    for arrived in ([*ran, *events, *again], [*ran, *again, *events]):
        told = reduce(arrived).datasets[dim_batch(declared)].assertions
        assert {item.name: item.passed for item in told} == {"unique_key": True, "value_in_range": False}


def test_what_no_good_run_has_written_is_not_mentioned(declared):
    facts = asked(CHECKS[0])
    events = checked_events(facts, declared, reduce([]), {"dim_batch": list(CHECKS)})
    assert [event.type for event in events] == ["START", "COMPLETE"]
    assert reduce(bodies(events)).datasets == {}


def test_checks_that_could_not_be_asked_leave_the_verdicts_and_say_why(declared, ran):
    facts = asked(end="FAIL", error="The warehouse is taken.")
    events = checked_events(facts, declared, reduce(ran), {"dim_batch": list(CHECKS)})
    after = reduce([*ran, *bodies(events)])
    assert after.datasets == reduce(ran).datasets
    run = after.jobs[JobId("lakehouse", JOB)].latest
    assert (run.state, run.error) == ("FAILED", "The warehouse is taken.")


def test_of_an_asset_that_the_code_no_longer_declares_the_parent_tells_its_name_alone(declared, ran):
    facts = asked(CHECKS[0], asset="gone")
    assert checked_events(facts, declared, reduce(ran), {}) == []
    start = run_events(facts, declared)[0].body
    assert start["run"]["facets"]["lakehouse_dagster"]["unknown_assets"] == ["gone"]
