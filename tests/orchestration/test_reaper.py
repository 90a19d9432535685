"""The reaper on a real state database: what it takes for dead, what it leaves alone, and what it says."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from dagster import DagsterInstance, DagsterRunStatus
from idle_runs import idle

from lakehouse import heartbeats
from lakehouse.kernel import start_time
from orchestration import names, reaper
from orchestration.heartbeat import beating
from orchestration.processes import this_process


@pytest.fixture
def reap(database, monkeypatch):
    """Reap, with a second look after a tenth of a second; also the connection and an instance."""
    monkeypatch.setattr(reaper, "LOOK_AGAIN_SECONDS", 0.1)
    settings, connection = database
    with connection, connection.cursor() as cursor:
        cursor.execute("truncate data_platform.run_heartbeats, data_platform.alert_history")
    with DagsterInstance.ephemeral() as instance:

        class Bench:
            def __init__(self) -> None:
                self.instance, self.connection, self.settings = instance, connection, settings

            def __call__(self) -> list[str]:
                return reaper.reap(instance, settings)

            def run(self, status=DagsterRunStatus.STARTED, **facts) -> str:
                return instance.create_run_for_job(idle, status=status, **facts).run_id

            def last_message(self, run_id: str) -> str:
                return [entry.get_dagster_event().message or "" for entry in instance.all_logs(run_id)][-1]

            def set(self, sql: str) -> None:
                with connection, connection.cursor() as cursor:
                    cursor.execute(f"update data_platform.run_heartbeats set {sql}")

        yield Bench()


def _elsewhere(host: str = "worker-1") -> str:
    return " ".join([host, *this_process().split()[1:]])


def _dead() -> str:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    parts = this_process().split()
    identity = " ".join([*parts[:3], str(child.pid), start_time(child.pid) or "0"])
    child.wait()
    return identity


def test_a_run_whose_process_died_before_the_first_beat_is_failed_at_once(reap):
    run_id = reap.run(tags={names.TAG_PROCESS: _dead()})
    assert reap() == [run_id]
    assert reap.last_message(run_id) == reaper.KILLED


def test_a_re_execution_is_not_judged_by_the_process_of_the_run_it_repeats(reap):
    first = reap.run(status=DagsterRunStatus.FAILURE)
    reap.run(tags={names.TAG_PROCESS: _dead()}, parent_run_id=first, root_run_id=first)
    assert reap() == []


def test_a_run_of_a_dead_process_is_failed_with_a_reason(reap):
    run_id = reap.run()
    heartbeats.beat(reap.connection, run_id, _dead())
    assert reap() == [run_id]
    assert reap.instance.get_run_by_id(run_id).status is DagsterRunStatus.FAILURE
    assert reap.last_message(run_id) == reaper.KILLED
    with reap.connection, reap.connection.cursor() as cursor:
        cursor.execute("select message, remedy from data_platform.alert_history where kind = 'run_died'")
        assert cursor.fetchall() == [(reaper.KILLED, "Run it again: `lakehouse run`. Every step is idempotent.")]
        cursor.execute("select count(*) from data_platform.run_heartbeats")
        assert cursor.fetchone() == (0,)
    assert reap() == []


def test_a_run_that_ends_between_two_questions_is_no_trouble(reap, monkeypatch):
    reap.run()
    monkeypatch.setattr(reaper.heartbeats, "look", lambda *_: {})
    assert reap() == []


def test_a_run_that_was_noted_in_the_moment_of_its_end_leaves_no_sign(reap):
    run_id = reap.run(status=DagsterRunStatus.SUCCESS)
    heartbeats.look(reap.connection, [run_id])
    assert reap() == []
    assert heartbeats.look(reap.connection, []) == {}


def test_a_living_run_is_left_alone_however_long_it_was_silent(reap):
    run_id = reap.run()
    heartbeats.beat(reap.connection, run_id, this_process())
    reap.set("beat_at = now() - interval '1 day'")
    assert reap() == []


def test_a_run_on_another_host_is_dead_when_it_has_been_silent(reap):
    run_id = reap.run()
    heartbeats.beat(reap.connection, run_id, _elsewhere())
    reap.set("beat_at = now() - interval '20 s'")
    assert reap() == []
    reap.set("beat_at = now() - interval '26 s'")
    assert reap() == [run_id]
    assert "on worker-1, has given no sign of life for 25 s" in reap.last_message(run_id)


def test_a_run_in_another_container_of_this_host_is_judged_by_its_silence(reap):
    parts = this_process().split()
    run_id = reap.run()
    heartbeats.beat(reap.connection, run_id, " ".join([*parts[:2], "pid:[1]", "1", "1"]))
    assert reap() == []
    reap.set("beat_at = now() - interval '26 s'")
    assert reap() == [run_id]


def test_a_host_that_slept_is_given_the_time_to_speak_up(reap, monkeypatch):
    run_id = reap.run()
    heartbeats.beat(reap.connection, run_id, _elsewhere())
    reap.set("beat_at = now() - interval '1 hour'")
    monkeypatch.setattr(reaper.time, "sleep", lambda seconds: heartbeats.beat(reap.connection, run_id, _elsewhere()))
    assert reap() == []
    assert reap.instance.get_run_by_id(run_id).status is DagsterRunStatus.STARTED


def test_a_clock_that_was_set_back_delays_the_verdict_by_the_usual_silence_only(reap):
    run_id = reap.run()
    heartbeats.beat(reap.connection, run_id, _elsewhere())
    reap.set("beat_at = now() + interval '5 hours'")
    assert reap() == []
    assert 0 <= heartbeats.look(reap.connection, [])[run_id].age < 5, "its silence is measured from now on"
    reap.set("beat_at = now() - interval '26 s'")
    assert reap() == [run_id]


@pytest.mark.parametrize("status", [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED])
def test_a_run_that_no_process_took_up_is_failed_a_minute_after_it_was_noticed(reap, status):
    run_id = reap.run(status)
    assert reap() == []
    reap.set("beat_at = now() - interval '50 s'")
    assert reap() == []
    reap.set("beat_at = now() - interval '61 s'")
    assert reap() == [run_id]
    assert "No process took this run up within 60 s" in reap.last_message(run_id)


def test_a_death_that_the_code_server_noticed_first_is_explained_and_alerted_too(reap):
    run_id = reap.run()
    heartbeats.beat(reap.connection, run_id, this_process().rpartition(" ")[0] + " 1")
    reap.instance.report_run_failed(reap.instance.get_run_by_id(run_id), message="unexpectedly exited with code -9")
    assert reap() == [], "it was failed before"
    assert reap.last_message(run_id) == reaper.KILLED
    with reap.connection, reap.connection.cursor() as cursor:
        cursor.execute("select run_id from data_platform.alert_history where kind = 'run_died'")
        assert cursor.fetchall() == [(run_id,)]
    assert heartbeats.look(reap.connection, []) == {}


def test_signs_of_life_come_while_the_run_lasts_and_are_gone_with_it(reap, monkeypatch):
    monkeypatch.setattr("orchestration.heartbeat.BEAT_SECONDS", 0.05)
    run_id = reap.run()
    with beating(reap.settings, run_id):
        first = heartbeats.look(reap.connection, [])[run_id]
        assert first.process == this_process()
        reap.set("beat_at = now() - interval '1 day'")
        deadline = time.monotonic() + 5
        while heartbeats.look(reap.connection, [])[run_id].age > 5:
            assert time.monotonic() < deadline, "no further sign came"
    assert heartbeats.look(reap.connection, []) == {}


def test_signs_of_life_go_on_after_the_connection_was_lost(reap, monkeypatch):
    monkeypatch.setattr("orchestration.heartbeat.BEAT_SECONDS", 0.05)
    run_id = reap.run()
    with beating(reap.settings, run_id):
        with reap.connection, reap.connection.cursor() as cursor:
            cursor.execute(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity"
                " where pid <> pg_backend_pid() and usename = current_user and backend_type = 'client backend'"
            )
            assert cursor.fetchone()[0] >= 1
        reap.set("beat_at = now() - interval '1 day'")
        deadline = time.monotonic() + 5
        while heartbeats.look(reap.connection, [])[run_id].age > 5:
            assert time.monotonic() < deadline, "no further sign came"
