"""The outbox on a real Postgres: what is put is there once, in order, all of a run or none of it."""

from __future__ import annotations

import dataclasses
import threading

import pytest
from sample_events import event, run_of

from lakehouse.errors import DataError
from lakehouse.postgres.connect import connect, state_url
from lineage import outbox as box


def test_what_is_put_comes_back_in_order_and_to_the_letter(outbox):
    put = run_of("run-1", ["ä 'quoted' \\ job", "dim_batch"])
    assert box.put(outbox, put, run_id="run-1") == 6
    stored = list(box.events(outbox, page=2))
    assert [(item.key, item.order_key, item.type, item.job, item.event_time, item.body) for item in stored] == [
        (item.key, item.order_key, item.type, item.job, item.event_time, item.body) for item in put
    ]
    assert {(item.status, item.attempts, item.delivered_at) for item in stored} == {("pending", 0, None)}


def test_putting_a_run_twice_changes_nothing(outbox):
    assert box.put(outbox, run_of("run-1"), run_id="run-1") == 6
    before = list(box.events(outbox))
    changed = [dataclasses.replace(item, body={"other": True}) for item in run_of("run-1")]
    assert box.put(outbox, changed, run_id="run-1") == 0
    assert list(box.events(outbox)) == before


def test_a_run_with_nothing_to_tell_is_mapped_all_the_same(outbox):
    assert box.put(outbox, [], run_id="empty") == 0
    assert box.mapped(outbox, ["empty", "never"]) == {"empty"}


@pytest.mark.parametrize(
    "body",
    [{"text": "a\0b"}, {"text": "\ud800"}, {"value": float("nan")}, {"value": object()}],
    ids=["NUL", "half a sign", "not a number", "no JSON"],
)
def test_an_event_that_postgres_cannot_hold_is_named_and_nothing_of_its_run_is_stored(outbox, body):
    good = run_of("run-1")
    with pytest.raises(DataError, match="event run-1/99/START of job broken cannot be stored"):
        box.put(outbox, [*good, event("run-1", 99, job="broken", body=body)], run_id="run-1")
    assert list(box.events(outbox)) == []
    assert box.mapped(outbox, ["run-1"]) == set()
    assert box.put(outbox, good, run_id="run-1") == 6


@pytest.mark.parametrize(
    "key", ["a\0b", "".join(chr(0x4E00 + n % 20000) for n in range(9000))], ids=["NUL", "too long"]
)
def test_a_key_that_postgres_cannot_hold_is_refused_by_name(outbox, key):
    with pytest.raises(DataError, match="cannot be stored"):
        box.put(outbox, [dataclasses.replace(event("run-1", 0), key=key)], run_id="run-1")
    assert box.mapped(outbox, ["run-1"]) == set()


def test_events_are_chosen_by_run_job_kind_state_and_position(outbox):
    box.put(outbox, run_of("run-1"), run_id="run-1")
    box.put(outbox, run_of("run-2", ["mart"]), run_id="run-2")
    box.put(outbox, [dataclasses.replace(event("sync", 0, ""), kind="dataset", job="")], run_id=None)
    assert len(list(box.events(outbox))) == 11
    assert {item.order_key for item in box.events(outbox, order_keys=["run-2"])} == {"run-2"}
    assert [item.type for item in box.events(outbox, jobs=["mart"])] == ["START", "COMPLETE"]
    assert [item.order_key for item in box.events(outbox, kinds=["dataset"])] == ["sync"]
    assert list(box.events(outbox, status="dead")) == []
    last = list(box.events(outbox))[-2]
    assert [item.order_key for item in box.events(outbox, after=last.event_id)] == ["sync"]
    assert len(list(box.events(outbox, since=last.created_at))) == 5


def test_events_of_one_order_key_are_never_seen_with_an_earlier_one_still_on_its_way(outbox, delivery_server):
    first = connect(state_url(delivery_server.settings), what="state database")
    second = connect(state_url(delivery_server.settings), what="state database")
    try:
        with first, first.cursor() as cursor:
            cursor.execute("select pg_advisory_xact_lock(hashtextextended('lineage put sync', 1))")  # as put does
            late = threading.Thread(target=box.put, args=(second, [event("sync", 2)]), kwargs={"run_id": None})
            late.start()
            late.join(0.3)
            assert late.is_alive()
            assert list(box.events(outbox)) == []
        late.join(10)
        assert [item.key for item in box.events(outbox)] == ["sync/2/START"]
    finally:
        first.close()
        second.close()
