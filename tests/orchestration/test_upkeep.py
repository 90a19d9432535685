"""Retention keeps what tells the present; the upkeep sensor asks for it, and fails what died where no worker does."""

import os
import subprocess
import sys
import time
import uuid
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from dagster import AssetKey, DagsterInstance, DagsterRunStatus, asset, build_sensor_context, materialize
from idle_runs import idle

from lakehouse import heartbeats, workers
from lakehouse.kernel import start_time
from orchestration.processes import this_process
from orchestration.retention import forget_old_runs
from orchestration.sensors import RETENTION_SECONDS, upkeep_sensor, watched_by_worker


@asset
def thing() -> None:
    """An asset to materialize."""


@pytest.fixture
def instance():
    with DagsterInstance.ephemeral() as made:
        yield made


def _age(instance: DagsterInstance, monkeypatch, days: int) -> None:
    """Look at the instance from ``days`` in the future."""

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=days)

    monkeypatch.setattr("orchestration.retention.datetime", Later)


def test_old_runs_go_but_never_the_latest_materialization(instance, monkeypatch):
    runs = [materialize([thing], instance=instance).run_id for _ in range(3)]
    _age(instance, monkeypatch, days=31)
    assert forget_old_runs(instance, [AssetKey("thing")], days=30) == 2
    assert [run.run_id for run in instance.get_runs()] == [runs[-1]]
    assert instance.get_latest_materialization_event(AssetKey("thing")).run_id == runs[-1]


def test_young_runs_stay(instance, monkeypatch):
    materialize([thing], instance=instance)
    materialize([thing], instance=instance)
    _age(instance, monkeypatch, days=29)
    assert forget_old_runs(instance, [AssetKey("thing")], days=30) == 0
    assert len(instance.get_runs()) == 2


@pytest.fixture
def upkeep(database, instance):
    """Evaluate the sensor: what it says, and the cursor it leaves."""
    settings, connection = database
    with connection, connection.cursor() as cursor:
        cursor.execute("truncate data_platform.run_heartbeats, data_platform.worker_status")
    sensor = upkeep_sensor([AssetKey("thing")], settings)

    def evaluate(cursor: float) -> tuple[str, float]:
        context = build_sensor_context(instance=instance, cursor=str(cursor))
        return sensor(context).skip_message, float(context.cursor)

    return evaluate


@pytest.fixture
def dead_run(database, instance):
    """A run whose process has ended without a word."""
    gone = subprocess.Popen([sys.executable, "-c", "pass"])
    identity = " ".join([*this_process().split()[:3], str(gone.pid), start_time(gone.pid) or "0"])
    gone.wait()
    run_id = instance.create_run_for_job(idle, status=DagsterRunStatus.STARTED).run_id

    def status() -> DagsterRunStatus:
        return instance.get_run_by_id(run_id).status

    def beat() -> None:
        heartbeats.beat(database[1], run_id, identity)

    return beat, status


def test_without_a_worker_the_sensor_fails_what_died(upkeep, dead_run):
    beat, status = dead_run
    beat()
    assert upkeep(time.time())[0] == "1 dead run(s) failed."
    assert status() is DagsterRunStatus.FAILURE


@pytest.mark.parametrize(("state", "left"), [("idle", True), ("stopped", False), ("troubled", False)])
def test_only_a_worker_that_works_is_left_what_died(upkeep, dead_run, database, state, left):
    beat, status = dead_run
    beat()
    workers.tell(database[1], workers.Beat("w1", "here", this_process(), state=state))
    said = upkeep(time.time())[0]
    if left:
        assert (said, status()) == ("The worker looks after dead runs.", DagsterRunStatus.STARTED)
    else:
        assert (said, status()) == ("1 dead run(s) failed.", DagsterRunStatus.FAILURE)


def test_a_worker_that_died_before_the_clock_was_set_back_hides_no_other_and_counts_as_silent(upkeep, database):
    settings, connection = database
    workers.tell(connection, workers.Beat("former", "here", this_process(), state="idle"))
    with connection, connection.cursor() as cursor:
        cursor.execute("update data_platform.worker_status set beat_at = now() + interval '1 hour'")
    assert watched_by_worker(settings) is None
    assert workers.latest(connection).verdict == "stale"
    workers.tell(connection, workers.Beat("present", "here", this_process(), state="idle"))
    assert workers.latest(connection).beat.worker_id == "present"
    assert "present" in watched_by_worker(settings)


def test_old_runs_are_looked_for_once_an_hour_beside_a_worker_too(upkeep, database, instance, monkeypatch):
    for _ in range(2):
        materialize([thing], instance=instance)
    _age(instance, monkeypatch, days=database[0].run_retention_days + 1)
    workers.tell(database[1], workers.Beat("w1", "here", this_process(), state="idle"))
    lately = time.time() - RETENTION_SECONDS + 60
    assert upkeep(lately) == ("The worker looks after dead runs.", lately)
    assert len(instance.get_runs()) == 2
    said, cursor = upkeep(time.time() - RETENTION_SECONDS - 1)
    assert said.startswith(
        "The worker looks after dead runs. 1 old run(s) forgotten. 0 old lineage event(s) forgotten."
    )
    assert time.time() - cursor < 60
    assert len(instance.get_runs()) == 1


def test_what_killed_writers_left_in_the_lake_is_swept_once_an_hour(upkeep, database):
    lake = Path(database[0].lake_root)
    leftover = f".{uuid.uuid4().hex}.tmp"
    found = [lake / folder / leftover for folder in ("raw/_ledger/bioreactor", "raw/_quarantine/x", "raw/bioreactor")]
    for file in found:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"half of")
        os.utime(file, (time.time() - 2 * 86400,) * 2)
    try:
        assert "unfinished" not in upkeep(time.time() - RETENTION_SECONDS + 60)[0]
        assert all(file.exists() for file in found)
        assert upkeep(0)[0].endswith(" 2 unfinished file(s) of killed writers removed.")
        assert [file.exists() for file in found] == [False, False, True], "a drop zone is its owner's"
    finally:
        found[-1].unlink()
