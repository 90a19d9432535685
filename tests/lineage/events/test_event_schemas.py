"""Every event validates against OpenLineage's JSON Schemas and our own, whatever the run was."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_runs import any_run, at, bare, changed, full

from lineage import limits
from lineage.catalog import Transformed
from lineage.checked import checked_events
from lineage.events import run_events
from lineage.facets.jobs import EventOptions
from lineage.names import Field
from lineage.reduce import reduce
from lineage.sync import sync_events

EVERY_FACET = {
    *("schema", "columnLineage", "dataSource", "documentation", "ownership", "sql", "sourceCodeLocation", "jobType"),
    *("processing_engine", "parent", "nominalTime", "outputStatistics", "inputStatistics", "dataQualityAssertions"),
    *("dataQualityMetrics", "errorMessage", "lifecycleStateChange", "datasetType", "storage"),
    *("lakehouse", "lakehouse_dagster"),
}


@pytest.fixture(scope="session")
def with_columns(declared):
    """The catalog with column lineage from each column of a model to the first column of each of its inputs."""
    jobs = {}
    for job in declared.jobs.values():
        sources = [
            Transformed(Field(item, declared.datasets[item].columns[0].name), kind, subtype)
            for item in job.inputs
            if declared.datasets[item].columns
            for kind, subtype in (("DIRECT", "IDENTITY"), ("INDIRECT", "CONDITIONAL"), ("INDIRECT", "JOIN"))
        ]
        names = [column.name for column in declared.datasets[job.outputs[0]].columns] if sources else []
        jobs[job.name] = replace(job, columns=dict.fromkeys(names, tuple(sources)))
    return replace(declared, jobs=jobs)


def failed(catalog):
    facts = full(catalog, end="FAIL", error="one step failed")
    facts = changed(facts, "dim_batch", end="FAIL", error="Binder Error: no column x", stack="line 1\nline 2")
    return changed(facts, "mart_bioreactor_overview", end="ABORT", error="not built")


def test_every_kind_of_run_is_valid_and_together_they_carry_every_facet(schemas, with_columns):
    options = EventOptions("https://git.example.com/lakehouse/blob/main")
    seen = set()
    for facts in (full(with_columns), bare(with_columns), failed(with_columns), full(with_columns, end="ABORT")):
        for event in run_events(facts, with_columns, options):
            seen |= schemas.check(event.body, event.kind)
            assert limits.faults(event.body, event.kind) == []
    assert seen == EVERY_FACET


def test_metadata_is_valid_before_any_run_after_one_and_when_all_is_gone(schemas, declared):
    ran = [event.body for event in run_events(full(declared), declared)]
    nothing = replace(declared, jobs={}, datasets={})
    kinds = set()
    for catalog, told in ((declared, []), (declared, ran), (nothing, ran)):
        for event in sync_events(catalog, reduce(told), at(200)):
            schemas.check(event.body, event.kind)
            assert limits.faults(event.body, event.kind) == []
            kinds.add((event.kind, event.type))
    assert kinds == {("job", ""), ("dataset", ""), ("run", "START"), ("run", "COMPLETE"), ("run", "ABORT")}


def written(catalog):
    return [event.body for event in run_events(bare(catalog), catalog)]


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_whatever_a_run_says_its_events_are_valid_and_can_be_stored(schemas, with_columns, data):
    facts = data.draw(any_run(with_columns))
    alone = checked_events(replace(facts, checked=facts.assets), with_columns, reduce(written(with_columns)), {})
    events = run_events(facts, with_columns)
    assert [event.type for event in (events[0], events[-1])] == ["START", facts.end]
    for event in [*events, *alone]:
        schemas.check(event.body, event.kind)
        assert limits.faults(event.body, event.kind) == []
        text = json.dumps(event.body, allow_nan=False)
        assert "\\u0000" not in text
        assert json.loads(text) == event.body
        text.encode("utf-8")
