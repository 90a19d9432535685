"""What the reducer makes of events is what a real Marquez makes of them, of tidy events and of all others it stores."""

from __future__ import annotations

from uuid import uuid4

import pytest
from event_scripts import Script
from graph_differences import differences
from marquez_server import post

from lineage.graph import Graph
from lineage.marquez import from_marquez
from lineage.reduce import reduce

pytestmark = pytest.mark.marquez


def touched(graph: Graph) -> Graph:
    """Without the datasets that no job has touched: asked for a job namespace, a server does not tell of them."""
    names = {name for job in graph.jobs.values() for name in job.inputs | job.outputs}
    names |= {name for job in graph.jobs.values() for run in job.runs for name in run.inputs | run.outputs}
    return Graph(graph.jobs, {name: node for name, node in graph.datasets.items() if name in names}, graph.columns)


@pytest.mark.parametrize("seed", range(8))
def test_tidy_events_give_the_same_graph(marquez_url: str, seed: int) -> None:
    name = f"tidy-{uuid4().hex[:12]}"
    events = Script(name, seed, unruly=False).events(rounds=6)
    post(marquez_url, events)
    assert differences(touched(reduce(events)), from_marquez(marquez_url, name)) == []


@pytest.mark.parametrize("seed", range(100, 108))
def test_unruly_events_give_the_same_graph(marquez_url: str, seed: int) -> None:
    """Ends without a start, runs that re-open, late arrivals, inputs with schemas, mentions without descriptions."""
    name = f"unruly-{uuid4().hex[:12]}"
    events = Script(name, seed, unruly=True).events(rounds=6)
    post(marquez_url, events)
    assert differences(touched(reduce(events)), from_marquez(marquez_url, name)) == []


def test_a_second_arrival_of_every_event_makes_no_second_run_version_or_job(marquez_url: str) -> None:
    name = f"twice-{uuid4().hex[:12]}"
    events = Script(name, 7, unruly=False).events(rounds=6)
    post(marquez_url, events)
    once = from_marquez(marquez_url, name)
    post(marquez_url, events)
    twice = from_marquez(marquez_url, name)
    assert sum(len(job.runs) for job in once.jobs.values()) > 5
    assert {key: {run.run_id for run in job.runs} for key, job in once.jobs.items()} == {
        key: {run.run_id for run in job.runs} for key, job in twice.jobs.items()
    }
    assert {key: set(node.versions) for key, node in once.datasets.items()} == {
        key: set(node.versions) for key, node in twice.datasets.items()
    }
    assert differences(touched(reduce(events + events)), twice) == []
