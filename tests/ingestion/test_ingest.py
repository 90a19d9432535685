"""What a run does to ledger, drop zone, quarantine, alerts and export."""

from __future__ import annotations

import json
import os

import pyarrow as pa
import pytest
from readings import readings

from ingestion import declarations
from ingestion import ingest as ingest_module
from lakehouse.errors import ConfigError, DataError


def test_a_good_file_is_accepted_and_everything_about_it_recorded(zone):
    key = zone.drop("B001.parquet")
    report = zone.ingest(run_id="run-1")
    assert (report.status, report.failed, [item.key for item in report.accepted]) == ("ok", False, [key])
    [row] = zone.rows(
        "SELECT source_name, stream, file_key, status, row_count, rejected_rows, min_time::text, max_time::text,"
        " batch_ids, run_id, size_bytes, left(fingerprint, 7), facts FROM data_platform.ingestion_runs"
    )
    size = zone.lake.stat(key).size
    assert row[:-1] == (
        *("bioreactor", "readings", key, "accepted", 60, 0, "2026-01-01 00:00:00+00", "2026-01-01 00:00:59+00"),
        *(["B001"], "run-1", size, "sha256:"),
    )
    assert row[-1]["equipment_ids"] == ["BR-01"]
    assert row[-1]["columns"]["timestamp"] == "TIMESTAMP"
    assert row[-1]["parameters"]["ph"] == {
        **{"rows": 20, "out_of_range": 0, "min": 7.0, "max": 7.0, "units": ["pH"], "known": True}
    }
    assert report.metadata["rows"] == 60
    assert report.metadata["batch_ids"] == ["B001"]
    assert all(check.passed for check in report.checks)
    json.dumps(report.to_dict())


def test_the_export_names_accepted_files_only_and_is_rewritten_only_on_change(zone):
    zone.drop("B001.parquet")
    zone.drop("B002.parquet", b"rubbish")
    zone.ingest()
    table = zone.exported()
    assert table.to_pydict() | {"batch_key": 0, "fingerprint": 0, "ingested_at": 0} == {
        "file_key": ["raw/bioreactor/B001.parquet"],
        "batch_key": 0,
        "fingerprint": 0,
        "arrival_seq": [1],
        "ingested_at": 0,
        "row_count": [60],
        "batch_ids": [["B001"]],
        "read_key": ["raw/bioreactor/B001.parquet"],
    }
    assert [str(kind) for kind in table.schema.types] == [
        *("string", "string", "string", "int64", "timestamp[us]", "int64", "list<element: string>", "string")
    ]
    before = zone.lake.stat("raw/_ledger/bioreactor.parquet").version
    zone.ingest()
    assert zone.lake.stat("raw/_ledger/bioreactor.parquet").version == before


def test_an_export_that_was_lost_is_written_again(zone):
    zone.drop()
    zone.ingest()
    zone.lake.delete("raw/_ledger/bioreactor.parquet")
    assert zone.ingest().status == "unchanged"
    assert zone.exported().num_rows == 1


def test_an_empty_drop_zone_is_empty_not_failed_and_alerts_once(zone):
    for _ in range(3):
        report = zone.ingest()
        assert (report.status, report.failed) == ("empty", False)
    assert zone.open_alerts() == [("drop_zone_empty", "bioreactor")]
    assert zone.rows("SELECT count(*) FROM data_platform.alert_history") == [(1,)]
    assert zone.exported().num_rows == 0
    zone.drop()
    assert zone.ingest().status == "ok"
    assert zone.open_alerts() == []


def test_unchanged_files_are_not_read_again(zone, monkeypatch):
    zone.drop()
    zone.ingest()
    monkeypatch.setattr(ingest_module, "_validate_one", lambda *a, **k: pytest.fail("a known file was read"))
    report = zone.ingest()
    assert (report.status, report.unchanged, report.arrival_after) == ("unchanged", 1, report.arrival_before)
    assert report.metadata["rows"] == 60
    assert [check.passed for check in report.checks] == [True] * 7


def test_a_touched_file_with_the_same_content_is_not_new(zone):
    key = zone.drop()
    zone.ingest()
    os.utime(zone.path(key), (1_000_000_000, 1_000_000_000))
    report = zone.ingest()
    assert (report.touched, report.accepted, report.arrival_after) == ([key], [], report.arrival_before)
    assert zone.ingest().status == "unchanged"


def test_a_file_that_arrives_again_supersedes_its_former_version(zone):
    zone.drop("B001.parquet")
    zone.ingest()
    zone.drop("B001.parquet", readings("B001", rows=30))
    report = zone.ingest()
    assert [(item.rows, item.replaced) for item in report.accepted] == [(30, True)]
    assert zone.ledger() == {"B001.parquet": ["superseded", "accepted"]}
    assert zone.exported()["row_count"].to_pylist() == [30]


def test_a_content_that_comes_back_arrives_anew(zone):
    for rows in (60, 30, 60):
        zone.drop("B001.parquet", readings("B001", rows=rows))
        report = zone.ingest()
        assert [item.rows for item in report.accepted] == [rows]
        assert report.arrival_after > report.arrival_before
    assert zone.ledger() == {"B001.parquet": ["superseded", "accepted"]}
    assert zone.exported()["row_count"].to_pylist() == [60]


def test_a_broken_new_version_makes_the_accepted_one_missing(zone):
    zone.drop("B001.parquet")
    zone.ingest()
    zone.drop("B001.parquet", b"rubbish")
    report = zone.ingest()
    assert len(report.quarantined) == 1
    assert zone.ledger() == {"B001.parquet": ["missing", "quarantined"]}
    assert zone.open_alerts() == [("file_quarantined", "raw/bioreactor/B001.parquet")]
    [(message,)] = zone.rows("SELECT message FROM data_platform.alert_history")
    assert "Its former version was accepted and is gone from the drop zone; what it gave stays." in message
    zone.drop("B001.parquet")
    zone.ingest()
    assert zone.open_alerts() == []
    assert zone.ledger() == {"B001.parquet": ["superseded", "accepted"]}


def test_a_deleted_file_is_missing_with_one_warning_and_heals_when_it_returns(zone):
    key = zone.drop("B001.parquet")
    zone.drop("B002.parquet")
    zone.ingest()
    zone.lake.delete(key)
    assert zone.ingest().missing == [key]
    assert zone.ingest().missing == []
    assert zone.open_alerts() == [("file_missing", key)]
    assert zone.ledger() == {"B001.parquet": ["missing"], "B002.parquet": ["accepted"]}
    zone.drop("B001.parquet")
    report = zone.ingest()
    assert [item.key for item in report.accepted] == [key]
    assert zone.open_alerts() == []
    untouched, back = zone.exported()["arrival_seq"].to_pylist()
    assert untouched == 2 < back


def test_a_renamed_file_is_not_missing(zone):
    key = zone.drop("B001.parquet")
    zone.ingest()
    zone.path(key).rename(zone.path("raw/bioreactor/B001 final.parquet"))
    report = zone.ingest()
    assert report.renamed == {key: "raw/bioreactor/B001 final.parquet"}
    assert (report.missing, zone.open_alerts()) == ([], [])
    assert zone.exported()["file_key"].to_pylist() == ["raw/bioreactor/B001 final.parquet"]


def test_a_broken_file_is_moved_with_its_reason_and_the_rest_goes_on(zone):
    zone.drop("good.parquet")
    key = zone.drop("bad.parquet", b"timestamp,value\n1,2\n")
    report = zone.ingest(run_id="r")
    assert [item.key for item in report.accepted] == ["raw/bioreactor/good.parquet"]
    [item] = report.quarantined
    assert not zone.lake.exists(key)
    assert zone.lake.read(item.moved_to) == b"timestamp,value\n1,2\n"
    reason = json.loads(zone.lake.read(item.moved_to + ".reason.json"))
    assert (reason["source"], reason["file"], reason["run_id"]) == ("bioreactor", key, "r")
    assert reason["reasons"][0]["text"] == "it is not Parquet but CSV: text beginning with 'timestamp,value'"
    assert reason["replay"] == f"lakehouse replay bioreactor {item.moved_to}"
    assert (report.failed, zone.ingest().status) == (False, "unchanged")
    failing = {check.name: check.severity for check in report.checks if not check.passed}
    assert failing == {"readable_files": "warn"}


def test_the_same_broken_file_dropped_twice_is_kept_twice(zone):
    moved = []
    for _ in range(3):
        zone.drop("bad.parquet", b"rubbish")
        moved.append(zone.ingest().quarantined[0].moved_to)
    assert len(set(moved)) == 3
    assert all(zone.lake.read(key) == b"rubbish" for key in moved)
    assert zone.ledger() == {"bad.parquet": ["quarantined"]}
    assert zone.rows("SELECT count(*) FROM data_platform.alert_history") == [(1,)]


def test_what_cannot_be_moved_is_reported_once_and_forgotten_when_it_goes(zone):
    zone.drop("good.parquet")
    folder = zone.path("raw/bioreactor/x.parquet")
    folder.mkdir()
    first = zone.ingest()
    assert [(item.cause, item.moved_to) for item in first.quarantined] == [("directory", None)]
    for _ in range(2):
        again = zone.ingest()
        assert (again.status, again.quarantined, again.stuck) == ("unchanged", [], ["raw/bioreactor/x.parquet"])
    assert zone.rows("SELECT count(*) FROM data_platform.alert_history") == [(1,)]
    folder.rmdir()
    assert zone.ingest().checks[0].passed
    assert zone.open_alerts() == []


def test_an_unreadable_file_is_tried_again_when_access_is_granted(zone, no_privileges):
    key = zone.drop("B001.parquet")
    zone.path(key).chmod(0)
    with no_privileges():
        first = zone.ingest()
        second = zone.ingest()
    assert [(item.cause, item.moved_to is not None) for item in first.quarantined] == [("permission", True)]
    assert second.quarantined == []


def test_an_unreadable_file_in_a_folder_we_may_not_change_is_left_and_tried_again(zone, no_privileges):
    key = zone.drop("B001.parquet")
    zone.path(key).chmod(0)
    zone.lake.write("raw/_quarantine/.keep", b"")
    zone.path("raw/bioreactor").chmod(0o555)
    with no_privileges():
        first, second = zone.ingest(), zone.ingest()
        assert [(item.cause, item.moved_to) for item in first.quarantined] == [("permission", None)]
        assert (second.quarantined, second.stuck) == ([], [key])
        zone.path(key).chmod(0o644)
        third = zone.ingest()
    zone.path("raw/bioreactor").chmod(0o755)
    assert [item.key for item in third.accepted] == [key]
    assert zone.open_alerts() == []


def test_too_many_broken_files_fail_the_run_and_good_ones_are_recorded(zone):
    for number in range(6):
        zone.drop(f"bad{number}.parquet", b"rubbish")
        zone.drop(f"good{number}.parquet") if number < 4 else None
    report = zone.ingest()
    assert report.failures == ["6 of 10 files looked at were quarantined (60%), at most 50% may"]
    assert (report.status, len(report.accepted), zone.exported().num_rows) == ("failed", 4, 4)
    with pytest.raises(DataError, match=r"6 of 10 files.*\n.*raw/_quarantine/bioreactor"):
        report.raise_if_failed()
    assert ("quarantine_threshold", "bioreactor") in zone.open_alerts()
    unchanged = zone.ingest()
    assert {check.name: check.severity for check in unchanged.checks if not check.passed} == {
        "readable_files": "warn",
        "quarantine_below_threshold": "error",
    }
    zone.drop("good9.parquet")
    assert not zone.ingest().failed
    assert ("quarantine_threshold", "bioreactor") not in zone.open_alerts()


def test_rows_that_break_row_rules_are_set_aside_and_the_rest_accepted(zone):
    table = readings("B001", rows=100)
    stamps = table["timestamp"].to_pylist()
    values = table["value"].to_pylist()
    stamps[4], values[4], values[50] = None, float("nan"), float("inf")
    table = table.set_column(0, "timestamp", pa.array(stamps, pa.timestamp("us")))
    table = table.set_column(4, "value", pa.array(values))
    zone.drop("B001.parquet", table)
    report = zone.ingest()
    assert [(item.rows, item.rejected_rows) for item in report.accepted] == [(98, 2)]
    [(facts,)] = zone.rows("SELECT facts FROM data_platform.ingestion_runs")
    assert facts["rejected"] == {"timestamp_present": 1, "value_finite": 2}
    file = zone.path(facts["rejected_rows_key"])
    assert file.name.startswith("B001.parquet-")
    import duckdb

    rows = duckdb.sql(f"SELECT _file_row_number, _reason, batch_id FROM '{file}' ORDER BY 1").fetchall()
    assert rows == [
        (
            5,
            "breaks timestamp_present (timestamp is not null); breaks value_finite (value is null or isfinite(value))",
            "B001",
        ),
        (51, "breaks value_finite (value is null or isfinite(value))", "B001"),
    ]
    assert zone.open_alerts() == [("rows_rejected", "raw/bioreactor/B001.parquet")]
    zone.drop("B001.parquet")
    zone.ingest()
    assert zone.open_alerts() == []


def test_extra_columns_are_accepted_shown_and_kept_in_the_schema_history(zone):
    zone.drop("B001.parquet")
    zone.drop("B002.parquet", readings("B002", operator=pa.array(["Ada"] * 60)))
    zone.drop("B003.parquet", readings("B003", operator=pa.array(["Bo"] * 60)))
    report = zone.ingest()
    assert (len(report.accepted), report.new_columns) == (3, {"operator": "VARCHAR"})
    assert report.metadata["extra_columns"] == {"operator": "VARCHAR"}
    history = zone.rows("SELECT version, first_file, columns ? 'operator' FROM data_platform.schema_history ORDER BY 1")
    assert history == [(1, "raw/bioreactor/B001.parquet", False), (2, "raw/bioreactor/B002.parquet", True)]


def test_files_of_other_names_are_ignored_and_named(zone):
    zone.drop()
    zone.drop("notes.txt", b"hello")
    zone.drop("half.parquet.part", b"PAR1")
    report = zone.ingest()
    assert report.ignored == ["raw/bioreactor/notes.txt"]
    assert report.waiting == {"raw/bioreactor/half.parquet.part": "its name says that it is still being written"}


def test_a_hundred_files_with_odd_names_come_in_one_run(zone):
    odd = [
        "with space",
        "ünïcode-批次",
        "it's",
        'dou"ble',
        "(round)",
        "{curly,}",
        "hash#1",
        "per%20cent",
        "a&b=c",
        "x;y",
    ]
    names = [f"{name} {number}.parquet" for name in odd for number in range(10)]
    for name in names:
        zone.drop(name, readings(name))
    report = zone.ingest()
    assert sorted(item.key for item in report.accepted) == sorted(f"raw/bioreactor/{name}" for name in names)
    assert report.metadata["batches"] == 100


@pytest.mark.parametrize("name", ["run[1].parquet", "what?.parquet", "star*.parquet"])
def test_names_that_duckdb_takes_for_patterns_are_refused_by_name(zone, name):
    zone.drop(name)
    [item] = zone.ingest().quarantined
    assert "which DuckDB takes for a pattern" in item.reason
    assert item.remedy == "Rename the file and drop it again."


def test_a_broken_row_rule_is_a_config_error_naming_it(zone):
    bioreactor = declarations.load("bioreactor")
    rule = bioreactor.row_rules[0].model_copy(update={"expression": "no_such_column > 1"})
    zone.drop()
    with pytest.raises(ConfigError, match=r"bioreactor.yml is wrong:\n  - row_rules, batch_id_present"):
        zone.ingest(source=bioreactor.model_copy(update={"row_rules": (rule,)}))
    assert zone.ledger() == {}


def test_text_that_postgres_cannot_hold_does_not_stop_a_run(zone):
    zone.drop("B001.parquet", readings("B\x001"))
    assert len(zone.ingest().accepted) == 1
    assert zone.rows("SELECT batch_ids FROM data_platform.ingestion_runs") == [(["B\ufffd1"],)]


def test_the_same_happens_on_s3(s3_zone):
    zone = s3_zone
    assert zone.ingest().status == "empty"
    zone.drop("good one.parquet")
    bad = zone.drop("bad.parquet", readings(value=None))
    nan = readings("B3", rows=100, value=pa.array([float("nan")] + [37.0] * 99))
    zone.drop("some.parquet", nan)
    report = zone.ingest()
    assert sorted((item.key, item.rejected_rows) for item in report.accepted) == [
        ("raw/bioreactor/good one.parquet", 0),
        ("raw/bioreactor/some.parquet", 1),
    ]
    [item] = report.quarantined
    assert item.reason.startswith("column value is missing")
    assert (zone.lake.exists(bad), zone.lake.exists(item.moved_to)) == (False, True)
    assert zone.lake.exists(item.moved_to + ".reason.json")
    assert zone.ingest().status == "unchanged"
    zone.drop("good one.parquet", readings("good one", rows=30))
    assert [item.replaced for item in zone.ingest().accepted] == [True]
    zone.drop("cut.parquet", zone.lake.read("raw/bioreactor/good one.parquet")[:-20])
    zone.drop("zero.parquet", b"")
    zone.lake.write("raw/bioreactor/folder.parquet/part-0", b"1")
    reasons = {item.key.rpartition("/")[2]: item.reason for item in zone.ingest().quarantined}
    assert "it is damaged" in reasons["cut.parquet"]
    assert reasons["zero.parquet"] == "it is empty (0 bytes)"
    assert reasons["folder.parquet"] == "it is a folder, not a file"
    assert zone.ingest().status == "unchanged"
    assert zone.exported().num_rows == 2
