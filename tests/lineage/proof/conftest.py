"""Four runs of a real platform, their results, and the events that the outbox held after each."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from backends import BACKENDS, Backend
from expected import Expected, expected_graph, manifest_of
from platforms import Platform, a_platform, copy_of_checkout

from lakehouse.postgres import ready
from lakehouse.postgres.connect import connect, state_url
from lineage import outbox
from lineage.graph import Graph

BROKEN = "where batches.no_such_column is null\norder by batches.batch_id"


@dataclass
class Stage:
    """One run.

    Attributes:
        result: of ``lakehouse run --json``.
        bodies: all events that the outbox held after it.
        relations: asset → its columns and types, and how many rows it has, asked of DuckDB.
    """

    result: dict[str, Any]
    bodies: list[dict[str, Any]]
    relations: dict[str, tuple[list[tuple[str, str]], int]] = field(default_factory=dict)

    def line(self, asset: str) -> dict[str, Any]:
        """An asset's line of the result."""
        found: dict[str, Any] = next(line for line in self.result["assets"] if line["asset"] == asset)
        return found


@dataclass
class Story:
    """A first run, one with a new file, one with a broken model and another new file, one with the model mended.

    Attributes:
        platform: it ran there.
        namespace: of its jobs.
        expected: of the graph.
    """

    platform: Platform
    namespace: str
    expected: Expected
    first: Stage
    second: Stage
    failed: Stage
    mended: Stage
    verify_failed: subprocess.CompletedProcess[str]
    verify_mended: subprocess.CompletedProcess[str]


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """The four runs. Identities are used by no other platform, so that a server may hold other graphs beside it."""
    unique = uuid4().hex[:10]
    namespace = f"proof-{unique}"
    with a_platform() as platform:
        platform.variables |= {
            "LAKEHOUSE_WAREHOUSE_PATH": f"warehouse/w{unique}.duckdb",
            "OPENLINEAGE_NAMESPACE": namespace,
            "OPENLINEAGE_DISABLED": "true",  # whatever the tester has set
        }
        _sample(platform, 3)
        first = _stage(platform, platform.run("--accept-stale"))
        _sample(platform, 4)
        second = _stage(platform, platform.run("--accept-stale"))
        _sample(platform, 5)
        copy = copy_of_checkout(tmp_path_factory.mktemp("proof") / "checkout")
        model = copy / "dbt_project/models/curated/bioreactor/dim_batch.sql"
        good = model.read_text(encoding="utf-8")
        broken = good.replace("order by batches.batch_id", BROKEN)
        assert broken != good
        model.write_text(broken, encoding="utf-8")
        done = subprocess.run(
            [sys.executable, "-m", "lakehouse.cli.main", "run", "--json", "--quiet", "--accept-stale"],
            cwd=copy,
            env={**platform.environment, "PYTHONPATH": str(copy)},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 1, done.stderr
        failed = _stage(platform, json.loads(done.stdout))
        verify_failed = platform.call("lineage", "verify", "--json")
        mended = _stage(platform, platform.run("--accept-stale"))
        verify_mended = platform.call("lineage", "verify", "--json")
        expected = expected_graph(platform, manifest_of(platform), namespace)
        stages = (first, second, failed, mended)
        yield Story(platform, namespace, expected, *stages, verify_failed, verify_mended)


@pytest.fixture(scope="session", params=["outbox", pytest.param("marquez", marks=pytest.mark.marquez)])
def backend(request: pytest.FixtureRequest) -> Backend:
    """Every back end in turn."""
    return BACKENDS[request.param]()


@dataclass
class Graphs:
    """The graph after each run."""

    first: Graph
    second: Graph
    failed: Graph
    mended: Graph


@pytest.fixture(scope="session")
def graphs(story: Story, backend: Backend) -> Graphs:
    """What a back end shows after each run."""
    return Graphs(*(backend.graph(stage.bodies) for stage in (story.first, story.second, story.failed, story.mended)))


def _sample(platform: Platform, batches: int) -> None:
    platform.sample("--batches", str(batches), "--scale", "0.05", "--seed", "4")


def _stage(platform: Platform, result: dict[str, Any]) -> Stage:
    with ready(platform.settings):
        connection = connect(state_url(platform.settings), what="state database")
        try:
            bodies = [event.body for event in outbox.events(connection)]
        finally:
            connection.close()
    found = platform.query(
        "select table_schema, table_name, column_name, data_type from information_schema.columns"
        " where table_schema in ('staging', 'intermediate', 'curated') order by table_name, ordinal_position"
    )
    relations: dict[str, tuple[list[tuple[str, str]], int]] = {}
    for name in {row["table_name"] for row in found}:
        columns = [(row["column_name"], row["data_type"]) for row in found if row["table_name"] == name]
        schema = next(row["table_schema"] for row in found if row["table_name"] == name)
        rows = platform.query(f'select count(*) as n from "{schema}"."{name}"')[0]["n"]
        relations[name] = (columns, rows)
    return Stage(result, bodies, relations)
