"""Runs of single checks, as a page starts them: their verdicts are told, and nothing else in the graph moves."""

from __future__ import annotations

import subprocess
import sys

import duckdb
import pytest
from dagster import (
    AssetCheckResult,
    AssetSelection,
    DagsterExecutionInterruptedError,
    DagsterInstance,
    Definitions,
    asset,
    asset_check,
    define_asset_job,
)
from platforms import Platform, a_platform
from recorded import PAGE, facts_of, held, opened, told

from lakehouse.postgres.connect import connect, state_url
from lineage.graph import Graph, JobId
from lineage.newest import outbox_graph
from orchestration import names
from orchestration.lineage.mapping import map_ended_runs
from orchestration.lineage.records import run_facts

UNIQUE = "unique_combination_dim_batch_batch_id"
CHECKS = """
import sys
from dagster import AssetCheckKey, AssetKey, AssetSelection, DagsterInstance, Definitions, define_asset_job
from lakehouse.settings import load_settings
from orchestration.instance import prepare_home
prepare_home(load_settings())
from orchestration.definitions import defs
wanted = [text.partition(":") for text in sys.argv[1:]]
chosen = AssetSelection.checks(*(AssetCheckKey(AssetKey([asset]), check) for asset, _, check in wanted))
jobs = Definitions(jobs=[define_asset_job("single_checks", selection=chosen)])
with DagsterInstance.get() as instance:
    job = Definitions.merge(defs, jobs).resolve_job_def("single_checks")
    print(job.execute_in_process(instance=instance, raise_on_error=False).run_id)
"""


@pytest.fixture(scope="module")
def built():
    with a_platform() as platform:
        platform.sample("--batches", "3", "--scale", "0.05", "--seed", "4")
        platform.run("--accept-stale")
        yield platform


def checked(platform: Platform, *checks: str, **variables: str) -> str:
    """Execute checks (``asset:check``) and nothing else, and have the run told; its id."""
    with opened(platform) as instance:
        done = subprocess.run(
            [sys.executable, "-c", CHECKS, *checks],
            env={**platform.environment, **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        run_id = done.stdout.split()[-1]
        assert map_ended_runs(instance, platform.settings) == 1
    return run_id


def graph_of(platform: Platform) -> Graph:
    with opened(platform):
        connection = connect(state_url(platform.settings), what="state database")
        try:
            return outbox_graph(connection)
        finally:
            connection.close()


def verdicts(graph: Graph, asset: str) -> dict[str, bool]:
    [node] = (node for name, node in graph.datasets.items() if name.name.endswith(f".{asset}"))
    return {check.name: check.passed for check in node.assertions}


def same_but_verdicts(before: Graph, after: Graph) -> None:
    """Datasets, versions, edges, columns, and the jobs with their last runs are what they were."""
    assert after.reads == before.reads
    assert after.writes == before.writes
    assert after.columns == before.columns
    assert set(after.datasets) == set(before.datasets)
    for name, node in before.datasets.items():
        now = after.datasets[name]
        assert (now.current, now.versions, now.columns) == (node.current, node.versions, node.columns)
        assert (now.description, now.owners, now.volume) == (node.description, node.owners, node.volume)
    for name, job in before.jobs.items():
        if name.name not in {"lakehouse", "lakehouse.checks.dim_batch"}:
            assert after.jobs[name] == job
    assert {name.name for name in set(after.jobs) - set(before.jobs)} <= {"lakehouse.checks.dim_batch"}


def test_a_check_that_ran_alone_brings_its_verdict_and_moves_nothing_else(built):
    before = graph_of(built)
    every = verdicts(before, "dim_batch")
    assert every[UNIQUE] is True
    assert len(every) > 1
    with duckdb.connect(str(built.settings.warehouse)) as warehouse:
        warehouse.execute("insert into curated.dim_batch from curated.dim_batch limit 1")
    run_id = checked(built, f"dim_batch:{UNIQUE}")
    facts = facts_of(built, run_id)
    assert facts.assets == ()
    [one] = facts.checked
    assert (one.asset_key, one.step_key, one.attempt) == ("dim_batch", "dbt_curated_models", 0)
    assert [(check.name, check.passed, check.severity) for check in one.checks] == [(UNIQUE, False, "error")]
    assert told(built, run_id) == [("lakehouse", "START"), ("lakehouse", facts.end)]
    assert facts.started_at <= one.started_at <= one.ended_at <= facts.ended_at
    after = graph_of(built)
    assert verdicts(after, "dim_batch") == {**every, UNIQUE: False}, "the others stay as they were"
    same_but_verdicts(before, after)
    job = after.jobs[JobId("lakehouse", "lakehouse.checks.dim_batch")]
    assert (job.inputs, job.outputs, job.parent) == (frozenset(), frozenset(), "lakehouse")
    assert job.latest.dagster_run == run_id

    built.run("--full-refresh", "--select", "dbt_curated_models")
    assert verdicts(graph_of(built), "dim_batch") == every, "the next build has the last word"


def test_checks_that_could_not_be_asked_are_told_as_failed_and_leave_the_verdicts(built):
    before = graph_of(built)
    with held(built):
        run_id = checked(built, f"dim_batch:{UNIQUE}", LAKEHOUSE_LOCK_TIMEOUT_SECONDS="1", LAKEHOUSE_RETRY_MAX="0")
    facts = facts_of(built, run_id)
    assert [(item.asset_key, item.end, item.checks) for item in facts.checked] == [("dim_batch", "FAIL", ())]
    assert "warehouse" in facts.checked[0].error
    assert told(built, run_id) == [("lakehouse", "START"), ("lakehouse", "FAIL")]
    after = graph_of(built)
    assert after.datasets == before.datasets
    same_but_verdicts(before, after)
    assert after.jobs[JobId("lakehouse", "lakehouse.checks.dim_batch")].latest.state == "FAILED"


@asset
def checked_thing() -> None:
    """Built by an earlier run."""


@asset_check(asset=checked_thing)
def is_fine() -> AssetCheckResult:
    return AssetCheckResult(passed=True)


@asset_check(asset=checked_thing)
def is_interrupted() -> AssetCheckResult:
    raise DagsterExecutionInterruptedError


@pytest.mark.parametrize(("who", "end"), [(names.BY_COMMAND, "ABORT"), ("worker", "FAIL")])
def test_checks_that_were_not_reached_are_told_as_aborted(who, end):
    wanted = AssetSelection.checks_for_assets(checked_thing)
    defs = Definitions(
        [checked_thing], asset_checks=[is_fine, is_interrupted], jobs=[define_asset_job("only", selection=wanted)]
    )
    with DagsterInstance.ephemeral() as instance:
        run_id = (
            defs.resolve_job_def("only")
            .execute_in_process(instance=instance, tags={names.TAG_STARTED_BY: who}, raise_on_error=False)
            .run_id
        )
        facts = run_facts(instance, instance.get_run_record_by_id(run_id), PAGE)
    assert (facts.end, facts.assets) == (end, ())
    assert {(item.step_key, item.end) for item in facts.checked} == {
        ("checked_thing_is_fine", "COMPLETE"),
        ("checked_thing_is_interrupted", end),
    }
