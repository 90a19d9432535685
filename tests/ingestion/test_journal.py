"""The ledger's copy in the raw zone: whole after every run, and enough to make the ledger again."""

from __future__ import annotations

import gzip
import json

import pytest
from readings import readings

from ingestion import ingest as ingest_module
from ingestion import journal
from ingestion.declarations import load
from lakehouse.errors import DataError

SOURCE = load("bioreactor")
LEDGER = "SELECT to_jsonb(r) FROM data_platform.{} r"


def ledger(zone) -> list[dict]:
    found = [row[0] for table in ("ingestion_runs", "schema_history") for row in zone.rows(LEDGER.format(table))]
    return sorted(found, key=lambda row: (row.get("ingestion_id", 0), row.get("version", 0)))


def replayed(zone) -> list[dict]:
    """The ledger after it was emptied and made again from the lake."""
    facts = journal.read(zone.lake, SOURCE)
    with zone.state.cursor() as cursor:
        cursor.execute("TRUNCATE data_platform.ingestion_runs, data_platform.schema_history RESTART IDENTITY")
        journal.replay(cursor, SOURCE, facts)
    return ledger(zone)


def segments(zone) -> list[dict]:
    return [json.loads(gzip.decompress(zone.lake.read(item.key))) for item in zone.lake.list(SOURCE.journal_folder)]


def kept_names(zone) -> list[bytes]:
    return sorted(zone.lake.read(item.key) for item in zone.lake.list(SOURCE.kept_folder))


def a_life(zone) -> None:
    """Files that come, are replaced, broken, deleted, and come back."""
    for name in ("B001", "B002", "B003"):
        zone.drop(f"{name}.parquet")
    zone.drop("B004.parquet", b"rubbish")
    zone.ingest()
    zone.drop("B001.parquet", readings("B001", rows=30))
    zone.lake.delete("raw/bioreactor/B002.parquet")
    zone.ingest()
    zone.drop("B003.parquet", b"rubbish too")
    zone.ingest()
    zone.drop("B002.parquet")
    zone.drop("B005.parquet")
    zone.ingest()


def test_the_ledger_made_again_from_the_lake_is_the_same_to_the_last_value(zone):
    _made_again(zone)


def test_the_ledger_made_again_from_a_lake_on_s3_is_the_same_to_the_last_value(s3_zone):
    _made_again(s3_zone)


def _made_again(zone) -> None:
    a_life(zone)
    before = ledger(zone)
    assert {row.get("status") for row in before} >= {"accepted", "quarantined", "superseded", "missing"}
    assert replayed(zone) == before
    newest = max(row.get("ingestion_id", 0) for row in before)
    zone.drop("B009.parquet")
    zone.ingest()
    assert zone.rows("SELECT max(ingestion_id) FROM data_platform.ingestion_runs") == [(newest + 1,)]


def test_a_segment_holds_what_changed_and_an_unchanged_drop_zone_writes_none(zone):
    for number in range(20):
        zone.drop(f"B{number:03}.parquet")
    zone.ingest()
    zone.drop("B900.parquet")
    zone.ingest()
    zone.ingest()
    full, delta = segments(zone)
    assert (full["full"], len(full["files"])) == (True, 20)
    assert (delta["full"], [row["file_key"] for row in delta["files"]]) == (False, ["raw/bioreactor/B900.parquet"])


def test_a_run_that_dies_after_its_ledger_is_mended_by_the_next(zone, monkeypatch):
    zone.drop("B001.parquet")
    zone.ingest()

    def die(*_, **__):
        raise KeyboardInterrupt

    zone.drop("B002.parquet")
    with monkeypatch.context() as patch:
        patch.setattr(ingest_module.journal, "write", die)
        with pytest.raises(KeyboardInterrupt):
            zone.ingest()
    zone.ingest()
    before = ledger(zone)
    assert [row["file_key"][-12:] for row in before if "file_key" in row] == ["B001.parquet", "B002.parquet"]
    assert replayed(zone) == before


def test_many_segments_become_one_when_a_run_has_nothing_else_to_do(zone, monkeypatch):
    monkeypatch.setattr(journal, "COMPACT_IDLE", 2)
    for number in range(3):
        zone.drop(f"B{number:03}.parquet")
        zone.ingest()
    before = ledger(zone)
    assert [item["full"] for item in segments(zone)] == [True, False, False]
    zone.ingest()
    assert [(item["full"], len(item["files"])) for item in segments(zone)] == [(True, 3)]
    assert replayed(zone) == before


def test_a_lost_or_damaged_segment_is_named(zone):
    a_life(zone)
    items = list(zone.lake.list(SOURCE.journal_folder))
    content = zone.lake.read(items[2].key)
    zone.lake.write(items[2].key, content[:20])
    with pytest.raises(DataError, match=r"000000000003.json.gz cannot be read"):
        journal.read(zone.lake, SOURCE)
    zone.lake.delete(items[2].key)
    with pytest.raises(DataError, match="segment 3 is missing"):
        journal.read(zone.lake, SOURCE)
    zone.lake.write(items[2].key, content)
    zone.lake.delete(items[0].key)
    with pytest.raises(DataError, match="full segment is missing"):
        journal.read(zone.lake, SOURCE)


FOREIGN = ("README", "000000000002 (copy).json.gz", "12.json.gz")


def test_what_others_put_beside_the_segments_is_left_alone_and_told_once(zone):
    _left_alone(zone)


def test_what_others_put_beside_the_segments_on_s3_is_left_alone_and_told_once(s3_zone):
    _left_alone(s3_zone)


def _left_alone(zone) -> None:
    strangers = [f"{SOURCE.journal_folder}/{name}" for name in FOREIGN]
    for key in strangers:
        zone.lake.write(key, b"not of the ledger")
    a_life(zone)  # begins with a full segment, numbered after what is there
    before = ledger(zone)
    journal.forget(zone.settings)
    zone.ingest()  # a full segment again, which takes the place of all others
    assert {key: zone.lake.read(key) for key in strangers} == dict.fromkeys(strangers, b"not of the ledger")
    names = [item.name for item in zone.lake.list(SOURCE.journal_folder)]
    assert sorted(names) == sorted([*FOREIGN, "000000000005.json.gz"])
    assert replayed(zone) == before
    told = "SELECT severity, message, resolved_at IS NULL FROM data_platform.alert_history WHERE kind = 'foreign_files'"
    ((severity, message, is_open),) = zone.rows(told)
    assert (severity, is_open) == ("warning", True)
    assert all(key in message for key in strangers)
    for key in strangers:
        zone.lake.delete(key)
    zone.ingest()
    assert [row[2] for row in zone.rows(told)] == [False]


def test_a_folder_among_the_segments_is_told_by_its_name(zone):
    zone.path(f"{SOURCE.journal_folder}/empty").mkdir(parents=True)
    zone.drop("B001.parquet")
    zone.ingest()
    assert zone.open_alerts() == [("foreign_files", SOURCE.journal_folder)]
    assert zone.path(f"{SOURCE.journal_folder}/empty").is_dir()


def test_a_damaged_segment_stops_by_name_also_where_foreign_files_lie(zone):
    a_life(zone)
    zone.lake.write(f"{SOURCE.journal_folder}/README", b"hello")
    items = [item for item in zone.lake.list(SOURCE.journal_folder) if item.name != "README"]
    zone.lake.write(items[-1].key, b"hello")
    with pytest.raises(DataError, match=r"000000000004.json.gz cannot be read"):
        journal.read(zone.lake, SOURCE)


def test_a_journal_that_was_deleted_is_written_anew(zone):
    a_life(zone)
    for item in zone.lake.list(SOURCE.journal_folder):
        zone.lake.delete(item.key)
    zone.ingest()
    before = ledger(zone)
    assert replayed(zone) == before


def test_the_content_of_a_deleted_file_is_kept_and_that_of_a_replaced_one_is_not(zone):
    _kept(zone)


def test_the_content_of_a_file_deleted_from_s3_is_kept_and_that_of_a_replaced_one_is_not(s3_zone):
    _kept(s3_zone)


def _kept(zone) -> None:
    first = zone.drop("B001.parquet")
    gone = zone.drop("B002.parquet")
    zone.ingest()
    content = zone.lake.read(gone)
    zone.drop("B001.parquet", readings("B001", rows=30))
    zone.lake.delete(gone)
    zone.ingest()
    assert kept_names(zone) == sorted([content, zone.lake.read(first)])


def test_keeping_takes_no_space_on_a_local_disk_and_can_be_switched_off(zone):
    key = zone.drop("B001.parquet")
    zone.ingest()
    [item] = zone.lake.list(SOURCE.kept_folder)
    assert zone.path(item.key).stat().st_ino == zone.path(key).stat().st_ino
    zone.settings = zone.settings.model_copy(update={"keep_raw_files": False})
    zone.drop("B002.parquet")
    zone.ingest()
    assert len(list(zone.lake.list(SOURCE.kept_folder))) == 1
