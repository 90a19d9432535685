"""Every ended run is mapped once, in the order of ends, whoever asks and whatever one of them is like."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import psycopg2
import pytest
from dagster import DagsterInstance, DagsterRunStatus, asset, build_sensor_context, job, materialize, op
from platforms import a_platform
from sqlalchemy.exc import OperationalError

from lakehouse import postgres, workers
from lakehouse.postgres.connect import connect, state_url
from lineage.limits import EventError
from lineage.outbox_replay import forget_unmapped
from orchestration.lineage import mapping
from orchestration.lineage.background import mapping as in_background
from orchestration.lineage.mapping import map_ended_runs, try_to_map
from orchestration.processes import this_process
from orchestration.sensors import lineage_sensor, lineage_sync_sensor

SENTENCE = "Lineage does not know of"


@asset
def dim_batch() -> None:
    """An asset that the catalog knows."""


@op
def nothing() -> None:
    """Something to run."""


@job
def idle() -> None:
    """A job without assets."""
    nothing()


@pytest.fixture(scope="module")
def database():
    with a_platform() as platform, postgres.ready(platform.settings):
        connection = connect(state_url(platform.settings), what="state database")
        connection.autocommit = True
        yield platform.settings, connection
        connection.close()


@pytest.fixture
def bench(database, monkeypatch):
    """An empty state, an instance of its own, and short ways to ask them."""
    settings, connection = database
    monkeypatch.setattr(mapping, "_deep_at", float("-inf"))

    class Bench:
        def __init__(self, instance: DagsterInstance) -> None:
            self.instance, self.settings = instance, settings

        def built(self) -> str:
            return materialize([dim_batch], instance=self.instance).run_id

        def map(self) -> int:
            return map_ended_runs(self.instance, settings)

        def ask(self, sql: str):
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else None

        def marks(self) -> list:
            return self.ask("select run_id, events, error from data_platform.lineage_runs order by mapped_at, ended_at")

        def told(self) -> list:
            return self.ask(
                "select order_key, job, type from data_platform.lineage_outbox where order_key <> 'sync'"
                " and kind = 'run' order by event_id"
            )

    with DagsterInstance.ephemeral() as instance:
        made = Bench(instance)
        made.ask(
            "truncate data_platform.lineage_runs, data_platform.lineage_outbox, data_platform.lineage_models,"
            " data_platform.alert_history, data_platform.worker_status"
        )
        yield made


def _whole(run_id: str) -> list:
    child = [(run_id, "lakehouse.dim_batch", kind) for kind in ("START", "COMPLETE")]
    return [(run_id, "lakehouse", "START"), *child, (run_id, "lakehouse", "COMPLETE")]


def test_a_run_is_mapped_once_however_often_one_asks(bench):
    run_id = bench.built()
    assert bench.map() == 1
    assert bench.told() == _whole(run_id)
    assert bench.marks() == [(run_id, 4, None)]
    assert [bench.map() for _ in range(3)] == [0, 0, 0]
    assert bench.told() == _whole(run_id)


def test_runs_in_progress_wait_and_are_mapped_when_they_have_ended(bench):
    run = bench.instance.create_run_for_job(idle, status=DagsterRunStatus.STARTED)
    assert bench.map() == 0
    bench.instance.report_run_failed(run, message="gone")
    assert bench.map() == 1
    assert bench.marks() == [(run.run_id, 0, None)], "it was not about assets: marked, and nothing told"


def test_a_backlog_is_worked_off_in_the_order_of_ends_a_part_at_a_time(bench, monkeypatch):
    monkeypatch.setattr(mapping, "PER_CALL", 3)
    runs = [bench.built() for _ in range(7)]
    parts = []
    while done := bench.map():
        parts.append(done)
    assert parts == [3, 3, 1]
    assert bench.told() == [event for run_id in runs for event in _whole(run_id)]


def test_what_ended_while_nobody_listened_is_found_by_the_next_process(bench, monkeypatch):
    first = bench.built()
    bench.map()
    monkeypatch.setattr(mapping, "OVERLAP", timedelta(days=-1))  # as if the last mark were from tomorrow
    late = bench.built()
    assert bench.map() == 0, "the look from the last mark on misses it"
    monkeypatch.setattr(mapping, "_deep_at", float("-inf"))
    assert bench.map() == 1, "the first look of a process goes back as far as runs are kept"
    assert [row[0] for row in bench.marks()] == [first, late]


def test_one_that_cannot_be_mapped_is_alerted_and_holds_up_no_other(bench, database, monkeypatch):
    runs = [bench.built() for _ in range(3)]
    from lineage import events

    real = events.run_events

    def picky(facts, *rest):
        if facts.run_id == runs[1]:
            raise EventError("a name with a NUL")
        return real(facts, *rest)

    monkeypatch.setattr(events, "run_events", picky)
    assert bench.map() == 3
    assert [(row[0], row[2]) for row in bench.marks()] == [
        (runs[0], None),
        (runs[1], "a name with a NUL"),
        (runs[2], None),
    ]
    assert bench.told() == [*_whole(runs[0]), *_whole(runs[2])]
    [alert] = bench.ask("select kind, subject, message, resolved_at is null from data_platform.alert_history")
    assert alert == ("lineage_not_mapped", runs[1], f"{SENTENCE} {runs[1]}: a name with a NUL", False)
    assert bench.map() == 0, "it is not tried again"
    monkeypatch.setattr(events, "run_events", real)
    assert forget_unmapped(database[1]) == [runs[1]]
    assert bench.map() == 1, "but on a person's word"
    assert bench.told() == [*_whole(runs[0]), *_whole(runs[2]), *_whole(runs[1])]


def test_a_run_whose_log_cannot_be_read_just_now_is_mapped_later(bench, monkeypatch):
    run_id = bench.built()
    real = mapping.run_facts

    def away(*_):
        cause = psycopg2.OperationalError("FATAL:  sorry, too many clients already")
        raise OperationalError("select", {}, cause) from cause

    monkeypatch.setattr(mapping, "run_facts", away)
    assert try_to_map(bench.instance, bench.settings) == 0
    assert bench.marks() == []
    assert bench.ask("select kind from data_platform.alert_history") == []
    monkeypatch.setattr(mapping, "run_facts", real)
    assert bench.map() == 1
    assert bench.told() == _whole(run_id)


def test_runs_from_before_the_retention_are_left_alone(bench, monkeypatch):
    bench.built()

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=bench.settings.run_retention_days + 1)

    monkeypatch.setattr(mapping, "datetime", Later)
    assert bench.map() == 0


def test_two_at_once_map_every_run_once(bench, monkeypatch):
    runs = [bench.built() for _ in range(6)]
    threads = [threading.Thread(target=lambda: [bench.map() for _ in range(3)]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bench.map()
    assert bench.told() == [event for run_id in runs for event in _whole(run_id)]


def test_a_database_that_is_away_raises_nothing_for_those_who_have_other_things_to_do(bench, caplog):
    away = bench.settings.model_copy(update={"postgres_port": 1})
    bench.built()
    assert try_to_map(bench.instance, away) == 0
    assert bench.map() == 1, "nothing is lost"


def test_the_thread_of_a_worker_maps_at_once_when_it_is_told(bench):
    with in_background(bench.instance, bench.settings) as told:
        run_id = bench.built()
        told()
        for _ in range(600):
            if bench.marks():
                break
            threading.Event().wait(0.1)
    assert bench.told() == _whole(run_id)


@pytest.mark.parametrize(("state", "mapped"), [("idle", 0), ("stopped", 1)])
def test_the_sensor_maps_where_no_worker_does(bench, database, state, mapped):
    bench.built()
    workers.tell(database[1], workers.Beat("w1", "here", this_process(), state=state))
    said = lineage_sensor([dim_batch.key], bench.settings)(build_sensor_context(instance=bench.instance)).skip_message
    assert said == (f"{mapped} ended run(s) told." if mapped else "The worker tells lineage of runs that have ended.")
    assert len(bench.marks()) == mapped


def test_the_sync_sensor_tells_once_a_day_of_the_same_declarations(bench):
    sensor = lineage_sync_sensor([dim_batch.key], bench.settings)

    def tick() -> str:
        return sensor(build_sensor_context(instance=bench.instance)).skip_message

    day = datetime.now(UTC).date()
    new = int(tick().split()[0])
    jobs = {row[0] for row in bench.ask("select job from data_platform.lineage_outbox where order_key = 'sync'")}
    assert {"lakehouse.dim_batch", "exposure.bioreactor_overview"} <= jobs, "what never ran is declared"
    assert new == bench.ask("select count(*) from data_platform.lineage_outbox")[0][0]
    again = tick()
    assert again == "0 new metadata event(s)." or datetime.now(UTC).date() != day
