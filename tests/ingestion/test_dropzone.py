"""The comparison of a listing with the ledger, for any listing and any ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ingestion.dropzone import Known, diff, temporary
from lakehouse.storage import LakeObject

NOW = datetime(2026, 1, 1, tzinfo=UTC)
keys = st.sampled_from([f"zone/{name}" for name in ("a.parquet", "b.parquet", "c.csv", "_d.parquet", "e.parquet.tmp")])
versions = st.sampled_from(["1", "2"])
items = st.builds(
    LakeObject,
    key=keys,
    size=st.integers(0, 3),
    modified=st.integers(-100, 100).map(lambda seconds: NOW - timedelta(seconds=seconds)),
    version=versions,
    kind=st.sampled_from(["file", "directory", "dangling"]),
)
listings = st.lists(items, unique_by=lambda item: item.key)
rows = st.builds(
    Known,
    key=keys,
    version=versions,
    fingerprint=versions,
    status=st.sampled_from(["accepted", "missing", "quarantined"]),
    ingestion_id=st.integers(1),
    batch_key=st.text(),
)
ledgers = st.lists(rows, unique_by=lambda row: row.key).map(lambda found: {row.key: row for row in found})


def compare(listing, known, **options):
    options = {"pattern": "*.parquet", "now": NOW, "settle_seconds": 5.0} | options
    return diff(listing, known, **options)


@given(listings, ledgers)
def test_every_entry_is_in_exactly_one_place(listing, known):
    found = compare(listing, known)
    placed = [
        *(
            item.key
            for group in (found.new, found.changed, found.unchanged, found.stuck, found.ignored)
            for item in group
        ),
        *(waiting.item.key for waiting in found.waiting),
    ]
    assert sorted(placed) == sorted(item.key for item in listing)


@given(listings, ledgers)
def test_only_accepted_files_that_are_gone_are_missing(listing, known):
    present = {item.key for item in listing}
    expected = {row.key for row in known.values() if row.status == "accepted" and row.key not in present}
    assert {row.key for row in compare(listing, known).missing} == expected


@given(listings, ledgers)
def test_an_unchanged_file_is_one_the_ledger_accepted_in_this_version(listing, known):
    for item in compare(listing, known).unchanged:
        assert (known[item.key].status, known[item.key].version) == ("accepted", item.version)


@given(listings)
def test_what_was_just_recorded_needs_no_second_look(listing):
    found = compare(listing, {})
    known = {item.key: Known(item.key, item.version, "f", "accepted", 1, "k") for item in found.new}
    again = compare(listing, known)
    assert (again.new, again.changed, again.missing) == ([], [], [])
    assert again.unchanged == found.new


@given(listings, ledgers)
def test_nothing_waits_for_its_age_where_objects_arrive_whole(listing, known):
    assert all(temporary(waiting.item.name) for waiting in compare(listing, known, settle_seconds=0).waiting)


def item(age: float = 60, size: int = 10, version: str = "1") -> LakeObject:
    return LakeObject("zone/a.parquet", size, NOW - timedelta(seconds=age), version)


def test_a_young_file_waits_and_an_old_one_does_not():
    assert [waiting.reason for waiting in compare([item(age=1)], {}).waiting] == [
        "it was modified 1.0 s ago and files settle for 5 s"
    ]
    assert compare([item(age=6)], {}).new == [item(age=6)]


def test_a_clock_that_runs_ahead_does_not_keep_a_file_waiting_for_ever():
    assert compare([item(age=-3600)], {}).new == [item(age=-3600)]


def test_a_file_that_grew_between_two_looks_waits():
    [waiting] = compare([item(size=2000, version="2")], {}, earlier={"zone/a.parquet": item(size=1000)}).waiting
    assert waiting.reason == "its size went from 1,000 to 2,000 bytes between two looks"


def test_a_missing_file_that_returns_in_the_same_version_is_looked_at_again():
    known = {"zone/a.parquet": Known("zone/a.parquet", "1", "f", "missing", 1, "k")}
    assert compare([item()], known).changed == [item()]
