"""What the bioreactor models compute, against pandas and against hand-made cases."""

from __future__ import annotations

import datetime as dt
import math
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Warehouse


def synthetic(batch: str, equipment: str, seed: int, minutes: int = 400) -> list[tuple[Any, ...]]:
    """Uneven readings with gaps and empty values, the same for the same seed."""
    import random

    rng = random.Random(seed)
    start = dt.datetime(2024, 1, seed % 28 + 1, 23, 41, 7)
    rows: list[tuple[Any, ...]] = []
    for parameter, unit, mean in (("temperature", "°C", 37.0), ("ph", "pH", 7.0), ("light", None, 1e6)):
        for minute in range(minutes):
            if rng.random() < 0.2:
                continue
            value = None if rng.random() < 0.05 else mean * rng.uniform(0.9, 1.1)
            moment = start + dt.timedelta(minutes=minute, seconds=rng.random())
            rows.append((moment.isoformat(), batch, equipment, parameter, value, unit))
    return rows


def expected_stats(rows: list[tuple[Any, ...]]) -> Any:
    """The fact computed by pandas from the raw rows, later rows winning."""
    import pandas as pd

    frame = pd.DataFrame(rows, columns=["timestamp", "batch_id", "equipment_id", "parameter", "value", "unit"])
    frame["timestamp"] = pd.to_datetime(frame["timestamp"], format="ISO8601")
    frame["unit"] = frame["unit"].fillna("")
    frame["value"] = frame["value"].astype(float)
    key = ["batch_id", "equipment_id", "parameter", "unit"]
    once = frame.drop_duplicates([*key, "timestamp"], keep="last")
    grouped = once.groupby(key)
    stats = grouped.agg(
        reading_count=("timestamp", "size"),
        value_count=("value", "count"),
        avg_value=("value", "mean"),
        stddev_value=("value", "std"),
        min_value=("value", "min"),
        max_value=("value", "max"),
        first_reading_at=("timestamp", "min"),
        last_reading_at=("timestamp", "max"),
    )
    stats["duplicate_count"] = frame.groupby(key).size() - stats["reading_count"]
    buckets = once.assign(bucket=once["timestamp"].dt.floor("5min"))
    span = buckets.groupby("batch_id")["bucket"].agg(lambda b: (b.max() - b.min()) / pd.Timedelta("5min") + 1)
    filled = buckets.dropna(subset=["value"]).groupby(key)["bucket"].nunique()
    stats["coverage"] = filled / stats.index.get_level_values("batch_id").map(span).to_numpy()
    return stats.reset_index().sort_values(key).reset_index(drop=True)


@pytest.mark.parametrize("in_memory", [True, False], ids=["from lists in memory", "with spilling"])
def test_statistics_equal_pandas_value_by_value(
    warehouse: Warehouse, in_memory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    rows: list[tuple[Any, ...]] = []
    for number in range(1, 6):
        batch = synthetic(f"B{number}", f"R{number % 2}", number)
        rows += batch + batch[10:30]  # a stretch delivered twice
        warehouse.drop_readings(f"B{number}.parquet", batch + batch[10:30])
    late = [(t, b, e, p, None if v is None else v + 1, u) for t, b, e, p, v, u in synthetic("B2", "R0", 2)[5:9]]
    rows += late
    key = warehouse.drop_readings("late for B2.parquet", late)
    if not in_memory:  # as if the lake were too large
        count = 10**12
        original = warehouse.export_ledger

        def export() -> None:
            import pyarrow.compute as pc
            import pyarrow.parquet as pq

            original()
            path = warehouse.lake / "raw/_ledger/bioreactor.parquet"
            table = pq.read_table(path)
            pq.write_table(table.set_column(5, "row_count", pc.add(table["row_count"], count)), path)

        monkeypatch.setattr(warehouse, "export_ledger", export)
    warehouse.build()
    compiled = "checked as materialized"
    assert (compiled in warehouse_sql(warehouse)) is in_memory

    expected = expected_stats(rows)
    columns = ", ".join(expected.columns)
    actual = warehouse.frame(
        f"select {columns} from curated.fact_bioreactor_batch_stats order by batch_id, equipment_id, parameter, unit"
    )
    pd.testing.assert_frame_equal(actual, expected, check_dtype=False, rtol=1e-12)
    batches = warehouse.query("select batch_id, reading_count, duration_hours, source_files from curated.dim_batch")
    counts = expected.groupby("batch_id")["reading_count"].sum().to_dict()
    assert {row[0]: row[1] for row in batches} == counts
    assert next(row[3] for row in batches if row[0] == "B2") == ["raw/bioreactor/B2.parquet", key]


def warehouse_sql(warehouse: Warehouse) -> str:
    """The compiled text of the intermediate model in the last run."""
    files = (warehouse.settings.dbt_dir / "target").rglob("int_bioreactor_downsample_5m.sql")
    return next(path for path in files if "compiled" in path.parts).read_text(encoding="utf-8")


def test_files_of_different_physical_types_and_odd_names_are_read_alike(warehouse: Warehouse) -> None:
    import pyarrow as pa

    moment = dt.datetime(2024, 3, 1, 12, 0)

    def file(name: str, batch: str, timestamp: Any, value: Any, *, dictionary: bool = False, **extra: Any) -> None:
        text = pa.array([batch])
        columns = {
            "value": value,
            "timestamp": timestamp,
            "batch_id": text.dictionary_encode() if dictionary else text,
            "equipment_id": pa.array([" R1 "]),
            "parameter": pa.array(["  Temperature"]),
            "unit": pa.array([" °C "]),
        }
        warehouse.drop(name, pa.table({**columns, **extra}))

    plain = pa.array([moment], pa.timestamp("us"))
    zoned = pa.array([moment.replace(tzinfo=dt.UTC)], pa.timestamp("ns", tz="Europe/Berlin"))
    file("a whole number.parquet", "int", plain, pa.array([37], pa.int32()))
    file("it's [a] *?.parquet", "zoned", zoned, pa.array([37.5]))
    file(
        "[a].parquet", "small", pa.array([moment], pa.timestamp("ms")), pa.array([37.25], pa.float32()), dictionary=True
    )
    file("Größe 50%.parquet", "nano", pa.array([moment], pa.timestamp("ns")), pa.array([36.5]), note=pa.array([1]))
    file("a.parquet", "decoy", plain, pa.array([1.5]))  # what "[a].parquet" would mean as a pattern
    file("date=2024-01-01/x.parquet", "nested", plain, pa.array([2.5]))
    warehouse.build()
    rows = warehouse.query(
        'select batch_id, value, "timestamp", equipment_id, parameter, unit, _source_file from staging.stg_bioreactor'
    )
    assert {row[0]: row[1] for row in rows} == {
        "int": 37.0,
        "zoned": 37.5,
        "small": 37.25,
        "nano": 36.5,
        "decoy": 1.5,
        "nested": 2.5,
    }
    assert {row[2] for row in rows} == {moment}
    assert {row[3:6] for row in rows} == {("R1", "temperature", "°C")}
    assert sorted(row[6] for row in rows) == sorted(warehouse.arrivals)
    described = warehouse.query("select column_name, column_type from (describe staging.stg_bioreactor)")
    assert dict(described)["timestamp"] == "TIMESTAMP"


def test_rows_that_break_a_declared_rule_stay_out(warehouse: Warehouse) -> None:
    warehouse.drop_readings(
        "B1.parquet",
        [
            ("2024-01-01T00:00:00", "B1", "R1", "ph", 7.0, "pH"),
            (None, "B1", "R1", "ph", 7.1, "pH"),
            ("2024-01-01T00:01:00", "B1", "R1", "  ", 7.2, "pH"),
            ("2024-01-01T00:02:00", "B1", "R1", "ph", math.nan, "pH"),
            ("2024-01-01T00:03:00", "B1", "R1", "ph", math.inf, "pH"),
            ("2024-01-01T00:04:00", "B1", None, "ph", None, ""),
        ],
    )
    warehouse.build()
    assert warehouse.query('select value, equipment_id, unit from staging.stg_bioreactor order by "timestamp"') == [
        (7.0, "R1", "pH"),
        (None, "unknown", None),
    ]


def test_an_empty_lake_gives_empty_relations_of_the_declared_types(warehouse: Warehouse) -> None:
    outcomes = warehouse.run("duckdb", ["stg_bioreactor__files", "stg_bioreactor"], must_succeed=False)
    assert outcomes["stg_bioreactor"].ok
    types = dict(warehouse.query("select column_name, column_type from (describe staging.stg_bioreactor)"))
    assert (types["timestamp"], types["value"], types["_arrival_seq"]) == ("TIMESTAMP", "DOUBLE", "BIGINT")
    assert warehouse.query("select count(*) from staging.stg_bioreactor") == [(0,)]
    warehouse.dbt("run", "--exclude", "tag:mart")
    assert warehouse.query("select count(*) from curated.dim_batch") == [(0,)]


def test_unit_tests_pass(warehouse: Warehouse) -> None:
    warehouse.dbt("run", "--empty", "--exclude", "tag:mart")
    result = warehouse.dbt("test", "--select", "test_type:unit")
    assert [(item.node.name, str(item.status)) for item in result.result.results if str(item.status) != "pass"] == []
    assert len(result.result.results) == 4
