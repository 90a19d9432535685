"""Many runs of the same assets, delivered as fast as the drainer can, leave a real Marquez as one by one would."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4, uuid5

import pytest
from graph_differences import differences
from platforms import a_platform

from lakehouse.dbt.manifest import ensure_manifest
from lakehouse.postgres import ready
from lakehouse.postgres.connect import connect, state_url
from lakehouse.settings import Settings
from lineage import outbox
from lineage.catalog import Catalog
from lineage.declared import catalog
from lineage.drainer import Done, Drainer
from lineage.events import run_events
from lineage.facts import AssetRun, End, RunFacts, Volume
from lineage.graph import Graph
from lineage.marquez import from_marquez
from lineage.openlineage_config import target
from lineage.outgoing import Outgoing
from lineage.reduce import reduce
from lineage.sync import sync_events
from lineage.transport import open_transport

pytestmark = pytest.mark.marquez
BEGAN = datetime.fromisoformat("2026-03-01T02:00:00+00:00")


@pytest.fixture
def settings() -> Iterator[Settings]:
    with a_platform() as platform, ready(platform.settings):
        yield platform.settings


def _at(number: int, seconds: float) -> datetime:
    """A moment in one run; runs are a day apart."""
    return BEGAN + timedelta(days=number, seconds=seconds)


def _run(declared: Catalog, name: str, number: int) -> RunFacts:
    """Run ``number``: in every third one an asset fails and what is below it is not reached."""
    wrong = number % 3 == 2
    assets: list[AssetRun] = []
    for place, job in enumerate((job for job in declared.jobs.values() if job.asset_key), 1):
        end: End = "COMPLETE"
        if wrong and place == 5:
            end = "FAIL"
        elif wrong and place > 5:
            end = "ABORT"
        began, ended = _at(number, 10 * place), _at(number, 10 * place + 5)
        written = Volume(rows=1000 * number + place)
        assets.append(AssetRun(job.name, "step", 0, end, began, ended, output=written, error="broke" * wrong or None))
    run_id = str(uuid5(UUID(int=6), f"{name}/{number}"))
    end_of_all: End = "FAIL" if wrong else "COMPLETE"
    return RunFacts(run_id, "nightly", "schedule", end_of_all, _at(number, 0), _at(number, 99), tuple(assets))


def _apart(event: Outgoing, name: str) -> Outgoing:
    """The same event about datasets that no other test of this server has."""
    text = json.dumps(event.body)
    for scheme in ("duckdb", "exposure"):
        text = text.replace(f"{scheme}://lakehouse", f"{scheme}://{name}")
    text = text.replace("postgres://127.0.0.1", f"postgres://{name}")
    return replace(event, key=f"{name}/{event.key}", body=json.loads(text))


def _drained(settings: Settings, url: str) -> Done:
    transport = open_transport(
        target({"OPENLINEAGE_URL": url}), clients=settings.lineage_clients, timeout=settings.lineage_timeout_seconds
    )
    return Drainer(lambda: connect(state_url(settings), what="state database"), transport, settings).run(once=True)


def _of_runs(graph: Graph) -> Graph:
    """With the versions that runs have made: a server adds one for each mention that comes before the first of them."""
    written = {dataset for job in graph.jobs.values() for dataset in job.outputs}
    datasets = {
        name: replace(
            node,
            versions=tuple(version for version in node.versions if version.run_id),
            current=node.current if name in written and node.kind != "exposure" else None,
        )
        for name, node in graph.datasets.items()
    }
    return replace(graph, datasets=datasets)


@pytest.mark.parametrize("runs", [1, 9, 10], ids=["the first run", "the last one failed", "the last one was good"])
def test_runs_delivered_side_by_side_leave_the_graph_of_the_last_one(
    settings: Settings, marquez_url: str, runs: int
) -> None:
    name = f"backlog-{uuid4().hex[:12]}"
    manifest = json.loads((ensure_manifest(settings) / "manifest.json").read_text(encoding="utf-8"))
    declared = catalog(manifest, settings, job_namespace=name)
    told = [event for number in range(runs) for event in run_events(_run(declared, name, number), declared)]
    told += sync_events(declared, reduce(event.body for event in told), _at(runs, 99))

    with closing(connect(state_url(settings), what="state database")) as connection:
        outbox.put(connection, [_apart(event, name) for event in told], run_id=None)
        bodies = [stored.body for stored in outbox.events(connection)]
    done = _drained(settings, marquez_url)

    assert done.dead == 0
    assert done.delivered >= len(bodies)
    expected, shown = reduce(bodies), from_marquez(marquez_url, name)
    if runs > 1:
        expected, shown = _of_runs(expected), _of_runs(shown)
    found = differences(expected, shown)
    assert not found, "\n".join(found)
