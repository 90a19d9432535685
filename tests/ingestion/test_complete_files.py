"""A file that nobody writes any more needs no settling time; one that somebody has open does."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest
from readings import readings

from ingestion.declarations import load
from ingestion.file_signs import complete
from ingestion.look import look
from lakehouse.storage.local import LocalLake

KEY = "raw/bioreactor/B001.parquet"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "lake" / "raw" / "bioreactor"
    path.mkdir(parents=True)
    return path


def _complete(tmp_path) -> bool:
    lake = LocalLake(tmp_path / "lake")
    return complete(lake, lake.stat(KEY))


def test_a_closed_parquet_file_is_complete_at_once(tmp_path, folder):
    pq.write_table(readings(), folder / "B001.parquet")
    assert _complete(tmp_path)


def test_a_file_that_is_open_for_writing_is_not(tmp_path, folder):
    pq.write_table(readings(), folder / "B001.parquet")
    with (folder / "B001.parquet").open("ab"):
        assert not _complete(tmp_path)
    assert _complete(tmp_path)
    with (folder / "B001.parquet").open("rb"):
        assert _complete(tmp_path), "a reader is no writer"


def test_a_closed_file_without_its_footer_is_not(tmp_path, folder):
    pq.write_table(readings(), folder / "whole.parquet")
    (folder / "B001.parquet").write_bytes((folder / "whole.parquet").read_bytes()[:-100])
    assert not _complete(tmp_path), "its writer may open it again and go on"


def test_writers_are_not_disturbed_by_the_question(tmp_path, folder):
    """A lease that is held while somebody opens the file for writing makes the kernel signal its holder."""
    path = folder / "B001.parquet"
    pq.write_table(readings(), path)
    lake = LocalLake(tmp_path / "lake")
    deadline = time.monotonic() + 30
    writers = 0
    ended = threading.Event()
    asking = threading.Thread(target=lambda: [lake.closed_by_its_writers(KEY) for _ in iter(ended.is_set, True)])
    asking.start()
    while writers < 200 and time.monotonic() < deadline:
        with path.open("ab"):
            writers += 1
    ended.set()
    asking.join()
    assert writers == 200


def test_a_look_takes_a_complete_file_as_new_and_a_run_does_not_wait_for_it(zone):
    zone.drop(age=0)
    source = load("bioreactor")
    assert [item.key for item in look(zone.settings, source).new] == [KEY]
    said: list[str] = []
    report = zone.ingest(wait=True, progress=said.append)
    assert [item.key for item in report.accepted] == [KEY]
    assert not [line for line in said if "waiting" in line]


def test_a_file_that_is_still_open_waits_in_a_look_and_in_a_run(zone):
    key = zone.drop(age=0)
    with zone.path(key).open("ab") as stream:
        stream.flush()
        assert [waiting.item.key for waiting in look(zone.settings, load("bioreactor")).waiting] == [KEY]
        assert list(zone.ingest().waiting) == [KEY]
    assert [item.key for item in zone.ingest().accepted] == [KEY]


def test_the_moment_of_a_rename_counts_not_the_age_of_what_was_renamed(tmp_path, folder):
    pq.write_table(readings(), folder / ".B001.new")
    os.utime(folder / ".B001.new", (1_000_000_000, 1_000_000_000))
    before = datetime.now(UTC)
    (folder / ".B001.new").rename(folder / "B001.parquet")
    item = LocalLake(tmp_path / "lake").stat(KEY)
    assert item.modified.year == 2001
    assert abs((item.since - before).total_seconds()) < 1
