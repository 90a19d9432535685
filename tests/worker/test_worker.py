"""A real worker process on a real platform: from file to mart, bursts, stops, trouble, and who takes what."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest
from dagster import DagsterInstance, RunRequest
from platforms import a_platform, copy_of_checkout
from working import drop, until, working

from ingestion.declarations import load
from lakehouse.duckdb.lock import exclusive
from lakehouse.postgres import embedded

STATE = "select status, count(*) from data_platform.ingestion_runs where file_key like %s group by 1"


@pytest.mark.timeout(600)
def test_a_dropped_file_is_in_the_mart_and_status_tells_of_the_worker(platform):
    with working(platform) as worker:
        worker.drop("A001")
        worker.wait_for("A001")
        until(lambda: worker.beat()[:4] == ("idle", 1, 0, 1), 60, "the report of the run")
        [(run_id, status)] = worker.runs()
        assert status == "SUCCESS"
        tags = dict(worker.ask("select key, value from run_tags where run_id = %s", run_id))
        assert tags["lakehouse/started_by"] == "worker"
        assert (tags["lakehouse/source"], tags["lakehouse/files"]) == ("bioreactor", "1")
        [(seconds, files)] = worker.ask(
            "select value, labels->>'files' from data_platform.platform_health_metrics"
            " where metric = 'file_to_mart_seconds' and labels->>'run_id' = %s",
            run_id,
        )
        assert files == "1"
        assert 0 < seconds < 60
        shown = platform.call("status", "--json").stdout
        assert '"state": "running"' in shown
        assert f'"last_run": "{run_id}"' in shown
        assert '"files_waiting": 0' in shown
        second = platform.call("worker")
        assert second.returncode == 5
        assert f"process {worker.process.pid}" in second.stderr
        assert worker.stop() == 0
        assert worker.beat()[0] == "stopped"


@pytest.fixture(scope="module")
def worker():
    """One worker for the proofs that leave it well."""
    with a_platform() as platform, working(platform) as found:
        found.drop("WARM")
        found.wait_for("WARM")
        yield found


@pytest.mark.prove
@pytest.mark.timeout(300)
def test_a_burst_of_a_thousand_files_is_a_few_runs(worker):
    before = len(worker.runs())
    staged = worker.platform.drop_zone.parent / "_staged"
    files = [drop(staged, f"B{number:04}", rows=9) for number in range(1000)]
    for file in files:
        file.rename(worker.platform.drop_zone / file.name)
    worker.wait_for("B", 1000, seconds=200)
    until(lambda: worker.beat()[0] == "idle", 60, "the end of the last run")
    assert 1 <= len(worker.runs()) - before <= 5
    assert worker.ask(STATE, "%/B%") == [("accepted", 1000)]


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_what_arrives_during_a_run_is_in_the_next(worker):
    before = len(worker.runs())
    with exclusive(worker.settings.warehouse, "a test", timeout=60):
        worker.drop("C001")
        until(lambda: len(worker.runs()) > before, 120, "the first run")
        until(lambda: worker.ask(STATE, "%/C001%"), 120, "its ingestion")
        worker.drop("C002")
        time.sleep(1)
        assert worker.served("C") == 0
    worker.wait_for("C", 2)
    until(lambda: worker.beat()[0] == "idle", 120, "the end of the last run")
    assert len(worker.runs()) - before == 2


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_a_file_written_slowly_in_place_is_taken_when_its_writer_closes_it(worker):
    whole = drop(worker.platform.drop_zone.parent / "_staged", "D001", rows=3000).read_bytes()
    before = len(worker.runs())
    with (worker.platform.drop_zone / "D001.parquet").open("wb") as stream:
        for begin in range(0, len(whole), len(whole) // 8):
            stream.write(whole[begin : begin + len(whole) // 8])
            stream.flush()
            time.sleep(0.5)
        assert len(worker.runs()) == before
    worker.wait_for("D001")
    assert worker.ask(STATE, "%/D001%") == [("accepted", 1)]


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_a_run_beside_the_worker_and_the_worker_take_a_file_once(worker):
    """Both start at once for the same files; the ledger decides, and the loser finds nothing new."""
    for number in range(3):
        beside = threading.Thread(target=lambda: worker.platform.run("--accept-stale"))
        beside.start()
        time.sleep(2 + number)
        worker.drop(f"E{number:03}")
        beside.join()
    worker.wait_for("E", 3)
    assert worker.ask(STATE, "%/E%") == [("accepted", 3)]
    doubled = "select count(*) - count(distinct (batch_id, parameter)) as n from marts.mart_bioreactor_overview"
    assert worker.platform.query(doubled) == [{"n": 0}]


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_the_sensor_leaves_everything_to_a_worker_that_beats_and_takes_over_from_one_that_hangs(worker, monkeypatch):
    from orchestration.sensors import request, watched_by_worker

    settings = worker.settings
    until(lambda: worker.beat()[0] == "idle", 60, "it rests")
    assert "takes what arrives" in (watched_by_worker(settings) or "")
    os.kill(worker.process.pid, signal.SIGSTOP)
    try:
        worker.drop("F001")
        until(lambda: watched_by_worker(settings) is None, 120, "its silence counts")
        monkeypatch.setenv("DAGSTER_HOME", str(settings.dagster_home))
        with DagsterInstance.get() as instance:
            answer = request(instance, load("bioreactor"), [], settings)
        assert isinstance(answer, RunRequest)
        assert answer.tags["lakehouse/files"] == "1"
    finally:
        os.kill(worker.process.pid, signal.SIGCONT)
    worker.wait_for("F001")
    assert watched_by_worker(settings) is not None


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_a_postgres_that_dies_is_waited_for_and_work_goes_on(platform):
    with working(platform) as worker:
        worker.drop("G000")
        worker.wait_for("G000")
        os.kill(embedded.status(worker.settings).pid, signal.SIGKILL)
        worker.drop("G001")
        sql = "select count(distinct batch_id) as n from marts.mart_bioreactor_overview where batch_id = 'G001'"
        until(lambda: platform.call("query", "--marts", "--json", sql).stdout.find('"n": 1') > 0, 240, "it", every=2)
        assert worker.process.poll() is None
        assert "Watching" in worker.text
        assert worker.text.count("Cannot work now") <= 2, "trouble is said once, not at every try"


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_told_to_stop_in_the_middle_of_a_run_it_fails_the_run_with_a_reason_and_leaves(platform):
    platform.variables["LAKEHOUSE_WORKER_STOP_SECONDS"] = "1"
    with working(platform) as worker:
        worker.drop("H000")
        worker.wait_for("H000")
        until(lambda: worker.beat()[0] == "idle", 120)
        with exclusive(worker.settings.warehouse, "a test", timeout=60):
            worker.drop("H001")
            until(lambda: worker.ask(STATE, "%/H001%"), 120, "its ingestion")
            run_id, status = worker.runs()[-1]
            assert status == "STARTED"
            assert worker.stop(60) == 0, "it does not wait for the run, which waits for the warehouse"
        assert worker.runs()[-1] == (run_id, "FAILURE")
        assert worker.beat()[0] == "stopped"
        why = worker.ask("select message from data_platform.alert_history where subject = %s", run_id)
        assert any("told to stop" in message for (message,) in why), why
        assert worker.ask("select count(*) from data_platform.run_heartbeats where run_id = %s", run_id) == [(0,)]
        done = platform.run()
    assert platform.status_of(done)["mart_bioreactor_overview"] == "built"


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_a_changed_model_is_used_without_a_hand(platform, tmp_path):
    """The worker runs from a copy of the checkout, in which a mart gets another description of a column."""
    copy = copy_of_checkout(tmp_path / "checkout")
    with working(platform, copy) as worker:
        worker.drop("K001")
        worker.wait_for("K001")
        model = copy / "dbt_project/models/marts/bioreactor/mart_bioreactor_overview.yml"
        text = model.read_text()
        described = text.replace("Everything a dashboard", "CHANGED: Everything a dashboard", 1)
        assert described != text
        model.write_text(described)
        until(lambda: worker.text.count("Watching") == 2, 180, "the new start")
        assert "Starting anew: code, models or declarations have changed" in worker.text
        worker.drop("K002")
        worker.wait_for("K002")
        with worker.marts.cursor() as cursor:
            cursor.execute("select obj_description('marts.mart_bioreactor_overview'::regclass)")
            assert "CHANGED" in (cursor.fetchone()[0] or "")
