"""From a mart's row to the rows of the raw files, on a real lake; the files are read independently by pyarrow."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from platforms import CLI
from small_lake import MART, START, by_name, interleaved, numbers, series, staging

from lakehouse.errors import ConfigError, DataError

ROW = ("batch_id=B001", "equipment_id=BR-01", "parameter=ph", "unit=u")


def test_a_row_leads_to_the_positions_that_the_file_itself_shows(lake):
    lake.drop("B001.parquet", interleaved(series("ph", 30), series("do", 30)))
    lake.drop("B002.parquet", series("ph", 20, batch="B002"))
    lake.run()
    found = lake.trace(*ROW)
    assert {name: numbers(item) for name, item in by_name(found).items()} == {
        "B001.parquet": lake.positions("B001.parquet", parameter="ph")
    }
    assert [str(part) for part in by_name(found)["B001.parquet"].ranges] == ["0–58 every 2nd"]
    assert found.exact
    assert [(step.relation, step.rows) for step in found.start.walk() if step.role != "joined"] == [
        ("marts.mart_bioreactor_overview", 1),
        ("curated.fact_bioreactor_batch_stats", 1),
        ("intermediate.int_bioreactor_downsample_5m", 6),
        ("staging.stg_bioreactor", 30),
    ]


@pytest.mark.prove
def test_the_ledger_s_facts_stand_beside_each_file(lake):
    lake.drop("B001.parquet", series("ph", 10))
    lake.run()
    (item,) = by_name(lake.trace(*ROW)).values()
    assert (item.where, item.read_key, item.warnings) == ("drop zone", "raw/bioreactor/B001.parquet", [])
    assert (item.version.run_id, item.version.status, item.version.row_count) == ("run-of-the-test", "accepted", 10)
    assert item.version.fingerprint.startswith("sha256:")


def test_readings_delivered_again_are_found_and_told_apart_and_the_counts_add_up(lake):
    first = series("ph", 20)
    lake.drop("B001.parquet", interleaved(first, series("do", 20)) + first[:5])  # five again, in the same file
    lake.drop("B001-again.parquet", first[10:])  # ten again, in another
    lake.run()
    found = lake.trace(*ROW)
    step, files = staging(found), by_name(found)
    ((counted, duplicates),) = lake.mart(
        "select reading_count, duplicate_count from marts.mart_bioreactor_overview where parameter = 'ph'"
    )
    assert (counted, duplicates) == (20, 15)
    assert step.rows == counted + duplicates == 35
    assert step.not_counted == duplicates
    assert numbers(files["B001.parquet"]) == lake.positions("B001.parquet", parameter="ph")
    assert numbers(files["B001-again.parquet"]) == list(range(10))
    arrivals = {name: item.version.arrival_seq for name, item in files.items()}
    # Of one file the last row counts, of several files the one that arrived last.
    later = max(arrivals, key=arrivals.__getitem__)
    left_out = {"B001.parquet": 5, "B001-again.parquet": 0}
    left_out["B001.parquet" if later == "B001-again.parquet" else "B001-again.parquet"] += 10
    assert {name: item.not_counted for name, item in files.items()} == left_out


@pytest.mark.prove
def test_two_files_of_one_batch_are_both_found_and_no_other_is_opened(lake):
    lake.drop("B001.parquet", series("ph", 12))
    lake.drop("B001-late.parquet", series("ph", 7, first=12))
    for number in range(2, 6):
        lake.drop(f"B00{number}.parquet", series("ph", 5, batch=f"B00{number}"))
    lake.run()
    for number in range(2, 6):  # what is not needed cannot hurt: these files are rubbish by now
        lake.path(f"B00{number}.parquet").write_bytes(b"not a Parquet file")
    found = by_name(lake.trace(*ROW))
    assert {name: numbers(item) for name, item in found.items()} == {
        "B001.parquet": list(range(12)),
        "B001-late.parquet": list(range(7)),
    }


def test_quotes_and_signs_in_values_and_file_names_are_only_text(lake):
    batch, parameter, equipment = "B'1\"; drop table x; --", "p'h \\ %s ? {0}", "BR '%' \"q\""
    rows = series(parameter, 6, batch=batch, unit=None, equipment=equipment)
    lake.drop('it\'s a "ü" %s.parquet', interleaved(rows, series("do", 6, batch=batch, equipment=equipment)))
    lake.drop("other.parquet", series(parameter, 6, batch="B'1", unit=None, equipment=equipment))
    lake.run()
    found = lake.trace(f"batch_id={batch}", f"equipment_id={equipment}", f"parameter={parameter}", "unit=")
    assert {name: numbers(item) for name, item in by_name(found).items()} == {
        'it\'s a "ü" %s.parquet': [0, 2, 4, 6, 8, 10]
    }
    assert found.exact


def test_a_corrected_file_that_is_not_built_yet_is_not_taken_for_what_the_row_was_made_of(lake):
    lake.drop("B001.parquet", series("ph", 10))
    lake.run()
    lake.drop("B001.parquet", series("do", 4) + series("ph", 3))
    lake.ingest()
    lake.build("staging")  # the view shows the new version; the mart's row was made of the former
    found = lake.trace(*ROW)
    (item,) = staging(found).files
    assert (item.version.status, item.version.row_count) == ("superseded", 10)
    assert (item.where, item.rows) == ("gone", 0)  # only what counts is kept: the former content is nowhere
    assert [warning.split(":")[0] for warning in item.warnings] == ["superseded", "its content is not kept anywhere"]
    assert not found.complete
    assert not found.exact
    lake.build()
    (item,) = by_name(lake.trace(*ROW)).values()
    assert (item.where, numbers(item), item.warnings) == ("drop zone", [4, 5, 6], [])


@pytest.mark.prove
def test_a_file_changed_in_the_lake_is_read_from_its_kept_copy_as_long_as_there_is_one(lake):
    lake.drop("B001.parquet", series("ph", 10))
    lake.run()
    lake.drop("B001.parquet", series("ph", 3))
    (item,) = by_name(lake.trace(*ROW)).values()  # changed in the lake, not ingested: the kept copy still has it
    assert (item.where, numbers(item)) == ("kept copy", list(range(10)))
    assert ["not ingested yet" in warning for warning in item.warnings] == [True]
    lake.path("../_kept/bioreactor/" + item.version.batch_key + ".parquet").unlink()
    found = lake.trace(*ROW)
    (item,) = staging(found).files
    assert (item.where, item.rows, item.ranges) == ("gone", 0, [])
    assert any("cannot be shown" in warning for warning in item.warnings)


@pytest.mark.prove
def test_a_file_deleted_from_the_drop_zone_is_read_from_its_kept_copy(lake):
    lake.drop("B001.parquet", interleaved(series("ph", 8), series("do", 8)))
    lake.drop("B002.parquet", series("ph", 8, batch="B002"))
    lake.run()
    expected = lake.positions("B001.parquet", parameter="ph")
    lake.path("B001.parquet").unlink()
    lake.run()
    (item,) = by_name(lake.trace(*ROW)).values()
    assert (item.where, numbers(item), item.warnings) == ("kept copy", expected, ["gone from the drop zone"])


@pytest.mark.prove
def test_a_file_of_the_same_batch_that_came_later_is_said_to_be_missing_from_the_row(lake):
    lake.drop("B001.parquet", series("ph", 8))
    lake.run()
    lake.drop("B001-late.parquet", series("ph", 8, first=8))
    lake.ingest()
    (item,) = by_name(lake.trace(*ROW)).values()
    assert [warning.partition(" holds")[0] for warning in item.warnings] == ["raw/bioreactor/B001-late.parquet"]


@pytest.mark.prove
def test_several_rows_are_traced_together_when_asked_for_and_refused_otherwise(lake):
    lake.drop("B001.parquet", interleaved(series("ph", 8), series("do", 8)))
    lake.run()
    with pytest.raises(ConfigError, match=r"2 rows of .* have batch_id=B001") as refused:
        lake.trace("batch_id=B001")
    assert "parameter=do" in str(refused.value)
    assert "parameter=ph" in str(refused.value)
    found = lake.trace("batch_id=B001", several=True)
    assert found.start.rows == 2
    assert numbers(by_name(found)["B001.parquet"]) == list(range(16))


@pytest.mark.prove
def test_what_is_shared_with_other_rows_is_counted_apart(lake):
    lake.drop("B001.parquet", interleaved(series("ph", 10), series("do", 10)))
    lake.run()
    found = lake.trace(*ROW)
    shared = {step.relation: step.rows for step in found.start.walk() if step.role == "joined"}
    assert shared == {
        "curated.dim_batch": 1,
        "intermediate.int_bioreactor_downsample_5m": 4,  # two buckets of each of two series
        "staging.stg_bioreactor__files": 1,
    }


@pytest.mark.prove
def test_any_model_can_be_traced_and_the_result_is_plain_json(lake):
    lake.drop("B001.parquet", series("ph", 10))
    lake.run()
    found = lake.trace("batch_id=B001", mart="curated.dim_batch", sample=2)
    told = json.loads(json.dumps(found.as_json(), default=str))
    assert told["exact"] is True
    assert told["start"]["relation"] == "curated.dim_batch"
    assert len(told["start"]["above"][0]["sample"]) == 2
    key = f"bucket_start={START.isoformat()}"
    bucket = lake.trace("batch_id=B001", key, mart="int_bioreactor_downsample_5m")
    assert numbers(by_name(bucket)["B001.parquet"]) == [0, 1, 2, 3, 4]


def test_what_is_not_there_is_answered_with_what_comes_near(lake):
    lake.drop("B001.parquet", series("ph", 10))
    with pytest.raises(DataError, match="no warehouse yet"):
        lake.trace(*ROW)
    lake.run()
    cases = [
        (("batch_id=B001",), {"mart": "mart_bioreactr_overview"}, ConfigError, "Did you mean mart_bioreactor_overview"),
        ((), {}, ConfigError, "--key batch_id=… --key equipment_id=… --key parameter=… --key unit=…"),
        (("batchid=B001",), {}, ConfigError, "Did you mean batch_id"),
        (("batch_id",), {}, ConfigError, "neither column=value nor column:null"),
        (("batch_id=B001", "batch_id=B002"), {}, ConfigError, "given twice"),
        (("batch_start=yesterday-ish",), {}, ConfigError, "batch_start is a timestamp without time zone"),
        (("reading_count=",), {}, ConfigError, "--key reading_count:null"),
        (("batch_id=B0001",), {}, DataError, "batch_id is 'B001'"),
        (("batch_id=B001", "parameter=pH"), {}, DataError, "parameter where batch_id=B001 is 'ph'"),
        (("unit=", "batch_id=B001"), {}, DataError, "unit where batch_id=B001 is 'u'"),
        (("batch_id:null",), {}, DataError, "batch_id is 'B001'"),
    ]
    for keys, options, kind, said in cases:
        with pytest.raises(kind) as refused:
            lake.trace(*keys, **options)
        assert said in str(refused.value)
    assert lake.trace("avg_value=4.5", f"batch_start={START}").start.rows == 1


@pytest.mark.prove
def test_models_that_left_no_sql_are_compiled_and_the_command_prints_the_same(lake):
    lake.drop("B001.parquet", interleaved(series("ph", 10), series("do", 10)))
    lake.run()
    before = lake.trace(*ROW).as_json()
    lake.execute("TRUNCATE data_platform.lineage_models")
    assert lake.trace(*ROW).as_json() == before
    arguments = [part for key in ROW for part in ("--key", key)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LAKEHOUSE_")} | {
        "LAKEHOUSE_DATA_DIR": str(lake.settings.data_path),
        "LAKEHOUSE_POSTGRES_PORT": str(lake.settings.postgres_port),
        "LAKEHOUSE_DUCKDB_MEMORY_LIMIT": "1GB",
        "LAKEHOUSE_DUCKDB_THREADS": "2",
    }

    def call(*options: str) -> subprocess.CompletedProcess[str]:
        command = [str(CLI), "trace", MART, *options]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)

    printed = call(*arguments, "--json")
    assert printed.returncode == 0, printed.stderr
    assert json.loads(printed.stdout) == json.loads(json.dumps(before, default=str))
    told = call(*arguments)
    assert "• raw/bioreactor/B001.parquet  10 rows\n" in told.stdout
    assert "rows 0–18 every 2nd\n" in told.stdout
    assert told.stdout.endswith("These are exactly the rows that it was made of.\n")
    assert [call("--key", "batch_id=B001").returncode, call("--key", "batch_id=B9").returncode] == [2, 3]
