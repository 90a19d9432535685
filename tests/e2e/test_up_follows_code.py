"""``lakehouse up`` takes up changed code by itself: no run is interrupted, and what is broken is told on the page."""

from __future__ import annotations

import subprocess
import time

import pytest
from figures import SMALL
from platforms import copy_of_checkout

from benchmarks.places import LAKEHOUSE
from benchmarks.processes import BenchmarkError
from benchmarks.up import Up, an_up
from lakehouse.duckdb.lock import exclusive

pytestmark = [pytest.mark.prove, pytest.mark.timeout(1500)]

SELECTOR = '{repositoryLocationName: "lakehouse", repositoryName: "__repository__", jobName: "nightly_pipeline"}'
LAUNCH = f"mutation {{ launchRun(executionParams: {{selector: {SELECTOR}, runConfigData: {{}}}}) {{ " + (
    "__typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"
)
DESCRIPTION = '{ assetNodes(assetKeys: [{path: ["mart_bioreactor_overview"]}]) { description } }'
TROUBLE = '{ workspaceLocationEntryOrError(name: "lakehouse") { ... on WorkspaceLocationEntry { ' + (
    "locationOrLoadError { ... on PythonError { message errorChain { error { message } } } } } } }"
)
ANEW = "code has changed: code server started anew"


@pytest.fixture(scope="module")
def up(tmp_path_factory):
    with an_up() as started:
        started.checkout = copy_of_checkout(tmp_path_factory.mktemp("code") / "checkout")
        for command in (("sample", "bioreactor", *SMALL), ("run",)):
            subprocess.run([LAKEHOUSE, *command], env=started.environment, check=True, capture_output=True)
        started.start()
        started.until("everything works", started.all_up)
        started.until("the pages list the assets", started.pages_answer)
        yield started


def _described(up: Up) -> str:
    nodes = up.ask(DESCRIPTION).get("assetNodes") or []
    return "".join(node["description"] or "" for node in nodes)


def _status(up: Up, run_id: str) -> str:
    return up.ask(f'{{ runOrError(runId: "{run_id}") {{ ... on Run {{ status }} }} }}')["runOrError"]["status"]


def test_a_changed_model_is_on_the_page_when_the_run_that_goes_on_has_ended(up):
    word = f"CHANGED {time.time_ns()}"  # another one where this is tried again
    former = up.services()["code server"]["pid"]
    said = up.output.read_text().count(ANEW)
    with exclusive(up.settings.warehouse, "a test", timeout=60):
        launched = up.ask(LAUNCH)["launchRun"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run_id = launched["run"]["runId"]
        up.until("the run is under way", lambda: _status(up, run_id) == "STARTED", seconds=240)
        model = up.checkout / "dbt_project/models/marts/bioreactor/mart_bioreactor_overview.yml"
        model.write_text(model.read_text().replace("Everything a dashboard", f"{word}: Everything a dashboard", 1))
        with pytest.raises(BenchmarkError, match="it is started anew: not within 25 s"):
            up.until("it is started anew", lambda: up.output.read_text().count(ANEW) > said, seconds=25)
        assert (_status(up, run_id), up.services()["code server"]["pid"]) == ("STARTED", former)
    up.until("the run has ended", lambda: _status(up, run_id) in {"SUCCESS", "FAILURE", "CANCELED"}, seconds=240)
    assert _status(up, run_id) == "SUCCESS"
    up.until("the page has the new description", lambda: word in _described(up), seconds=240)
    assert up.output.read_text().count(ANEW) == said + 1
    assert up.services()["code server"]["pid"] != former


def test_broken_code_is_told_on_the_page_by_one_process_until_it_is_mended(up):
    jobs = up.checkout / "orchestration/jobs.py"
    good = jobs.read_text()
    said = up.output.read_text().count(ANEW)
    jobs.write_text(good + "\nnot_defined_anywhere\n")

    def trouble() -> str:
        found = up.ask(TROUBLE).get("workspaceLocationEntryOrError", {}).get("locationOrLoadError") or {}
        return " ".join([found.get("message", ""), *(item["error"]["message"] for item in found.get("errorChain", []))])

    try:
        up.until("the page tells what is wrong", lambda: "not_defined_anywhere" in trouble(), seconds=240)
        up.until("the code server works", lambda: up.services()["code server"]["state"] == "up", seconds=240)
        broken = up.services()["code server"]["pid"]
        with pytest.raises(BenchmarkError, match="it is another process: not within 25 s"):
            up.until("it is another process", lambda: up.services()["code server"]["pid"] != broken, seconds=25)
    finally:
        jobs.write_text(good)
    up.until("the pages list the assets", up.pages_answer, seconds=240)
    assert up.output.read_text().count(ANEW) == said + 2
