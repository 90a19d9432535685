"""The drainer on a real Postgres and a real HTTP server: order, concurrency, outages, poison, lost connections."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import threading
import time

import pytest
from delivering import DrainerProcess, environment, until
from obedient_server import Reply
from sample_events import ask, event, run_of, statuses

from lakehouse.errors import UnavailableError
from lineage import drainer_service
from lineage import outbox as box
from lineage.drainer_claims import PAGE_EVENTS, Claims

CUT = "select pg_terminate_backend(pid) from pg_stat_activity where usename = current_user and pid <> pg_backend_pid()"


def test_each_run_arrives_in_order_and_several_at_the_same_time(outbox, server, drain):
    runs = [f"run-{number}" for number in range(12)]
    for run in runs:
        box.put(outbox, run_of(run), run_id=run)
    server.reply = lambda event, arrival: Reply(after=0.02)
    done = drain(lineage_clients=4).run(once=True)
    once = list(dict.fromkeys(server.keys))  # the newest run of a job may come again, see test_late_deliveries.py
    assert (len(once), done.dead) == (72, 0)
    for run in runs:
        assert [key for key in once if key.startswith(f"{run}/")] == [item.key for item in run_of(run)]
    assert server.most_at_once == 4
    assert set(statuses(outbox).values()) == {"delivered"}
    assert len({arrival.connection for arrival in server.arrivals}) == 4  # connections are kept


def test_an_event_waits_for_the_answer_to_the_one_before(outbox, server, drain):
    box.put(outbox, run_of("run-1"), run_id="run-1")
    server.reply = lambda event, arrival: Reply(after=0.05)
    drain().run(once=True)
    gaps = [later.at - earlier.at for earlier, later in itertools.pairwise(server.arrivals)]
    assert min(gaps) >= 0.05
    assert server.most_at_once == 1


def test_a_run_longer_than_a_page_arrives_whole_and_in_order(outbox, server, drain):
    events = [event("long", number) for number in range(3 * PAGE_EVENTS + 5)]
    box.put(outbox, events, run_id="long")
    drain().run(once=True)
    assert server.keys == [item.key for item in events]


@pytest.mark.parametrize("status", [400, 413, 422, 409])
def test_a_refused_start_is_a_dead_letter_at_once_and_the_rest_of_its_run_goes_on(outbox, server, drain, status):
    box.put(outbox, run_of("run-1", ["dim_batch"]), run_id="run-1")
    server.reply = lambda event, arrival: Reply(status if event["number"] == 1 else 201, "eventType is missing")
    done = drain().run(once=True)
    assert (done.delivered, done.dead) == (3, 1)
    assert server.keys == [item.key for item in run_of("run-1", ["dim_batch"])]
    (dead,) = box.events(outbox, status="dead")
    assert (dead.key, dead.attempts, dead.last_status) == ("run-1/1/START", 1, status)
    assert dead.last_error == "eventType is missing"
    ((severity, subject, message),) = ask(
        outbox, "select severity, subject, message from data_platform.alert_history where kind = 'lineage_dead_letters'"
    )
    assert (severity, subject) == ("error", "dim_batch")
    assert message == (
        f"The lineage server refused events of job dim_batch, the first for: HTTP {status}: eventType is missing"
    )


@pytest.mark.parametrize("status", [408, 425, 429, 502, 503, 504, 0])
def test_an_outage_costs_no_attempts_loses_nothing_and_keeps_the_order(outbox, server, drain, status):
    box.put(outbox, run_of("run-1"), run_id="run-1")
    server.reply = lambda event, arrival: Reply(status if event["number"] == 3 and arrival < 8 else 201)
    stop = drain(lineage_attempts=2)
    thread = threading.Thread(target=stop.run)
    thread.start()
    until(lambda: set(statuses(outbox).values()) == {"delivered"}, 30, "delivered")
    stop.request_stop()
    thread.join(10)
    assert not thread.is_alive()
    assert list(dict.fromkeys(server.keys)) == [item.key for item in run_of("run-1")]
    assert server.keys.count("run-1/3/START") == 9
    assert [item.attempts for item in box.events(outbox)] == [1] * 6


def test_while_the_server_is_away_one_event_at_a_time_asks_for_it(outbox, server, drain):
    for number in range(20):
        box.put(outbox, run_of(f"run-{number}"), run_id=None)
    server.reply = lambda event, arrival: Reply(503)
    drainer = drain()
    thread = threading.Thread(target=drainer.run)
    thread.start()
    until(lambda: drainer.outage.failures >= 3, 20, "an outage")
    seen = len(server.arrivals)
    server.most_at_once = 0
    until(lambda: len(server.arrivals) >= seen + 5, 20, "further attempts")
    drainer.request_stop()
    thread.join(10)
    assert server.most_at_once == 1
    assert any("takes no events (HTTP 503" in line for line in drain.said)


def test_retry_after_is_honoured(outbox, server, drain):
    box.put(outbox, [event("run-1", 0)], run_id=None)
    server.reply = lambda event, arrival: Reply(503 if not arrival else 201, headers={"Retry-After": "1"})
    drain().run(once=True)
    first, second = server.arrivals
    assert second.at - first.at >= 1.0


def test_an_event_that_never_gets_an_answer_holds_up_nobody_and_is_a_dead_letter_once_that_is_proven(
    outbox, server, drain
):
    runs = [f"run-{number:02d}" for number in range(40)]
    for run in runs:
        box.put(outbox, [event(run, 0), event(run, 1, "COMPLETE")], run_id=None)
    server.reply = lambda event, arrival: Reply(0 if event["key"] == "run-03/0/START" else 201)
    drainer = drain(lineage_retry_seconds=0.002, lineage_retry_max_seconds=0.005, lineage_clients=1)
    thread = threading.Thread(target=drainer.run)
    thread.start()
    others = {f"{run}/1/COMPLETE" for run in runs if run != "run-03"}
    until(lambda: others <= set(server.keys), 30, "the others are through")
    # Alone it is not proven: nothing else is answered meanwhile.
    for number in itertools.count():
        if statuses(outbox)["run-03/0/START"] == "dead":
            break
        assert number < 400
        box.put(outbox, [event("later", number)], run_id=None)
        time.sleep(0.05)
    until(lambda: statuses(outbox)["run-03/1/COMPLETE"] == "delivered", 10, "the rest of its run")
    drainer.request_stop()
    thread.join(10)
    (dead,) = box.events(outbox, status="dead")
    assert dead.attempts == 0
    assert dead.last_status is None
    assert "Connection aborted" in dead.last_error


@pytest.mark.parametrize("status", [401, 403, 404, 302])
def test_wrong_settings_kill_no_event_and_an_alert_names_the_answer_until_they_are_mended(
    outbox, server, drain, status
):
    box.put(outbox, run_of("run-1"), run_id="run-1")
    server.reply = lambda event, arrival: Reply(status, "who are you?")
    with pytest.raises(UnavailableError, match=f"HTTP {status}: who are you"):
        drain().run(once=True)
    assert set(statuses(outbox).values()) == {"pending"}
    drainer = drain()
    thread = threading.Thread(target=drainer.run)
    thread.start()
    alerts = "select message from data_platform.alert_history where kind = 'lineage_refused' and resolved_at is null"
    ((message,),) = until(lambda: ask(outbox, alerts), 20, "an alert")
    assert message == (
        f"The lineage server {server.url}/api/v1/lineage takes no events from the drainer on {socket.gethostname()}"
        f" (process {os.getpid()}): {status} who are you?"
    )
    server.reply = lambda event, arrival: Reply()
    until(lambda: set(statuses(outbox).values()) == {"delivered"}, 20, "delivered")
    until(lambda: not ask(outbox, alerts), 20, "the alert is closed")
    drainer.request_stop()
    thread.join(10)


def test_one_of_two_drainers_with_a_wrong_key_is_named_by_one_alert_until_it_has_the_right_one(
    outbox, server, drain, monkeypatch
):
    monkeypatch.setattr(drainer_service, "CARE_SECONDS", 0.05)
    server.key = "right"
    refused = "select resolved_at is null, details->>'host' from data_platform.alert_history where kind = %s"
    right, wrong = drain(key="right"), drain(key="wrong")
    threads = [threading.Thread(target=drainer.run) for drainer in (right, wrong)]
    for thread in threads:
        thread.start()
    for number in itertools.count():
        delivered = right.done.delivered
        box.put(outbox, run_of(f"run-{number}"), run_id=None)
        if wrong.outage.failures >= 4 and delivered >= 60:
            break
        assert number < 500
        until(lambda before=delivered: right.done.delivered > before, 20, "delivered")
    assert ask(outbox, refused, "lineage_refused") == [(True, socket.gethostname())], "raised once, and never closed"
    wrong.request_stop()
    threads[1].join(10)
    mended = drain(key="right")
    right.request_stop()
    threads[0].join(10)
    box.put(outbox, run_of("last"), run_id=None)
    assert mended.run(once=True).delivered > 0
    assert ask(outbox, refused, "lineage_refused") == [(False, socket.gethostname())]


def test_once_ends_with_the_reason_when_the_server_is_away(outbox, server, drain):
    box.put(outbox, run_of("run-1"), run_id="run-1")
    server.shutdown()
    server.server_close()
    with pytest.raises(UnavailableError, match=r"takes no events: .*Connection refused"):
        drain().run(once=True)
    assert set(statuses(outbox).values()) == {"pending"}


def test_two_drainers_share_the_work_and_deliver_every_event_once(outbox, server, drain):
    runs = [f"run-{number}" for number in range(30)]
    for run in runs:
        box.put(outbox, run_of(run), run_id=run)
    server.reply = lambda event, arrival: Reply(after=0.01)
    drainers = [drain(lineage_clients=2), drain(lineage_clients=2)]
    threads = [threading.Thread(target=drainer.run, kwargs={"once": True}) for drainer in drainers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    once = list(dict.fromkeys(server.keys))
    assert len(once) == 180
    again = [key for number, key in enumerate(server.keys) if key in server.keys[:number]]
    assert {key.split("/")[0] for key in again} <= {runs[-1]}  # the newest, where an older one came after it
    assert all(drainer.done.delivered for drainer in drainers)
    for run in runs:
        assert [key for key in once if key.startswith(f"{run}/")] == [item.key for item in run_of(run)]


def test_a_lost_session_is_replaced_and_what_was_answered_meanwhile_is_not_sent_again(outbox, server, drain):
    box.put(outbox, run_of("run-1"), run_id="run-1")
    held = threading.Event()
    server.reply = lambda event, arrival: Reply(held=held if event["number"] == 2 else None)
    drainer = drain(lineage_timeout_seconds=20.0)
    thread = threading.Thread(target=drainer.run)
    thread.start()
    until(lambda: "run-1/2/COMPLETE" in server.keys, 20, "in flight")
    until(lambda: list(statuses(outbox).values()).count("delivered") == 2, 20, "noted")
    ask(outbox, CUT)
    time.sleep(0.3)  # the drainer has noticed
    held.set()
    until(lambda: set(statuses(outbox).values()) == {"delivered"}, 30, "delivered")
    drainer.request_stop()
    thread.join(10)
    assert server.keys == [item.key for item in run_of("run-1")]


def test_what_may_have_arrived_late_is_followed_by_what_follows_it_again(outbox, server, drain):
    """A drainer loses its session with a START in flight; another delivers the whole run before it arrives."""
    box.put(outbox, run_of("run-1", ["dim_batch"]), run_id="run-1")
    held = threading.Event()
    server.reply = lambda event, arrival: Reply(held=held if (event["number"], arrival) == (1, 0) else None)
    first = drain(lineage_timeout_seconds=20.0)
    thread = threading.Thread(target=first.run)
    thread.start()
    until(lambda: "run-1/1/START" in server.keys, 20, "in flight")
    until(lambda: list(statuses(outbox).values()).count("delivered") == 1, 20, "noted")
    ask(outbox, CUT)
    drain().run(once=True)
    assert set(statuses(outbox).values()) == {"delivered"}
    before = len(server.keys)
    held.set()
    until(lambda: len(server.keys) >= before + 2, 20, "what follows is sent again")
    until(lambda: set(statuses(outbox).values()) == {"delivered"}, 20, "delivered")
    first.request_stop()
    thread.join(10)
    assert server.keys[before:] == ["run-1/2/COMPLETE", "run-1/3/COMPLETE"]


def test_sigterm_finishes_the_event_in_flight_notes_it_and_leaves(outbox, server, delivery_server, tmp_path):
    box.put(outbox, run_of("run-1"), run_id="run-1")
    server.reply = lambda event, arrival: Reply(after=0.5)
    log = tmp_path / "log.txt"
    drainer = DrainerProcess(delivery_server, log, **environment(server.url, LAKEHOUSE_LINEAGE_TIMEOUT_SECONDS="20"))
    until(lambda: len(server.arrivals) == 2, 30, "the second is in flight")
    os.kill(drainer.process.pid, signal.SIGTERM)
    assert drainer.process.wait(20) == 0
    assert server.keys == ["run-1/0/START", "run-1/1/START"]
    assert list(statuses(outbox).values()) == ["delivered", "delivered", "pending", "pending", "pending", "pending"]
    assert "Delivered 2, refused 0" in log.read_text()


def test_an_end_is_sent_again_when_an_event_before_it_may_have_arrived_late(outbox, server, drain):
    """The first START is stored after the COMPLETE: a server that goes by arrivals takes the job for running."""
    box.put(outbox, run_of("run-1", ["dim_batch"]), run_id="run-1")
    server.reply = lambda event, arrival: Reply(after=1.0 if (event["number"], arrival) == (1, 0) else 0.0)
    drainer = drain(lineage_timeout_seconds=0.3)
    thread = threading.Thread(target=drainer.run)
    thread.start()
    first = [*(item.key for item in run_of("run-1", ["dim_batch"]))]
    first.insert(1, "run-1/1/START")
    until(lambda: len(server.keys) >= 7, 20, "the ends came again")
    until(lambda: set(statuses(outbox).values()) == {"delivered"}, 20, "delivered")
    assert server.keys == [*first, "run-1/2/COMPLETE", "run-1/3/COMPLETE"]
    until(lambda: {item.last_error for item in box.events(outbox)} == {None}, 20, "no doubt is left")
    time.sleep(1.0)  # longer than the pause between two looks
    drainer.request_stop()
    thread.join(10)
    assert len(server.keys) == 7  # once is enough


def test_an_end_that_is_itself_in_doubt_is_sent_again_too_and_no_doubt_is_left(outbox, server, drain):
    """Both attempts may still arrive, the START after the COMPLETE."""
    box.put(outbox, run_of("run-1", ["dim_batch"]), run_id="run-1")
    server.reply = lambda event, arrival: Reply(0 if event["number"] in (1, 2) and not arrival else 201)
    drainer = drain(lineage_timeout_seconds=0.3)
    thread = threading.Thread(target=drainer.run)
    thread.start()
    start, end, parent = "run-1/1/START", "run-1/2/COMPLETE", "run-1/3/COMPLETE"
    until(lambda: len(server.keys) >= 8, 20, "the ends came again")
    until(lambda: set(statuses(outbox).values()) == {"delivered"}, 20, "delivered")
    until(lambda: {item.last_error for item in box.events(outbox)} == {None}, 20, "no doubt is left")
    time.sleep(1.0)  # longer than the pause between two looks
    drainer.request_stop()
    thread.join(10)
    assert server.keys == ["run-1/0/START", start, start, end, end, parent, end, parent]


def test_doubts_that_are_too_fresh_to_be_settled_stay_and_only_what_is_sent_again_is_counted(outbox):
    box.put(outbox, run_of("run-1", ["dim_batch"]), run_id="run-1")
    ask(outbox, "update data_platform.lineage_outbox set status = 'delivered', delivered_at = now() - interval '9 s'")
    ask(outbox, "update data_platform.lineage_outbox set last_error = 'no answer: cut' where event_key ~ '/[12]/'")
    ask(outbox, "update data_platform.lineage_outbox set delivered_at = now() where event_key ~ '/2/'")
    claims = Claims(outbox)
    assert claims.confirm(60.0) == 0
    assert claims.confirm(5.0) == 2
    assert [(item.status, item.last_error) for item in box.events(outbox)] == [
        ("delivered", None),
        ("delivered", None),
        ("pending", "no answer: cut"),
        ("pending", None),
    ]
    assert claims.confirm(5.0) == 0
