"""How delivery stands, as people, machines and alerts see it."""

from __future__ import annotations

import os
import socket

import pytest
from sample_events import ask, event, run_of

from lakehouse.errors import UnavailableError
from lakehouse.services import probes
from lineage import backlog, outbox_replay
from lineage import outbox as box
from lineage.openlineage_config import target

GOAL = target({"OPENLINEAGE_URL": "http://m:5000"})


def _set(connection, what: str, where: str = "true") -> None:
    ask(connection, f"update data_platform.lineage_outbox set {what} where {where}")


def _open(connection) -> list[tuple[str, str, str]]:
    sql = "select kind, subject, message from data_platform.alert_history where resolved_at is null order by 1, 2"
    return ask(connection, sql)


def test_an_empty_outbox_stands_at_nothing(outbox):
    assert backlog.standing(outbox) == backlog.Standing(0, 0, 0, None, None, None)
    assert backlog.waiting(outbox) == backlog.Waiting(0, 0.0)


def test_events_are_counted_by_state_with_the_age_of_the_oldest(outbox):
    box.put(outbox, run_of("run-1"), run_id="run-1")
    _set(outbox, "status = 'delivered', delivered_at = now() - interval '5 s'", "type = 'COMPLETE'")
    _set(outbox, "status = 'dead'", "event_key = 'run-1/1/START'")
    _set(outbox, "created_at = now() - interval '1 hour'", "event_key = 'run-1/0/START'")
    now = backlog.standing(outbox)
    assert (now.recorded, now.pending, now.delivered, now.dead) == (6, 2, 3, 1)
    assert 3600 <= now.oldest_pending_seconds < 3700
    assert now.last_delivery is not None


def test_a_backlog_that_is_too_old_is_an_alert_until_it_is_gone(outbox, delivery_server):
    box.put(outbox, run_of("run-1"), run_id="run-1")
    settings = delivery_server.settings
    _set(outbox, "created_at = now() - interval '14 minutes'")
    backlog.alert(outbox, settings)
    assert _open(outbox) == []
    _set(outbox, "created_at = now() - interval '16 minutes'")
    for _ in range(3):
        backlog.alert(outbox, settings)
    assert _open(outbox) == [
        ("lineage_backlog", "outbox", "Lineage events have been waiting for delivery for more than 15 minutes.")
    ]
    _set(outbox, "status = 'delivered'")
    backlog.alert(outbox, settings)
    assert _open(outbox) == []


def test_dead_letters_are_an_alert_for_each_job_until_they_are_replayed_or_given_up(outbox, delivery_server):
    box.put(outbox, run_of("run-1", ["a", "b"]), run_id="run-1")
    _set(outbox, "status = 'delivered', delivered_at = now()")
    _set(outbox, "status = 'dead', last_status = 422, last_error = 'no type'", "event_key ~ '/(1|2)/'")
    _set(outbox, "status = 'dead', last_error = 'cut'", "event_key ~ '/3/'")
    backlog.alert(outbox, delivery_server.settings)
    assert _open(outbox) == [
        ("lineage_dead_letters", "a", "The lineage server refused events of job a, the first for: HTTP 422: no type"),
        ("lineage_dead_letters", "b", "The lineage server refused events of job b, the first for: cut"),
    ]
    assert outbox_replay.discard(outbox, ["run-1/3/START", "run-1/4/COMPLETE", "nonsense"]) == ["run-1/3/START"]
    backlog.alert(outbox, delivery_server.settings)
    assert [subject for _, subject, _ in _open(outbox)] == ["a"]
    assert outbox_replay.replay_dead(outbox) == 5 - 1
    backlog.alert(outbox, delivery_server.settings)
    assert _open(outbox) == []


def test_a_replayed_dead_letter_brings_what_follows_it_in_its_run_and_nothing_of_others(outbox):
    box.put(outbox, run_of("run-1", ["a"]), run_id="run-1")
    box.put(outbox, run_of("run-2", ["a"]), run_id="run-2")
    _set(outbox, "status = 'delivered', delivered_at = now()")
    _set(outbox, "status = 'dead', attempts = 5", "event_key = 'run-1/2/COMPLETE'")
    assert outbox_replay.replay_dead(outbox) == 2
    pending = [(item.key, item.attempts, item.delivered_at) for item in box.events(outbox, status="pending")]
    assert pending == [("run-1/2/COMPLETE", 0, None), ("run-1/3/COMPLETE", 0, None)]


def test_a_run_a_time_or_everything_is_replayed_in_whole_runs(outbox):
    box.put(outbox, [event("run-1", 0), event("run-1", 100)], run_id="run-1")
    box.put(outbox, [event("run-2", 0)], run_id="run-2")
    delivered = "status = 'delivered', delivered_at = now()"
    _set(outbox, delivered)
    assert outbox_replay.replay_runs(outbox, ["run-2", "no such run"]) == 1
    _set(outbox, delivered)
    assert outbox_replay.replay_since(outbox, event("x", 50).event_time) == 2
    assert {item.order_key for item in box.events(outbox, status="pending")} == {"run-1"}
    _set(outbox, delivered)
    assert outbox_replay.replay_since(outbox, None) == 3


def test_the_measurement_tells_the_backlog_and_is_the_drainers_sign_of_life(outbox, delivery_server):
    settings = delivery_server.settings
    with pytest.raises(UnavailableError, match="drainer never said anything"):
        probes.lineage(settings)
    box.put(outbox, run_of("run-1"), run_id="run-1")
    backlog.measure(outbox, GOAL)
    ((value, labels),) = ask(
        outbox, "select value, labels from data_platform.platform_health_metrics where metric = %s", backlog.METRIC
    )
    assert value == 6
    assert (labels["pid"], labels["host"]) == (str(os.getpid()), socket.gethostname())
    assert labels["target"] == "http://m:5000/api/v1/lineage"
    assert 0 <= labels["oldest_seconds"] < 60
    probes.lineage(settings)
    probes.lineage(settings, os.getpid())
    with pytest.raises(UnavailableError, match="never said anything"):
        probes.lineage(settings, os.getpid() + 1)
    ask(outbox, "update data_platform.platform_health_metrics set measured_at = now() - interval '10 minutes'")
    with pytest.raises(UnavailableError, match=r"last heard of 6\d\d s ago"):
        probes.lineage(settings)


def test_dead_letters_are_measured_also_where_there_are_none(outbox):
    def last() -> tuple[float, dict[str, str]]:
        backlog.measure(outbox, GOAL)
        metrics = (
            "select value, labels from data_platform.platform_health_metrics where metric = 'lineage_dead_letters'"
        )
        return ask(outbox, f"{metrics} order by measured_at desc limit 1")[0]

    assert last() == (0, {"pid": str(os.getpid()), "host": socket.gethostname(), "target": str(GOAL)})
    box.put(outbox, run_of("run-1"), run_id="run-1")
    _set(outbox, "status = 'dead'", "type = 'START'")
    assert last()[0] == 3
    outbox_replay.replay_dead(outbox)
    assert last()[0] == 0


def test_who_looks_after_the_platform_tells_of_a_backlog_where_a_drainer_has_worked(
    outbox, delivery_server, monkeypatch
):
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")  # of this process: the drainer's settings may be others
    box.put(outbox, run_of("run-1"), run_id="run-1")
    _set(outbox, "created_at = now() - interval '1 day'")
    backlog.watch(outbox, delivery_server.settings)
    assert _open(outbox) == []
    backlog.measure(outbox, GOAL)
    backlog.watch(outbox, delivery_server.settings)
    assert [kind for kind, _, _ in _open(outbox)] == ["lineage_backlog"]


def test_alerts_close_where_the_server_was_given_up(outbox, delivery_server, monkeypatch):
    backlog.alert_refused(outbox, GOAL, backlog.Identity.here(outbox), "401 who are you")
    box.put(outbox, run_of("run-1"), run_id="run-1")
    _set(outbox, "created_at = now() - interval '1 day'")
    backlog.alert(outbox, delivery_server.settings)
    assert [kind for kind, _, _ in _open(outbox)] == ["lineage_backlog", "lineage_refused"]
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    backlog.watch(outbox, delivery_server.settings)
    assert _open(outbox) == []
