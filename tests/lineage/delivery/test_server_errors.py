"""A server that answers 500: to some events, which are poison, or to everything, because it is broken itself."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from delivering import until
from obedient_server import Reply
from sample_events import ask, event, run_of, statuses

from lakehouse.errors import UnavailableError
from lineage import outbox as box
from lineage.drainer_outage import BROKEN_EVENTS, Outage, Patience


def test_a_500_is_tried_again_while_other_runs_go_on_and_is_a_dead_letter_after_the_last_attempt(outbox, server, drain):
    for run in ("bad", "good-1", "good-2"):
        box.put(outbox, run_of(run, ["dim_batch"]), run_id=run)
    server.reply = lambda event, arrival: Reply(500 if event["key"] == "bad/1/START" else 201, "NullPointerException")
    drain(lineage_attempts=4, lineage_clients=1, lineage_retry_seconds=0.2, lineage_retry_max_seconds=0.4).run(
        once=True
    )
    assert server.keys.count("bad/1/START") == 4
    last_attempt = max(number for number, key in enumerate(server.keys) if key == "bad/1/START")
    first_attempt = server.keys.index("bad/1/START")
    assert {key.split("/")[0] for key in server.keys[first_attempt + 1 : last_attempt]} >= {"good-1", "good-2"}
    assert server.keys[last_attempt + 1 :][:2] == ["bad/2/COMPLETE", "bad/3/COMPLETE"]
    (dead,) = box.events(outbox, status="dead")
    assert (dead.attempts, dead.last_status, dead.last_error) == (4, 500, "NullPointerException")


def test_a_server_that_answers_500_to_everything_is_left_alone_and_no_event_dies_of_it(outbox, server, drain):
    """As Marquez does while its database is down."""
    runs = [f"run-{number:02d}" for number in range(30)]
    for run in runs:
        box.put(outbox, run_of(run, ["dim_batch"]), run_id=run)
    server.reply = lambda event, arrival: Reply(500, "could not connect to the database")
    drainer = drain(lineage_attempts=2, lineage_retry_max_seconds=0.2)
    thread = threading.Thread(target=drainer.run)
    thread.start()
    until(lambda: drainer.outage.failures >= 4, 30, "an outage")
    assert len(server.arrivals) < 30  # not every run was tried
    server.reply = lambda event, arrival: Reply()
    until(lambda: set(statuses(outbox).values()) == {"delivered"}, 30, "delivered")
    drainer.request_stop()
    thread.join(10)
    for run in runs:
        arrived = list(dict.fromkeys(key for key in server.keys if key.startswith(f"{run}/")))
        assert arrived == [item.key for item in run_of(run, ["dim_batch"])]


def test_no_attempt_is_counted_and_nothing_dies_however_long_a_server_answers_500_to_everything(outbox, server, drain):
    runs = [f"run-{number:02d}" for number in range(30)]
    for run in runs:
        box.put(outbox, run_of(run, ["dim_batch"]), run_id=run)
    server.reply = lambda event, arrival: Reply(500, "could not connect to the database")
    drainer = drain(lineage_attempts=1, lineage_retry_seconds=0.01, lineage_retry_max_seconds=0.02)
    thread = threading.Thread(target=drainer.run)
    thread.start()
    until(lambda: drainer.outage.failures >= 100, 60, "a long outage")
    assert set(statuses(outbox).values()) == {"pending"}
    assert sum(item.attempts for item in box.events(outbox)) == 0, "nor of those before it was known"
    assert len(set(server.keys)) >= 10  # one run after the other is asked about
    server.reply = lambda event, arrival: Reply()
    until(lambda: set(statuses(outbox).values()) == {"delivered"}, 10, "delivered")
    drainer.request_stop()
    thread.join(10)


def test_what_was_tried_at_a_broken_server_waits_twice_as_long_each_time_until_the_server_takes_something():
    outage = Outage(Patience(1.0, 60.0))
    assert [outage.shun(1) for _ in range(7)] == [120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0]
    assert outage.shun(2) == 120.0
    assert (outage.pardoned(), outage.pardoned()) == ([1, 2], [])
    assert outage.shun(1) == 120.0
    outage.forget(1)
    assert outage.pardoned() == []


def test_poison_at_the_head_of_many_runs_starves_no_other_run_and_dies_when_others_get_through(outbox, server, drain):
    """More of it than makes a server count as broken, and all of it older than what the server takes."""
    poisoned = [f"poison-{number}" for number in range(2 * BROKEN_EVENTS)]
    heads = {f"{run}/0/START" for run in poisoned}
    good = [f"run-{number:02d}" for number in range(5)]
    for run in (*poisoned, *good):
        box.put(outbox, run_of(run, ["dim_batch"]), run_id=run)
    server.reply = lambda event, arrival: Reply(500, "NullPointerException")
    drainer = drain(lineage_attempts=3, lineage_clients=2, lineage_retry_seconds=0.01, lineage_retry_max_seconds=0.05)
    thread = threading.Thread(target=drainer.run)
    thread.start()
    until(lambda: drainer.outage.failures >= 30 and heads <= set(server.keys), 30, "an outage that all have met")
    server.reply = lambda event, arrival: Reply(500 if event["key"] in heads else 201, "NullPointerException")
    wanted = {item.key for run in good for item in run_of(run, ["dim_batch"])}
    until(lambda: wanted <= {key for key, status in statuses(outbox).items() if status == "delivered"}, 10, "the good")
    for number in itertools.count():  # alone it is not proven
        if {key for key, status in statuses(outbox).items() if status == "dead"} == heads:
            break
        assert number < 200
        box.put(outbox, [event("later", number)], run_id=None)
        time.sleep(0.05)
    until(lambda: set(statuses(outbox).values()) == {"delivered", "dead"}, 10, "what follows")
    drainer.request_stop()
    thread.join(10)
    assert {item.attempts for item in box.events(outbox, status="dead")} == {3}
    assert {item.key for item in box.events(outbox, status="dead")} == heads


def test_a_lone_event_that_is_answered_with_500_gets_more_attempts_before_it_is_given_up(outbox, server, drain):
    box.put(outbox, run_of("run-1", ["dim_batch"]), run_id="run-1")
    server.reply = lambda event, arrival: Reply(500 if event["number"] == 0 else 201)
    drainer = drain(lineage_attempts=2)
    thread = threading.Thread(target=drainer.run)
    thread.start()
    until(lambda: drainer.done.delivered == 3, 30, "what follows it")
    drainer.request_stop()
    thread.join(10)
    assert drainer.done.dead == 1
    assert [item.attempts for item in box.events(outbox)] == [6, 1, 1, 1]
    assert server.keys == ["run-1/0/START"] * 6 + ["run-1/1/START", "run-1/2/COMPLETE", "run-1/3/COMPLETE"]


@pytest.mark.parametrize("runs", [1, BROKEN_EVENTS - 1, 3 * BROKEN_EVENTS])
def test_drainers_that_run_once_each_bury_nothing_through_an_outage_however_many_there_are(outbox, server, drain, runs):
    """As of a cron table: each knows of its own attempts only, and what they note must not add up."""
    for number in range(runs):
        box.put(outbox, run_of(f"run-{number:02d}", ["dim_batch"]), run_id=None)
    server.reply = lambda event, arrival: Reply(500, "could not connect to the database")
    for _ in range(8):
        with pytest.raises(UnavailableError, match="HTTP 500: could not connect to the database"):
            drain(lineage_attempts=2).run(once=True)
        ask(outbox, "update data_platform.lineage_outbox set next_attempt_at = now()")  # some minutes later
    assert set(statuses(outbox).values()) == {"pending"}
    assert {item.attempts for item in box.events(outbox)} == {0}
    server.reply = lambda event, arrival: Reply()
    done = drain(lineage_attempts=2).run(once=True)
    assert done.dead == 0
    assert set(statuses(outbox).values()) == {"delivered"}


def test_poison_that_a_drainer_left_behind_dies_when_a_later_one_gets_others_through(outbox, server, drain):
    box.put(outbox, run_of("bad", ["dim_batch"]), run_id=None)
    server.reply = lambda event, arrival: Reply(500 if event["key"] == "bad/0/START" else 201, "NullPointerException")
    with pytest.raises(UnavailableError, match="HTTP 500: NullPointerException"):
        drain(lineage_attempts=2).run(once=True)
    box.put(outbox, run_of("good", ["dim_batch"]), run_id=None)
    done = drain(lineage_attempts=2).run(once=True)
    assert done.dead == 1
    assert sorted(statuses(outbox).values()) == ["dead"] + ["delivered"] * 7
    (dead,) = box.events(outbox, status="dead")
    assert (dead.key, dead.attempts) == ("bad/0/START", 2)


def test_a_500_that_passes_leaves_no_trace(outbox, server, drain):
    box.put(outbox, run_of("run-1"), run_id="run-1")
    server.reply = lambda event, arrival: Reply(500 if event["number"] == 2 and arrival < 3 else 201)
    done = drain().run(once=True)
    assert (done.delivered, done.dead) == (6, 0)
    assert [item.attempts for item in box.events(outbox)] == [1, 1, 4, 1, 1, 1]
