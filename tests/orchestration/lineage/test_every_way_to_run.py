"""Worker, page and schedule: other processes, other tags, and the same facts through the same mapper."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from dagster import DagsterInstance, DagsterRunStatus, asset, job, materialize, op
from platforms import CLI, Platform, a_platform
from recorded import ORDER, PAGE, by_key, ends, facts_of, told

from lakehouse.postgres import ready
from orchestration import names
from orchestration.lineage.records import run_facts, started_by

LAUNCH = """
mutation { launchRun(executionParams: {
  selector: {repositoryLocationName: "lakehouse", repositoryName: "__repository__", jobName: "nightly_pipeline"},
  runConfigData: {}
}) { __typename ... on LaunchRunSuccess { run { runId } } } }
"""


@asset
def thing() -> None:
    """An asset to materialize."""


@op
def nothing() -> None:
    """Something to run."""


@job
def idle() -> None:
    """A job to make runs of."""
    nothing()


@contextlib.contextmanager
def service(platform: Platform, command: str, until: str) -> Iterator[None]:
    """A long-lived command, from when it says that it is ready."""
    log = platform.home.parent / f"{command}.txt"
    with log.open("w") as output:
        process = subprocess.Popen(
            [str(CLI), command], env=platform.environment, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        _until(lambda: until in log.read_text() or process.poll() is not None, 200)
        assert process.poll() is None, log.read_text()
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(90)


def _until(condition, seconds: float):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it did not happen within {seconds:.0f} s"
        time.sleep(0.2)
    return found


def _mapped(platform: Platform) -> list[str]:
    return [row[0] for row in platform.state("select run_id from data_platform.lineage_runs where events > 0")]


def _all_of_it(platform: Platform, run_id: str) -> None:
    """What every complete run of the whole pipeline tells, however it was started."""
    facts = facts_of(platform, run_id)
    assert [item.asset_key for item in facts.assets] == list(ORDER)
    assert set(ends(facts).values()) == {"COMPLETE"}
    assert all(item.output.rows and item.checks for item in facts.assets)
    assert all(facts.started_at <= item.started_at <= item.ended_at <= facts.ended_at for item in facts.assets)
    children = [(key, kind) for key in ORDER for kind in ("START", "COMPLETE")]
    assert told(platform, run_id) == [("lakehouse", "START"), *children, ("lakehouse", "COMPLETE")]


def test_a_workers_run_is_told_by_its_own_thread(platform):
    platform.sample("--batches", "2", "--scale", "0.02", "--seed", "4")
    with ready(platform.settings), service(platform, "worker", "Watching"):
        [run_id] = _until(lambda: _mapped(platform), 200)
    facts = facts_of(platform, run_id)
    assert (facts.started_by, facts.job) == ("worker", names.FILES_JOB)
    assert facts.tags["lakehouse/source"] == "bioreactor"
    assert by_key(facts)["raw_bioreactor_data"].facts["files_new"] == int(facts.tags["lakehouse/files"])
    _all_of_it(platform, run_id)


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_a_run_from_the_page_is_told_like_any_other():
    with a_platform() as platform:
        platform.sample("--batches", "2", "--scale", "0.02", "--seed", "4")
        own = platform.run()["run_id"]
        with service(platform, "up", "Ctrl-C stops everything"):
            request = urllib.request.Request(
                f"http://127.0.0.1:{platform.variables['LAKEHOUSE_WEBSERVER_PORT']}/graphql",
                json.dumps({"query": LAUNCH}).encode(),
                {"Content-Type": "application/json"},
            )
            with urllib.request.urlopen(request, timeout=60) as answer:
                run_id = json.load(answer)["data"]["launchRun"]["run"]["runId"]
            _until(lambda: run_id in _mapped(platform), 300)
        assert facts_of(platform, run_id).started_by == "page"
        _all_of_it(platform, run_id)
        first, second = by_key(facts_of(platform, own)), by_key(facts_of(platform, run_id))
        for key in ORDER:
            assert first[key].columns == second[key].columns
            assert first[key].output.rows == second[key].output.rows


@pytest.mark.parametrize(
    ("tags", "who"),
    [
        ({}, "page"),
        ({"dagster/schedule_name": "nightly_pipeline_schedule"}, "schedule"),
        ({"dagster/sensor_name": "raw_file_sensor"}, "sensor"),
        ({names.TAG_STARTED_BY: "worker"}, "worker"),
    ],
)
def test_who_started_a_run_is_told_by_its_tags(tags, who):
    with DagsterInstance.ephemeral() as instance:
        run = instance.create_run_for_job(idle, tags=tags)
        assert started_by(run) == who
        again = instance.create_run_for_job(
            idle, tags=tags, parent_run_id=run.run_id, root_run_id=run.run_id, status=DagsterRunStatus.STARTED
        )
        assert started_by(again) == "page", "a re-execution inherits tags, but somebody asked for it"


@pytest.mark.parametrize(
    ("tags", "start", "end"),
    [
        (
            {".dagster/scheduled_execution_time": "2026-11-20T02:00:00+00:00"},
            datetime(2026, 11, 20, 2, tzinfo=UTC),
            None,
        ),
        (
            {"dagster/partition": "2026-11-19"},
            datetime(2026, 11, 19, tzinfo=UTC),
            datetime(2026, 11, 20, tzinfo=UTC),
        ),
        ({"dagster/partition": "north"}, None, None),
        ({}, None, None),
    ],
)
def test_the_nominal_time_is_the_schedules_moment_or_the_partitions_day(tags, start, end):
    with DagsterInstance.ephemeral() as instance:
        run_id = materialize([thing], instance=instance, tags=tags).run_id
        record = instance.get_run_record_by_id(run_id)
        facts = run_facts(instance, record, PAGE)
    assert (facts.nominal_start, facts.nominal_end) == (start, end)
    assert [item.partition for item in facts.assets] == [tags.get("dagster/partition")]
