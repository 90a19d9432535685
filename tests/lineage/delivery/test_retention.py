"""What is forgotten, and what never is."""

from __future__ import annotations

import dataclasses

import pytest
from sample_events import ask, event

from lakehouse import health
from lineage import backlog, retention
from lineage import outbox as box
from lineage.openlineage_config import target


@pytest.fixture
def forget(outbox, delivery_server, monkeypatch):
    """Forget what is older than 90 days, with or without a lineage server."""

    def call(*, server: bool) -> int:
        for name in ("OPENLINEAGE_URL", "OPENLINEAGE_DISABLED"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv(*(("OPENLINEAGE_URL", "http://m:5000") if server else ("OPENLINEAGE_DISABLED", "true")))
        return retention.forget_old(outbox, delivery_server.settings)

    return call


def _put(connection, run: str, job: str, ends: tuple[str, ...], days: int, status: str = "delivered", hour: int = 0):
    events = [event(f"{run}/{job}", hour * 10 + number, type_, job) for number, type_ in enumerate(("START", *ends))]
    box.put(connection, events, run_id=run)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "update data_platform.lineage_outbox set status = %s, created_at = now() - %s * interval '1 day',"
            " delivered_at = case when %s = 'delivered' then now() - %s * interval '1 day' end where order_key = %s",
            (status, days, status, days, f"{run}/{job}"),
        )


def _left(connection) -> set[str]:
    return {item.order_key for item in box.events(connection)}


def test_what_was_delivered_long_ago_goes_and_what_is_newer_stays(outbox, forget):
    _put(outbox, "old", "dim", ("COMPLETE",), 91)
    _put(outbox, "young", "dim", ("COMPLETE",), 89, hour=1)
    assert forget(server=True) == 2
    assert _left(outbox) == {"young/dim"}
    assert forget(server=True) == 0


def test_the_newest_ended_and_the_newest_good_run_of_each_job_stay_however_old(outbox, forget):
    _put(outbox, "first", "dim", ("COMPLETE",), 400)
    _put(outbox, "good", "dim", ("COMPLETE",), 300, hour=1)
    _put(outbox, "failed", "dim", ("FAIL",), 200, hour=2)
    _put(outbox, "last", "dim", ("ABORT",), 150, hour=3)
    _put(outbox, "only", "other", ("COMPLETE",), 500)
    assert forget(server=True) == 4
    assert _left(outbox) == {"good/dim", "last/dim", "only/other"}
    assert len(list(box.events(outbox))) == 6  # whole runs


@pytest.mark.parametrize("status", ["pending", "dead"])
def test_what_the_server_has_not_taken_is_never_forgotten(outbox, forget, status):
    _put(outbox, "old", "dim", ("COMPLETE",), 400, status)
    _put(outbox, "new", "dim", ("COMPLETE",), 1, hour=1)
    assert forget(server=True) == 0
    assert _left(outbox) == {"old/dim", "new/dim"}


def test_without_a_server_all_that_is_old_goes_but_for_the_newest_runs(outbox, forget):
    _put(outbox, "old", "dim", ("COMPLETE",), 400, "pending")
    _put(outbox, "new", "dim", ("COMPLETE",), 300, "pending", hour=1)
    _put(outbox, "refused", "dim", ("COMPLETE",), 301, "dead")
    assert forget(server=False) == 4
    assert _left(outbox) == {"new/dim"}


def test_a_drainer_that_works_elsewhere_counts_as_a_server(outbox, forget):
    """The settings of the process that forgets may know of no server."""
    _put(outbox, "old", "dim", ("COMPLETE",), 400, "pending")
    _put(outbox, "new", "dim", ("COMPLETE",), 300, "pending", hour=1)
    health.measure(outbox, backlog.METRIC, 4, {"pid": "1", "host": "elsewhere"})
    assert forget(server=False) == 0


def test_what_a_drainer_measured_goes_after_as_many_days(outbox, forget):
    for _ in range(2):
        backlog.measure(outbox, target({"OPENLINEAGE_URL": "http://m:5000"}))
        ask(
            outbox,
            "update data_platform.platform_health_metrics set measured_at = measured_at - interval '60 days'",
        )
    metrics = "select metric, count(*)::int from data_platform.platform_health_metrics group by 1 order by 1"
    assert ask(outbox, metrics) == [("lineage_backlog_events", 2), ("lineage_dead_letters", 2)]
    forget(server=True)
    assert ask(outbox, metrics) == [("lineage_backlog_events", 1), ("lineage_dead_letters", 1)]


def test_of_metadata_the_newest_of_each_job_and_dataset_stays(outbox, forget):
    def sync(number: int, kind: str, job: str = "", dataset: str = "") -> None:
        body = {"dataset": {"namespace": "duckdb://lakehouse", "name": dataset}}
        made = event("sync", number, "", job, body)
        box.put(outbox, [dataclasses.replace(made, kind=kind)], run_id=None)

    sync(0, "dataset", dataset="a")
    sync(1, "dataset", dataset="b")
    sync(2, "job", job="dim")
    sync(3, "dataset", dataset="a")
    sync(4, "job", job="dim")
    with outbox, outbox.cursor() as cursor:
        cursor.execute(
            "update data_platform.lineage_outbox set status = 'delivered', delivered_at = now() - interval '400 days'"
        )
    assert forget(server=True) == 2
    assert [item.event_time.second for item in box.events(outbox)] == [1, 3, 4]


def test_the_note_that_a_run_was_mapped_outlives_its_events_and_the_run(outbox, forget):
    box.put(outbox, [], run_id="old")
    box.put(outbox, [], run_id="older")
    with outbox, outbox.cursor() as cursor:
        cursor.execute("update data_platform.lineage_runs set mapped_at = now() - interval '119 days'")
        cursor.execute(
            "update data_platform.lineage_runs set mapped_at = now() - interval '121 days' where run_id = 'older'"
        )
    forget(server=True)
    assert box.mapped(outbox, ["old", "older"]) == {"old"}
