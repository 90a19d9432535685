"""Every way a file can be wrong, with the reason a person reads."""

from __future__ import annotations

import io
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from readings import readings

from ingestion import declarations


def as_bytes(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


WHOLE = as_bytes(readings("B001", rows=5000, value=pa.array([float(i) for i in range(5000)])))
MIDDLE = WHOLE.find(b"PAR1") + 2000
WORDS = pa.array(["warm"] * 60)
BATCHES = pa.array([None, "  ", *["B001"] * 58])
ONE_IN_FIVE = pa.array([float("nan") if i % 5 == 0 else 37.0 for i in range(60)])

BAD = {
    "zero_bytes": (b"", "empty_file", ["it is empty (0 bytes)"]),
    "csv": (b"timestamp,batch_id\n2026,B1\n", "not_parquet", ["not Parquet but CSV: text beginning with 'timestamp,b"]),
    "text": (b"hello", "not_parquet", ["not Parquet but something else: text beginning with 'hello'"]),
    "binary": (b"\x00\x01\x02\xff" * 9, "not_parquet", ["not Parquet but something else: bytes 00 01 02 ff"]),
    "truncated": (WHOLE[: len(WHOLE) // 2], "damaged", ["it is truncated", "footer is missing at its end"]),
    "magic_only": (b"PAR1", "damaged", ["it is truncated", "(4 bytes)"]),
    "broken_footer": (WHOLE[:-200] + b"\xff" * 192 + WHOLE[-8:], "damaged", ["it is damaged: "]),
    "broken_pages": (WHOLE[:MIDDLE] + b"\xff" * 4000 + WHOLE[MIDDLE + 4000 :], "damaged", ["it is damaged: "]),
    "missing_columns": (
        readings(value=None, unit=None),
        "columns",
        ["columns value, unit are missing", "the file has timestamp, batch_id, equipment_id, parameter"],
    ),
    "wrong_types": (
        readings(timestamp=WORDS, value=WORDS),
        "types",
        [
            "column timestamp has type VARCHAR, expected TIMESTAMP or TIMESTAMP WITH TIME ZONE",
            "column value has type VARCHAR, expected DOUBLE or FLOAT",
        ],
    ),
    "missing_and_wrong": (
        readings(unit=None, value=WORDS),
        "columns",
        ["column unit is missing", "; column value has type VARCHAR"],
    ),
    "no_rows": (readings().slice(0, 0), "no_rows", ["it holds no rows"]),
    "null_batch_ids": (
        readings(batch_id=BATCHES),
        "rule:batch_id_present",
        ["2 of 60 rows break the rule batch_id_present (trim(batch_id) <> ''): rows 1, 2"],
    ),
    "many_broken_rows": (
        readings(value=ONE_IN_FIVE),
        "rejected_rows",
        ["12 of 60 rows break row rules (value_finite: 12); at most 10% may"],
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_quarantined_with_the_reason(zone, kind):
    content, cause, texts = BAD[kind]
    zone.drop("good.parquet")
    key = zone.drop("bad.parquet", content)
    report = zone.ingest()
    assert [item.key for item in report.accepted] == ["raw/bioreactor/good.parquet"]
    [item] = report.quarantined
    assert (item.key, item.cause) == (key, cause)
    for text in texts:
        assert text in item.reason
    assert item.remedy
    assert zone.lake.exists(item.moved_to)
    assert zone.rows("SELECT reason FROM data_platform.ingestion_runs WHERE status = 'quarantined'") == [(item.reason,)]
    failing = [check.name for check in report.checks if not check.passed]
    named = {"columns": "schema", "types": "schema", "rule:batch_id_present": "no_null_batch_ids"}
    expected = named.get(cause, "readable_files" if cause in {"empty_file", "not_parquet", "damaged"} else None)
    assert failing == ([expected] if expected else [])


def test_a_dangling_link_is_named_and_set_aside(zone):
    zone.drop()
    zone.path("raw/bioreactor/link.parquet").symlink_to("gone.parquet")
    [item] = zone.ingest().quarantined
    assert (item.cause, item.reason) == ("dangling", "it is a link to a file that does not exist")
    assert not os.path.lexists(zone.path("raw/bioreactor/link.parquet"))


def test_a_pipe_does_not_block_a_run(zone):
    zone.drop()
    os.mkfifo(zone.path("raw/bioreactor/pipe.parquet"))
    report = zone.ingest()
    assert [item.cause for item in report.quarantined] == ["other"]
    assert len(report.accepted) == 1


def test_a_file_that_may_not_be_read_says_so(zone, no_privileges):
    key = zone.drop()
    zone.path(key).chmod(0)
    with no_privileges():
        [item] = zone.ingest().quarantined
    assert item.reason == "it may not be read by this user"
    assert "chmod a+r" in item.remedy


GOOD = {
    "time_zone": readings(timestamp=pa.array(["2026-01-01T00:00:00+02:00"] * 60).cast(pa.timestamp("us", tz="+02:00"))),
    "nanoseconds": readings(timestamp=pa.array([1_767_225_600_000_000_000] * 60, pa.timestamp("ns"))),
    "integers": readings(value=pa.array([37] * 60)),
    "decimals": readings(value=pa.array([37] * 60).cast(pa.decimal128(25, 3))),
    "floats": readings(value=pa.array([37.0] * 60, pa.float32())),
    "sensor_gaps": readings(value=pa.array([None if i % 2 else 37.0 for i in range(60)])),
    "dictionaries": readings(parameter=pa.array(["ph"] * 60).dictionary_encode()),
    "null_units": readings(unit=pa.array([None] * 60, pa.string())),
}


@pytest.mark.parametrize("kind", GOOD)
def test_an_unusual_file_is_accepted(zone, kind):
    zone.drop("B001.parquet", GOOD[kind])
    report = zone.ingest()
    assert [item.rows for item in report.accepted] == [60], report.quarantined


def test_a_time_zone_is_converted_to_utc(zone):
    zone.drop("B001.parquet", GOOD["time_zone"])
    assert zone.ingest().metadata["min_time"] == "2025-12-31T22:00:00+00:00"


def test_columns_in_another_order_and_case_are_the_declared_ones(zone):
    table = readings()
    table = table.select(table.column_names[::-1]).rename_columns([name.upper() for name in table.column_names[::-1]])
    zone.drop("B001.parquet", table)
    assert [item.rows for item in zone.ingest().accepted] == [60]


def test_values_outside_their_range_are_counted_not_refused(zone):
    values = pa.array([400.0 if i in (0, 3) else -1.0 if i == 1 else 20.0 for i in range(60)])
    zone.drop("B001.parquet", readings(value=values))
    report = zone.ingest()
    assert [item.rows for item in report.accepted] == [60]
    check = next(check for check in report.checks if check.name == "values_in_declared_range")
    assert (check.passed, check.severity) == (False, "warn")
    assert check.metadata["out_of_range"] == {"temperature": 2, "ph": 20}


def test_unknown_parameters_are_counted_and_variants_are_trimmed(zone):
    names = pa.array([["  PH ", "ph", "viscosity"][i % 3] for i in range(60)])
    zone.drop("B001.parquet", readings(parameter=names, value=pa.array([7.0] * 60)))
    report = zone.ingest()
    parameters = report.metadata["parameters"]
    assert {name: (fact["rows"], fact["known"]) for name, fact in parameters.items()} == {
        "ph": (40, True),
        "viscosity": (20, False),
    }
    check = next(check for check in report.checks if check.name == "values_in_declared_range")
    assert (check.passed, check.message) == (True, "parameter viscosity is not declared (20 rows)")


def test_the_policy_for_extra_columns_is_obeyed(zone):
    bioreactor = declarations.load("bioreactor")
    extra = readings("B001", operator=pa.array(["Ada"] * 60))
    zone.drop("B001.parquet", extra)
    report = zone.ingest(source=bioreactor.model_copy(update={"extra_columns": "freeze"}))
    assert [item.reason for item in report.quarantined] == ["column operator not declared"]
    zone.drop("B002.parquet", extra)
    report = zone.ingest(source=bioreactor.model_copy(update={"extra_columns": "discard"}))
    assert (len(report.accepted), report.new_columns) == (1, {})
    assert zone.rows("SELECT columns ? 'operator' FROM data_platform.schema_history") == [(False,)]
