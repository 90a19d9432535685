"""What a run does when files change under it, when it dies on the way, and when two run at once."""

from __future__ import annotations

import threading
import time

import pytest
from readings import readings

from ingestion import ingest as ingest_module


def test_a_run_that_died_before_the_move_is_finished_by_the_next(zone, monkeypatch):
    key = zone.drop("bad.parquet", b"rubbish")
    zone.drop("good.parquet")
    monkeypatch.setattr(ingest_module, "_set_aside", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        zone.ingest()
    monkeypatch.undo()
    report = zone.ingest()
    assert (report.status, report.stuck, zone.lake.exists(key)) == ("unchanged", [], False)
    assert zone.exported().num_rows == 1
    assert zone.ledger() == {"bad.parquet": ["quarantined"], "good.parquet": ["accepted"]}


def test_a_run_that_died_before_the_ledger_leaves_nothing_behind(zone, monkeypatch):
    zone.drop("bad.parquet", b"rubbish")
    zone.drop("good.parquet")
    monkeypatch.setattr(ingest_module.ledger, "record", lambda *a, **k: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        zone.ingest()
    assert zone.ledger() == {}
    monkeypatch.undo()
    zone.ingest()
    assert zone.ledger() == {"bad.parquet": ["quarantined"], "good.parquet": ["accepted"]}


def test_a_broken_file_replaced_before_the_move_is_not_lost(zone, monkeypatch):
    key = zone.drop("B001.parquet", b"rubbish")
    record = ingest_module.ledger.record

    def replace_then_record(*arguments, **options):
        zone.drop("B001.parquet")
        return record(*arguments, **options)

    monkeypatch.setattr(ingest_module.ledger, "record", replace_then_record)
    report = zone.ingest()
    assert [item.moved_to for item in report.quarantined] == [None]
    monkeypatch.undo()
    assert [item.key for item in zone.ingest().accepted] == [key]
    assert zone.open_alerts() == []


def test_a_file_written_to_while_it_is_validated_waits(zone, monkeypatch):
    zone.drop("B001.parquet")
    validate = ingest_module.validate

    def write_then_validate(*arguments):
        verdict = validate(*arguments)
        zone.drop("B001.parquet", readings("B001", rows=90))
        return verdict

    monkeypatch.setattr(ingest_module, "validate", write_then_validate)
    report = zone.ingest()
    assert report.waiting == {"raw/bioreactor/B001.parquet": "it was written to while it was validated"}
    assert zone.ledger() == {}


def test_a_file_deleted_meanwhile_is_named_and_nothing_fails(zone, monkeypatch):
    key = zone.drop("B001.parquet")
    zone.drop("B002.parquet")
    fingerprint = ingest_module._fingerprint

    def delete_first(lake, item):
        if item.key == key:
            lake.delete(key)
        return fingerprint(lake, item)

    monkeypatch.setattr(ingest_module, "_fingerprint", delete_first)
    report = zone.ingest()
    assert (report.vanished, len(report.accepted), zone.open_alerts()) == ([key], 1, [])


def test_a_file_modified_just_now_is_left_unless_the_run_may_wait(zone):
    key = zone.drop("B001.parquet", age=0)
    with zone.path(key).open("ab"):  # its writer has not closed it: only time can tell that it is complete
        report = zone.ingest(wait=False)
        assert list(report.waiting) == [key]
        assert "files settle for 2 s" in report.waiting[key]
        began = time.monotonic()
        assert [item.key for item in zone.ingest(wait=True).accepted] == [key]
        assert time.monotonic() - began < 20


def test_a_file_still_growing_is_left_for_later(zone):
    key = zone.drop("B001.parquet", age=0)
    opened, stop = threading.Event(), threading.Event()

    def grow():
        with zone.path(key).open("ab") as stream:
            opened.set()
            while not stop.wait(0.05):
                stream.write(b"x" * 1000)
                stream.flush()

    writer = threading.Thread(target=grow)
    writer.start()
    assert opened.wait(5)
    try:
        report = zone.ingest(wait=True)
    finally:
        stop.set()
        writer.join()
    assert list(report.waiting) == [key]
    assert "between two looks" in report.waiting[key]
    assert zone.ledger() == {}


def test_two_runs_at_once_take_turns(zone):
    for number in range(20):
        zone.drop(f"B{number:03}.parquet")
    reports = []
    runs = [threading.Thread(target=lambda: reports.append(zone.ingest())) for _ in range(3)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert sorted(len(report.accepted) for report in reports) == [0, 0, 20]
    assert zone.rows("SELECT count(*) FROM data_platform.ingestion_runs") == [(20,)]


def test_what_a_broken_run_accepted_stays_accepted_until_a_run_has_made_up_for_it(zone):
    _stays_accepted(zone)


def test_what_a_broken_run_accepted_from_s3_stays_accepted_until_a_run_has_made_up_for_it(s3_zone):
    _stays_accepted(s3_zone)


def _stays_accepted(zone) -> None:
    keys = [zone.drop("A.parquet"), zone.drop("B.parquet")]
    zone.ingest()
    for key in keys:
        zone.lake.delete(key)
    kept = {item.key for item in zone.lake.list("raw/_kept/bioreactor")}

    report = zone.ingest(unfinished=lambda: True)
    assert (report.status, report.held_over, report.missing) == ("ok", keys, [])
    assert zone.ledger() == {"A.parquet": ["accepted"], "B.parquet": ["accepted"]}
    exported = zone.exported()
    assert exported["file_key"].to_pylist() == keys
    assert set(exported["read_key"].to_pylist()) == kept
    assert zone.open_alerts() == []

    zone.drop("A.parquet")  # it is back
    report = zone.ingest(unfinished=lambda: True)
    assert report.held_over == keys[1:]
    exported = dict(zip(*(zone.exported()[name].to_pylist() for name in ("file_key", "read_key")), strict=True))
    assert exported[keys[0]] == keys[0]
    assert exported[keys[1]] in kept

    report = zone.ingest()
    assert (report.held_over, report.missing) == ([], keys[1:])
    assert zone.ledger() == {"A.parquet": ["accepted"], "B.parquet": ["missing"]}
    assert zone.exported()["read_key"].to_pylist() == keys[:1]
    assert zone.open_alerts() == [("file_missing", keys[1])]


def test_what_a_broken_run_accepted_and_nobody_kept_is_an_error_that_says_so(zone):
    zone.settings = zone.settings.model_copy(update={"keep_raw_files": False})
    key = zone.drop("A.parquet")
    zone.ingest()
    zone.lake.delete(key)
    assert zone.ingest(unfinished=lambda: True).missing == [key]
    told = zone.rows("SELECT severity, message FROM data_platform.alert_history WHERE kind = 'file_missing'")
    assert [(severity, "no copy of it is kept" in message) for severity, message in told] == [("error", True)]
