"""Runs that did not go well: each failed model has its own error, what was not reached is known as such."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from dagster import DagsterExecutionInterruptedError, DagsterInstance, DagsterRunStatus, asset, materialize
from platforms import CLI, Platform, a_platform, copy_of_checkout
from recorded import ORDER, PAGE, by_key, ends, events_of, facts_of, held, newest_run, opened, told

from lakehouse.state import NOT_REACHED
from lineage.facts import RunFacts
from orchestration import names, reaper
from orchestration.lineage.mapping import map_ended_runs
from orchestration.lineage.records import CANCELLED, INTERRUPTED, run_facts

SMALL = ("--batches", "3", "--scale", "0.05", "--seed", "4")


def begun(platform: Platform, until: str, *args: str, **variables: str) -> subprocess.Popen[str]:
    """``lakehouse run``, as far as it says this."""
    child = subprocess.Popen(
        [str(CLI), "run", *args],
        env={**platform.environment, **variables},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in child.stderr:
        if until in line:
            return child
    raise AssertionError(f"it never said {until!r}")


@pytest.fixture(scope="module")
def sampled():
    """A platform with files that nothing was built from yet; tests of failures leave it so."""
    with a_platform() as platform:
        platform.sample(*SMALL)
        yield platform


@pytest.fixture
def altered(sampled, tmp_path):
    """Run the pipeline, over all rows, from a checkout of altered models: model → what comes before its order."""

    def run(**changes: str) -> RunFacts:
        checkout = copy_of_checkout(tmp_path / "checkout")
        for model, text in changes.items():
            [path] = (checkout / "dbt_project").rglob(f"{model}.sql")
            head, order, tail = path.read_text().rpartition("\norder by ")
            path.write_text(f"{head}\n{text}{order}{tail}")
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "lakehouse.cli.main",
                "run",
                "--json",
                "--quiet",
                "--accept-stale",
                "--full-refresh",
            ],
            env={**sampled.environment, "PYTHONPATH": str(checkout)},
            cwd=checkout,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 1, done.stdout + done.stderr
        return facts_of(sampled, json.loads(done.stdout)["run_id"])

    return run


@pytest.mark.prove
def test_each_failed_model_has_its_own_error_and_keeps_its_edges(sampled, altered):
    """Two models of one step fail; a third, the mart, is not reached."""
    facts = altered(
        dim_batch="where error('first broke') is null",
        fact_bioreactor_batch_stats="where error('second broke') is null",
    )
    assets = by_key(facts)
    assert ends(facts) == dict.fromkeys(ORDER[:4], "COMPLETE") | {
        "dim_batch": "FAIL",
        "fact_bioreactor_batch_stats": "FAIL",
        "mart_bioreactor_overview": "ABORT",
    }
    for model, own, other in (
        ("dim_batch", "first broke", "second"),
        ("fact_bioreactor_batch_stats", "second broke", "first broke"),
    ):
        asset = assets[model]
        assert own in asset.error
        assert other not in asset.error
        assert f"error('{own}')" in asset.sql
        assert facts.started_at < asset.started_at < asset.ended_at < facts.ended_at
    assert assets["mart_bioreactor_overview"].error == NOT_REACHED
    assert facts.end == "FAIL"
    assert "2 model(s) failed" in facts.error
    assert assets["stg_bioreactor"].facts["full_refresh"] is True
    events = {
        (event.job.removeprefix("lakehouse."), event.type): event.body for event in events_of(sampled, facts.run_id)
    }
    failed = events["dim_batch", "FAIL"]
    assert "first broke" in failed["run"]["facets"]["errorMessage"]["message"]
    assert failed["inputs"], "its edges are kept"
    assert [item["name"] for item in failed["outputs"]] == ["lakehouse.curated.dim_batch"]
    assert events["mart_bioreactor_overview", "ABORT"]["inputs"]
    assert told(sampled, facts.run_id)[-1] == ("lakehouse", "FAIL")


@pytest.mark.prove
def test_what_dbt_skipped_in_the_step_of_a_failed_model_is_aborted(altered):
    assets = by_key(altered(int_bioreactor_downsample_5m="where error('broke') is null"))
    assert {key: assets[key].end for key in ORDER[3:]} == {
        "int_bioreactor_downsample_5m": "FAIL",
        "dim_batch": "ABORT",
        "fact_bioreactor_batch_stats": "ABORT",
        "mart_bioreactor_overview": "ABORT",
    }
    assert {assets[key].error for key in ORDER[4:]} == {NOT_REACHED}


@pytest.mark.prove
def test_a_failed_check_is_told_and_what_it_holds_up_is_aborted_by_run_and_gate(sampled, altered):
    facts = altered(dim_batch="cross join range(2) as twice")
    assets = by_key(facts)
    assert assets["dim_batch"].end == "COMPLETE", "it is there"
    [check] = [item for item in assets["dim_batch"].checks if not item.passed and item.severity == "error"]
    assert check.name == "unique_combination_dim_batch_batch_id"
    assert check.message
    assert (assets["mart_bioreactor_overview"].end, assets["mart_bioreactor_overview"].error) == ("ABORT", NOT_REACHED)
    assert facts.end == "FAIL"

    refused = facts_of(sampled, sampled.run("--select", "dbt_postgres_marts", code=6)["run_id"])
    assert ends(refused) == {"mart_bioreactor_overview": "ABORT"}
    assert "check unique_combination_dim_batch_batch_id failed" in by_key(refused)["mart_bioreactor_overview"].error
    assert refused.end == "FAIL"


def test_an_empty_drop_zone_says_nothing_about_data(platform):
    run_id = platform.run()["run_id"]
    facts = facts_of(platform, run_id)
    assert (facts.end, facts.assets) == ("COMPLETE", ())
    assert events_of(platform, run_id) == []
    assert platform.state("select events, error from data_platform.lineage_runs") == [(0, None)]


def test_a_retry_is_an_attempt_of_its_own(sampled):
    with held(sampled) as holder:
        child = begun(
            sampled,
            "Trying again in",
            "--accept-stale",
            "--full-refresh",
            "--retry-delay",
            "1",
            LAKEHOUSE_LOCK_TIMEOUT_SECONDS="1",
        )
        holder.kill()
        assert child.wait(120) == 0, child.stderr.read()
    facts = facts_of(sampled, newest_run(sampled))
    staging = [asset for asset in facts.assets if asset.asset_key == "stg_bioreactor"]
    first, second = sorted(staging, key=lambda asset: asset.attempt)
    assert [(asset.attempt, asset.end) for asset in (first, second)] == [(0, "FAIL"), (1, "COMPLETE")]
    assert "warehouse" in first.error
    assert first.ended_at <= second.started_at
    assert facts.end == "COMPLETE"
    run_ids = {
        event.body["run"]["runId"]
        for event in events_of(sampled, facts.run_id)
        if event.job == "lakehouse.stg_bioreactor"
    }
    assert len(run_ids) == 2, "two runs of the job in the lineage"
    assert [kind for job, kind in told(sampled, facts.run_id) if job == "stg_bioreactor"] == [
        "START",
        "FAIL",
        "START",
        "COMPLETE",
    ]


@pytest.mark.prove
def test_a_cancelled_run_is_aborted_with_all_it_did_not_finish(sampled):
    with held(sampled):
        child = begun(sampled, "Waiting for the warehouse", "--accept-stale", "--full-checks")
        run_id = newest_run(sampled)
        with opened(sampled) as instance:  # as a page does before it signals the process
            instance.report_run_canceling(instance.get_run_by_id(run_id))
        child.send_signal(signal.SIGINT)
        child.wait(60)
    facts = facts_of(sampled, run_id)
    assert facts.end == "ABORT"
    assets = by_key(facts)
    assert assets.pop("raw_bioreactor_data").end == "COMPLETE"
    assert {asset.end for asset in assets.values()} == {"ABORT"}
    assert {asset.error for asset in assets.values()} == {CANCELLED}
    sampled.run("--select", "raw")
    assert told(sampled, run_id)[-1] == ("lakehouse", "ABORT"), "the next command told of it"


def test_a_run_ended_with_ctrl_c_is_aborted_and_shown_as_such(sampled):
    with held(sampled):
        child = begun(sampled, "Waiting for the warehouse", "--accept-stale", "--full-checks")
        run_id = newest_run(sampled)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=60)
        assert child.returncode == 1
    assert "Failed: It was interrupted. What was finished is kept; the next run does the rest." in said
    assert "Stack Trace" not in said
    with opened(sampled) as instance:
        assert instance.get_run_by_id(run_id).status is DagsterRunStatus.FAILURE, "Dagster knows no better"
    facts = facts_of(sampled, run_id)
    assert (facts.end, facts.error) == ("ABORT", INTERRUPTED)
    assets = by_key(facts)
    assert assets.pop("raw_bioreactor_data").end == "COMPLETE"
    assert {(asset.end, asset.error) for asset in assets.values()} == {("ABORT", INTERRUPTED)}
    assert {kind for _, kind in told(sampled, run_id)} == {"START", "COMPLETE", "ABORT"}
    assert told(sampled, run_id)[-1] == ("lakehouse", "ABORT")
    shown = sampled.call("lineage", "show", "stg_bioreactor", "--depth", "1")
    assert shown.returncode == 0, shown.stderr
    assert "stg_bioreactor  staging · aborted" in shown.stdout
    page = sampled.home / "lineage.html"
    assert sampled.call("lineage", "open", "--output", str(page)).returncode == 0
    data = json.loads(re.search(r"<script[^>]*application/json[^>]*>(.*?)</script>", page.read_text())[1])
    [runs] = (job["runs"] for job in data["jobs"] if job["name"] == "stg_bioreactor")
    assert (runs[0]["dagster"], runs[0]["state"], runs[0]["error"]) == (run_id, "ABORTED", INTERRUPTED)


@asset
def broken() -> None:
    """Fails by itself."""
    raise ValueError("its own fault")


@asset
def interrupted() -> None:
    """Is being built when somebody presses Ctrl-C."""
    raise DagsterExecutionInterruptedError


@asset(deps=[interrupted])
def below() -> None:
    """Is not reached."""


@pytest.mark.parametrize(
    ("who", "end"), [(names.BY_COMMAND, "ABORT"), ("worker", "FAIL")], ids=["a command", "the worker"]
)
def test_an_interruption_is_a_persons_where_a_command_executes_the_run(who, end):
    with DagsterInstance.ephemeral() as instance:
        run_id = materialize(
            [broken, interrupted, below],
            instance=instance,
            tags={names.TAG_STARTED_BY: who},
            raise_on_error=False,
        ).run_id
        facts = run_facts(instance, instance.get_run_record_by_id(run_id), PAGE)
    assert facts.end == end
    assert ends(facts) == {"broken": "FAIL", "interrupted": end, "below": "ABORT"}
    assets = by_key(facts)
    assert assets["broken"].error == "its own fault"
    assert assets["below"].error == (INTERRUPTED if end == "ABORT" else NOT_REACHED)


@pytest.mark.prove
def test_a_killed_run_is_failed_by_the_reaper_and_told_with_its_reason(sampled):
    with held(sampled):
        child = begun(sampled, "Waiting for the warehouse", "--accept-stale", "--full-checks")
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
    run_id = newest_run(sampled)
    with opened(sampled) as instance:
        assert map_ended_runs(instance, sampled.settings) == 0, "for Dagster it is still running"
        assert reaper.reap(instance, sampled.settings) == [run_id]
        assert map_ended_runs(instance, sampled.settings) == 1
    facts = facts_of(sampled, run_id)
    assert (facts.end, facts.error) == ("FAIL", reaper.KILLED)
    assets = by_key(facts)
    assert assets["raw_bioreactor_data"].end == "COMPLETE"
    for key in ("stg_bioreactor", "stg_bioreactor__files"):
        assert (assets[key].end, assets[key].error) == ("FAIL", reaper.KILLED)
    for key in ORDER[3:]:
        assert (assets[key].end, assets[key].error) == ("ABORT", NOT_REACHED)
    assert told(sampled, run_id)[-1] == ("lakehouse", "FAIL")


def test_files_beyond_the_threshold_fail_their_asset_with_the_reason(platform):
    platform.sample(*SMALL)
    good = sorted(platform.drop_zone.glob("*.parquet"))[0]
    for number in range(9):
        Path(platform.drop_zone / f"BAD{number}.parquet").write_text("no parquet")
    shutil.copy(good, platform.drop_zone / "B900.parquet")
    failed = platform.run("--accept-stale", code=1)
    raw = by_key(facts_of(platform, failed["run_id"]))["raw_bioreactor_data"]
    assert raw.end == "FAIL"
    assert "quarantine" in raw.error.lower()
    assert raw.facts["files_quarantined"] == 9
    assert raw.output.files >= 1, "the good ones are there all the same"
