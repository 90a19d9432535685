"""Which files a rebuild must have at which moment, for batches to come out as they were."""

from __future__ import annotations

from ingestion.history import moments


def row(number: int, batches: str, status: str = "accepted", gone_after: int | None = None) -> dict:
    facts = {} if gone_after is None else {"gone_after": gone_after}
    return {"ingestion_id": number, "batch_ids": batches.split(), "status": status, "facts": facts}


def numbers(found: list) -> list[list[int]]:
    return [[item["ingestion_id"] for item in rows] for rows in found]


def test_without_missing_files_there_is_only_the_present():
    assert moments([row(1, "A"), row(2, "B", "superseded", 1)], []) == []


def test_a_missing_file_of_its_own_batch_is_built_together_with_all_that_are_there():
    gone = row(2, "B", "missing", gone_after=3)
    assert numbers(moments([row(1, "A"), gone, row(3, "C"), row(4, "D")], [gone])) == [[1, 2, 3, 4]]


def test_a_batch_of_two_files_keeps_what_the_missing_one_gave():
    gone = row(2, "A", "missing", gone_after=2)
    assert numbers(moments([row(1, "A"), gone, row(3, "C")], [gone])) == [[1, 2, 3]]


def test_a_file_that_left_before_its_batch_arrived_again_leaves_before_it():
    gone = row(1, "A B", "missing", gone_after=2)
    other = row(5, "Z", "missing", gone_after=9)
    rows = [gone, row(2, "C"), row(3, "A"), other]
    assert numbers(moments(rows, [gone, other])) == [[1, 2], [2, 3, 5]]


def test_two_files_that_left_at_different_times_are_two_moments():
    first, second = row(1, "A", "missing", gone_after=1), row(2, "B", "missing", gone_after=3)
    rows = [first, second, row(3, "A"), row(4, "B")]
    assert numbers(moments(rows, [first, second])) == [[1], [2, 3]]


def test_a_missing_file_whose_content_is_nowhere_is_left_out():
    gone, lost = row(1, "A", "missing", gone_after=2), row(2, "B", "missing", gone_after=2)
    assert numbers(moments([gone, lost, row(3, "C")], [gone])) == [[1, 3]]
