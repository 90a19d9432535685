"""What arrives last of a job is its newest run, however deliveries were held up."""

from __future__ import annotations

from dataclasses import replace

from obedient_server import Reply
from sample_events import run_of

from lakehouse.postgres.connect import connect, state_url
from lineage import outbox as box
from lineage.drainer_claims import Claims, Result
from lineage.outbox_replay import replay_runs
from lineage.outgoing import SYNC, Outgoing
from lineage.transport import Answer, Outcome


def _last_end(server, job):
    ends = [
        item.event for item in server.arrivals if item.event["eventType"] == "COMPLETE" and item.event["job"] == job
    ]
    return ends[-1]["order"]


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


def _delivered(claims, *lanes):
    done = Answer(Outcome.DELIVERED, 201)
    claims.record([Result(lane.order_key, item, done, "delivered", True) for lane in lanes for item in lane.events])
