"""``lakehouse up`` for real: pages, sensor, a run from the page beside one from the terminal, a clean end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.request
from pathlib import Path

import pandas as pd
import pytest
from figures import SMALL
from platforms import CLI, Platform, a_platform

from lakehouse.services import record

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600)]

LAUNCH = """
mutation Launch($job: String!) {
  launchRun(executionParams: {
    selector: {repositoryLocationName: "lakehouse", repositoryName: "__repository__", jobName: $job}, runConfigData: {}
  }) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } }
}
"""
CHECK_ONLY = """
mutation Launch($asset: String!, $check: String!) {
  launchRun(executionParams: {
    selector: {
      repositoryLocationName: "lakehouse", repositoryName: "__repository__", jobName: "__ASSET_JOB",
      assetSelection: [], assetCheckSelection: [{assetKey: {path: [$asset]}, name: $check}]
    }, runConfigData: {}
  }) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } }
}
"""
STATE = "query State($id: ID!) { runOrError(runId: $id) { ... on Run { status jobName } } }"
AUTOMATION = """
query { repositoryOrError(repositorySelector: {repositoryLocationName: "lakehouse", repositoryName: "__repository__"}) {
  ... on Repository {
    schedules { name cronSchedule scheduleState { status } } sensors { name sensorState { status } }
} } }
"""


def _until(condition, seconds: float):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it did not happen within {seconds:.0f} s"
        time.sleep(0.5)
    return found


def _processes_of(platform: Platform) -> list[str]:
    """Command lines of all processes that have this platform's data folder in their environment."""
    mine = f"LAKEHOUSE_DATA_DIR={platform.home}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mine in (process / "environ").read_bytes() and int(process.name) != os.getpid():
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


class Up:
    """A running ``lakehouse up``."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.log = platform.home.parent / "up.txt"
        with self.log.open("w") as output:
            self.process = subprocess.Popen(
                [str(CLI), "up"], env=platform.environment, stdout=output, stderr=subprocess.STDOUT
            )
        _until(lambda: self.process.poll() is not None or "Ctrl-C stops everything" in self.log.read_text(), 120)
        assert self.process.poll() is None, self.log.read_text()
        self.page = f"http://127.0.0.1:{platform.variables['LAKEHOUSE_WEBSERVER_PORT']}"

    def ask(self, query: str, **variables: str) -> dict:
        body = json.dumps({"query": query, "variables": variables}).encode()
        request = urllib.request.Request(f"{self.page}/graphql", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def run_ended(self, run_id: str) -> str | None:
        status = self.ask(STATE, id=run_id)["runOrError"]["status"]
        return status if status in {"SUCCESS", "FAILURE", "CANCELED"} else None


@pytest.fixture(scope="module")
def up():
    with a_platform() as platform:
        platform.variables["LAKEHOUSE_SENSOR_INTERVAL_SECONDS"] = "5"
        platform.sample(*SMALL)
        platform.run()
        started = Up(platform)
        yield started
        if started.process.poll() is None:
            started.process.send_signal(signal.SIGINT)
            started.process.wait(60)


def test_the_page_answers_and_schedule_and_sensor_are_on(up):
    with urllib.request.urlopen(up.page, timeout=30) as answer:
        assert b"Dagster" in answer.read()
    repository = up.ask(AUTOMATION)["repositoryOrError"]
    assert repository["schedules"] == [
        {
            "name": "nightly_pipeline_schedule",
            "cronSchedule": "0 2 * * *",
            "scheduleState": {"status": "RUNNING"},
        }
    ]
    assert {(sensor["name"], sensor["sensorState"]["status"]) for sensor in repository["sensors"]} >= {
        ("raw_file_sensor", "RUNNING"),
        ("run_upkeep", "RUNNING"),
    }


def test_dropped_files_reach_the_mart_in_one_run_by_the_sensor(up):
    source = pd.read_parquet(sorted(up.platform.drop_zone.glob("*.parquet"))[0])
    staged = up.platform.home.parent / "staged"  # renamed into the zone together, however slow writing is
    staged.mkdir(exist_ok=True)
    for number in range(20):
        source.assign(batch_id=f"S{number:03}").to_parquet(staged / f"S{number:03}.parquet", index=False)
    for path in staged.iterdir():
        path.rename(up.platform.drop_zone / path.name)
    partial = up.platform.drop_zone / ".still-written.parquet"
    partial.write_bytes(b"PAR1")
    served = "select count(distinct batch_id) as n from marts.mart_bioreactor_overview where batch_id like 'S%'"
    _until(lambda: up.platform.query(served) == [{"n": 20}], 120)
    runs = up.ask(
        'query { runsOrError(filter: {pipelineName: "file_arrival"}) { ... on Runs { results { status } } } }'
    )
    assert 1 <= len(runs["runsOrError"]["results"]) <= 2, (
        "twenty files are one run, or two when a tick fell between them"
    )


def test_a_run_from_the_page_and_one_from_the_terminal_queue(up):
    launched = up.ask(LAUNCH, job="nightly_pipeline")["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    done = up.platform.call("run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert _until(lambda: up.run_ended(launched["run"]["runId"]), 180) == "SUCCESS"


def test_a_single_check_can_be_executed_from_the_page(up):
    for path, check in (("raw_bioreactor_data", "fresh"), ("dim_batch", "unique_combination_dim_batch_batch_id")):
        launched = up.ask(CHECK_ONLY, asset=path, check=check)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        assert _until(lambda run_id=launched["run"]["runId"]: up.run_ended(run_id), 120) == "SUCCESS"


def test_a_second_up_is_refused_with_the_first_ones_page(up):
    second = up.platform.call("up")
    assert second.returncode == 5
    assert f"process {up.process.pid}" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_killed_run_process_is_failed_and_the_next_run_succeeds(up):
    holder = subprocess.Popen(
        [
            os.sys.executable,
            "-c",
            "import sys,time\nfrom pathlib import Path\nfrom lakehouse.duckdb.lock import exclusive\n"
            "with exclusive(Path(sys.argv[1]), 'test', timeout=60):\n  print('held', flush=True); time.sleep(600)",
            str(up.platform.settings.warehouse),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert holder.stdout.readline() == "held\n"
    run_id = up.ask(LAUNCH, job="nightly_pipeline")["launchRun"]["run"]["runId"]

    def process_of_run() -> int | None:
        rows = up.platform.state(f"select process from data_platform.run_heartbeats where run_id = '{run_id}'")
        return int(rows[0][0].split()[3]) if rows and rows[0][0] else None

    try:
        os.kill(_until(process_of_run, 120), signal.SIGKILL)
        # Whoever notices first, the code server or our reaper.
        assert _until(lambda: up.run_ended(run_id), 180) == "FAILURE"
    finally:  # not to keep the warehouse from the tests that follow
        holder.kill()
        holder.wait()
    done = up.platform.call("run")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_process_with_the_code_dies_and_the_page_takes_runs_again(up):
    (leader,) = (item["pid"] for item in record.read(up.platform.settings) if item["name"] == "code server")
    os.kill(leader, signal.SIGKILL)

    def launched() -> str | None:
        try:
            answer = up.ask(LAUNCH, job="nightly_pipeline")["launchRun"]
        except (OSError, TypeError, KeyError):  # what the page answers while its code server is ending
            return None
        return answer["run"]["runId"] if answer["__typename"] == "LaunchRunSuccess" else None

    run_id = _until(launched, 120)
    assert "code server ended by SIGKILL" in up.log.read_text(), "its end itself was noticed, not its silence"
    assert _until(lambda: up.run_ended(run_id), 180) == "SUCCESS"


def test_ctrl_c_ends_everything_and_leaves_no_orphan(up):
    assert any("dagster" in command for command in _processes_of(up.platform))
    up.process.send_signal(signal.SIGINT)
    assert up.process.wait(60) == 0, up.log.read_text()
    assert "nothing is left running" in up.log.read_text()
    assert _processes_of(up.platform) == []
