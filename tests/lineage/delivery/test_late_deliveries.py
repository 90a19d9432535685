"""What arrives last of a job is its newest run, however deliveries were held up."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from delivering import until
from obedient_server import Reply
from sample_events import START, event, run_of

from lakehouse.postgres.connect import connect, state_url
from lineage import outbox as box
from lineage.drainer_claims import REPLAYS, Claims, Result
from lineage.outbox_replay import AGAIN, replay_dead, replay_runs, replay_since
from lineage.outgoing import SYNC, Outgoing
from lineage.transport import Answer, Outcome


def _last_end(server, job, but=None):
    ends = [
        item.event for item in server.arrivals if item.event["eventType"] == "COMPLETE" and item.event["job"] == job
    ]
    return next(end["order"] for end in reversed(ends) if end["order"] != but)


def _failed(events: list[Outgoing]) -> list[Outgoing]:
    """The same run, of which everything failed."""
    return [
        replace(event, type="FAIL", body=event.body | {"eventType": "FAIL"}) if event.type == "COMPLETE" else event
        for event in events
    ]


def test_the_newest_run_arrives_last_although_an_older_one_was_held_up(outbox, server, drain):
    box.put(outbox, run_of("older"), run_id="older")
    box.put(outbox, run_of("newer"), run_id="newer")
    held_up = "older/2/COMPLETE"
    server.reply = lambda event, arrival: Reply(500 if event["key"] == held_up and arrival < 3 else 201)
    drain(lineage_attempts=10).run(once=True)
    first = {key: server.keys.index(key) for key in ("older/4/COMPLETE", "newer/4/COMPLETE")}
    assert first["newer/4/COMPLETE"] < first["older/4/COMPLETE"]  # so there was something to put right
    assert {_last_end(server, job) for job in ("stg_bioreactor", "dim_batch", "lakehouse")} == {"newer"}
    assert {item.status for item in box.events(outbox)} == {"delivered"}


def test_runs_that_arrive_in_order_are_not_delivered_twice(outbox, server, drain):
    for run in ("first", "second"):
        box.put(outbox, run_of(run), run_id=run)
        drain().run(once=True)
    assert len(server.keys) == len(set(server.keys)) == 12


def test_after_a_replay_of_an_old_run_the_newest_comes_last(outbox, server, drain):
    for run in ("first", "second"):
        box.put(outbox, run_of(run), run_id=run)
        drain().run(once=True)
    replay_runs(outbox, ["first"])
    drain().run(once=True)
    assert {_last_end(server, job) for job in ("stg_bioreactor", "dim_batch", "lakehouse")} == {"second"}


def test_of_good_ends_the_newest_arrives_last_although_a_failed_run_came_after_it(outbox, server, drain):
    for run in ("older", "newer", "failed"):
        box.put(outbox, _failed(run_of(run)) if run == "failed" else run_of(run), run_id=run)
    server.reply = lambda event, arrival: Reply(500 if event["key"] == "older/2/COMPLETE" and arrival < 3 else 201)
    drain(lineage_attempts=10).run(once=True)
    ends = [item.event for item in server.arrivals if item.event["eventType"] in ("COMPLETE", "FAIL")]
    assert [end["order"] for end in ends if end["job"] == "dim_batch"][-1] == "failed"
    for job in ("stg_bioreactor", "dim_batch"):
        assert _last_end(server, job) == "newer"


def test_the_newest_run_arrives_last_although_the_last_event_that_waited_was_refused(outbox, server, drain):
    """While it waits nothing is put right; when it is given up nothing of the job is delivered that would ask again."""
    for run in ("older", "newer", "poison"):
        box.put(outbox, run_of(run, ["dim_batch"]), run_id=run)
    refuse = threading.Event()

    def reply(event, arrival):
        if event["key"] == "poison/2/COMPLETE":
            return Reply(422 if refuse.is_set() else 500)
        return Reply(500 if event["key"] == "older/2/COMPLETE" and arrival < 2 else 201)

    server.reply = reply
    drainer = drain(lineage_attempts=1000)
    thread = threading.Thread(target=drainer.run)
    thread.start()
    waiting = ["poison/2/COMPLETE", "poison/3/COMPLETE"]
    until(lambda: _pending(outbox) == waiting, 20, "all others are delivered")
    time.sleep(0.5)  # several looks: who asked was told nothing
    assert _last_end(server, "dim_batch", but="poison") == "older"
    refuse.set()
    until(lambda: _last_end(server, "dim_batch", but="poison") == "newer", 20, "put right")
    drainer.request_stop()
    thread.join(10)


@pytest.mark.parametrize(("ago", "again"), [("0 s", run_of("newer")), ("2 days", [])], ids=["lately", "long ago"])
def test_a_new_drainer_puts_right_what_the_one_before_it_left_in_the_last_day(outbox, server, drain, ago, again):
    for run in ("older", "newer"):
        box.put(outbox, run_of(run), run_id=run)
        drain().run(once=True)
    with outbox, outbox.cursor() as cursor:  # as if it had been killed before it could ask
        cursor.execute(
            "update data_platform.lineage_outbox set delivered_at = now() - %s::interval"
            " - case order_key when 'newer' then interval '1 minute' else interval '0' end",
            (ago,),
        )
    for _ in range(2):  # once is enough
        drain().run(once=True)
        assert server.keys[12:] == [item.key for item in again]


def test_metadata_waits_for_the_runs_before_it(outbox, server, drain):
    for key in ("first", "second", SYNC):
        box.put(outbox, run_of(key), run_id=None)
    server.reply = lambda event, arrival: Reply(after=0.02)
    drain(lineage_clients=8).run(once=True)
    assert [key.split("/")[0] for key in server.keys[-6:]] == [SYNC] * 6


def test_metadata_waits_for_the_runs_that_lie_between_its_events_too(outbox, server, drain):
    """Its first events are the oldest of all; what follows was recorded after a run that is still pending."""
    first, then = run_of(SYNC)[:2], run_of(SYNC)[2:]
    for events in (first, run_of("run-1"), then):
        box.put(outbox, events, run_id=None)
    server.reply = lambda event, arrival: Reply(after=0.05 if event["order"] == "run-1" else 0.0)
    drain(lineage_clients=8).run(once=True)
    once = list(dict.fromkeys(server.keys))
    assert [key for key in once if key.startswith(SYNC)] == [item.key for item in (*first, *then)]
    assert once[-4:] == [item.key for item in then]


def test_of_metadata_only_what_no_older_event_of_a_run_precedes_is_claimed_and_otherwise_it_is_let_go(
    outbox, delivery_server
):
    first, then = run_of(SYNC)[:2], run_of(SYNC)[2:]
    for events in (first, run_of("run-1"), then):
        box.put(outbox, events, run_id=None)
    ours = connect(state_url(delivery_server.settings), what="state database")
    theirs = connect(state_url(delivery_server.settings), what="state database")
    try:
        ours.autocommit = theirs.autocommit = True
        one, other = Claims(ours), Claims(theirs)
        (lane,) = one.claim([SYNC])
        assert [item.key for item in lane.events] == [item.key for item in first]
        assert other.claim([SYNC]) == []
        _delivered(one, lane)
        assert one.go_on([SYNC]) == []  # and so it is released
        _delivered(other, *other.claim(["run-1"]))
        (lane,) = other.claim([SYNC])
        assert [item.key for item in lane.events] == [item.key for item in then]
    finally:
        ours.close()
        theirs.close()


def test_what_follows_an_event_that_was_replayed_meanwhile_is_sent_again_after_it(outbox, server, drain):
    """The drainer has the end in memory when somebody replays its run: the START must not be what arrives last."""
    events = run_of("run-1", ["dim_batch"])
    box.put(outbox, events, run_id="run-1")
    held = threading.Event()
    server.reply = lambda event, arrival: Reply(held=held if (event["number"], arrival) == (2, 0) else None)
    drainer = drain(lineage_timeout_seconds=20.0)
    thread = threading.Thread(target=drainer.run)
    thread.start()
    until(lambda: len(server.keys) == 3, 20, "the end is in flight")
    until(lambda: [item.status for item in box.events(outbox)].count("delivered") == 2, 20, "noted")
    assert replay_runs(outbox, ["run-1"]) == 2
    held.set()
    until(lambda: {item.status for item in box.events(outbox)} == {"delivered"}, 20, "delivered")
    drainer.request_stop()
    thread.join(10)
    keys = [item.key for item in events]
    assert server.keys in ([*keys, *keys], [*keys[:3], *keys])  # its last event may not have been in memory


def test_an_end_is_noted_only_where_no_earlier_event_of_its_run_waits_again(outbox, delivery_server):
    for run in ("run-1", "run-2"):
        box.put(outbox, run_of(run, ["dim_batch"]), run_id=run)
    with contextlib.closing(connect(state_url(delivery_server.settings), what="state database")) as connection:
        connection.autocommit = True
        claims = Claims(connection)
        one, two = claims.claim(["run-1", "run-2"])
        _delivered(claims, *(replace(lane, events=lane.events[:2]) for lane in (one, two)))
        assert replay_runs(outbox, ["run-1"]) == 2
        _delivered(claims, *(replace(lane, events=lane.events[2:]) for lane in (one, two)))
        assert [(item.status, item.delivered_at is None) for item in box.events(outbox)] == [
            *[("pending", True)] * 4,
            *[("delivered", False)] * 4,
        ]
        _delivered(claims, *claims.go_on(["run-1"]))  # the whole run in one statement: nothing precedes it
        assert {item.status for item in box.events(outbox)} == {"delivered"}


def test_a_replay_waits_for_what_is_being_noted_and_the_other_way_round(outbox, delivery_server):
    """Else each would miss what the other has not committed: the end stays delivered, the START comes after it."""
    box.put(outbox, run_of("run-1", ["dim_batch"]), run_id="run-1")
    connections = [connect(state_url(delivery_server.settings), what="state database") for _ in range(2)]
    try:
        ours, theirs = connections
        ours.autocommit = True
        claims = Claims(ours)
        (lane,) = claims.claim(["run-1"])
        _delivered(claims, replace(lane, events=lane.events[:2]))
        with theirs.cursor() as cursor:  # a replay that takes its time
            cursor.execute(f"select pg_advisory_xact_lock({REPLAYS})")
            cursor.execute(f"{AGAIN} and order_key = 'run-1'")
            assert cursor.rowcount == 2
        noting = threading.Thread(target=_delivered, args=(claims, replace(lane, events=lane.events[2:])))
        noting.start()
        noting.join(0.3)
        assert noting.is_alive()
        theirs.commit()
        noting.join(10)
        assert [item.status for item in box.events(outbox)] == ["pending"] * 4
    finally:
        for connection in connections:
            connection.close()


def _told(number, kind="job"):
    return replace(event(SYNC, number, "COMPLETE" if kind == "run" else ""), kind=kind)


def _pending(connection):
    return [item.key for item in box.events(connection, status="pending")]


def test_a_replay_since_a_moment_holds_whole_runs_but_only_metadata_of_that_moment_or_later(outbox, server, drain):
    """Old metadata would grey the node of a model that has run since, or move its dataset's version."""
    run = [event("run-1", number, type_) for number, type_ in ((1, "START"), (2, "RUNNING"), (5, "COMPLETE"))]
    box.put(outbox, [_told(0), *run, _told(3, "dataset"), _told(4)], run_id=None)
    drain().run(once=True)
    assert replay_since(outbox, START + timedelta(seconds=4)) == 4
    assert _pending(outbox) == [*(item.key for item in run), _told(4).key]
    assert replay_since(outbox, None) == 2  # all there is, into a new server: in the order in which it happened
    assert len(_pending(outbox)) == 6


def test_after_refused_metadata_only_what_was_refused_and_runs_come_again(outbox, server, drain):
    box.put(outbox, [_told(0), _told(1), _told(2, "dataset"), _told(3, "run"), _told(4), _told(5)], run_id=None)
    box.put(outbox, [event("run-1", 6), event("run-1", 7, "COMPLETE")], run_id=None)
    server.reply = lambda event, arrival: Reply(422 if event["number"] in (1, 4, 6) else 201)
    drain().run(once=True)
    assert replay_dead(outbox) == 5
    assert _pending(outbox) == [_told(1).key, _told(3, "run").key, _told(4).key, "run-1/6/START", "run-1/7/COMPLETE"]


def test_metadata_that_is_replayed_by_its_name_holds_only_what_was_refused_and_runs(outbox, server, drain):
    box.put(outbox, [_told(0), _told(1), _told(2, "run"), event("run-1", 3)], run_id=None)
    server.reply = lambda event, arrival: Reply(422 if event["number"] == 1 else 201)
    drain().run(once=True)
    assert replay_runs(outbox, ["run-1", SYNC]) == 3
    assert _pending(outbox) == [_told(1).key, _told(2, "run").key, "run-1/3/START"]


def _delivered(claims, *lanes):
    done = Answer(Outcome.DELIVERED, 201)
    claims.record([Result(lane.order_key, item, done, "delivered", 1) for lane in lanes for item in lane.events])
