"""What arrives again, late, with less, or not at all: only what it concerns is rebuilt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conftest import Warehouse

Row = tuple[Any, ...]


def rows(batch: str, *values: float, hour: int = 0, equipment: str = "R1") -> list[Row]:
    return [
        (f"2024-01-01T{hour:02}:{minute:02}:00", batch, equipment, "ph", value, "pH")
        for minute, value in enumerate(values)
    ]


def averages(warehouse: Warehouse) -> dict[str, float]:
    return dict(warehouse.query("select batch_id, avg_value from curated.fact_bioreactor_batch_stats"))


def physical_rows(warehouse: Warehouse) -> dict[str, list[Row]]:
    """Every row with its place in the file: equal only if nothing was written."""
    return {
        table: warehouse.query(f"select rowid, * from {table} order by rowid")
        for table in (
            "intermediate.int_bioreactor_downsample_5m",
            "curated.dim_batch",
            "curated.fact_bioreactor_batch_stats",
        )
    }


def test_a_second_build_without_news_writes_nothing(warehouse: Warehouse) -> None:
    warehouse.drop_readings("B1.parquet", rows("B1", 1, 2))
    warehouse.build()
    before = physical_rows(warehouse)
    warehouse.build()
    assert physical_rows(warehouse) == before


def test_a_corrected_file_with_fewer_rows_replaces_what_it_gave(warehouse: Warehouse) -> None:
    warehouse.drop_readings("B1.parquet", rows("B1", 1, 2, 3))
    warehouse.drop_readings("B2.parquet", rows("B2", 10, 20))
    warehouse.build()
    untouched = [row for row in physical_rows(warehouse)["curated.dim_batch"] if row[1] == "B2"]
    warehouse.drop_readings("B1.parquet", rows("B1", 5))
    warehouse.build()
    assert averages(warehouse) == {"B1": 5.0, "B2": 15.0}
    assert warehouse.query(
        "select reading_count, batch_end = batch_start from curated.dim_batch where batch_id = 'B1'"
    ) == [(1, True)]
    after = [row for row in physical_rows(warehouse)["curated.dim_batch"] if row[1] == "B2"]
    assert [row[1:] for row in after] == [row[1:] for row in untouched]


def test_a_file_replaced_without_a_batch_takes_the_batch_away(warehouse: Warehouse) -> None:
    warehouse.drop_readings("two.parquet", rows("B1", 1) + rows("B2", 2))
    warehouse.build()
    warehouse.drop_readings("two.parquet", rows("B2", 3))
    warehouse.build()
    assert averages(warehouse) == {"B2": 3.0}
    assert warehouse.query("select batch_id from curated.dim_batch") == [("B2",)]
    assert warehouse.query("select distinct batch_id from intermediate.int_bioreactor_downsample_5m") == [("B2",)]


def test_a_file_replaced_without_a_batch_that_another_file_holds_takes_its_rows_away(warehouse: Warehouse) -> None:
    warehouse.drop_readings("two.parquet", rows("B1", 1) + rows("B2", 2))
    warehouse.drop_readings("B1.parquet", rows("B1", 7, hour=3))
    warehouse.build()
    assert averages(warehouse) == {"B1": 4.0, "B2": 2.0}
    warehouse.drop_readings("two.parquet", rows("B2", 3))
    warehouse.build()
    assert averages(warehouse) == {"B1": 7.0, "B2": 3.0}


def test_a_late_file_of_a_batch_joins_it_and_its_readings_win(warehouse: Warehouse) -> None:
    warehouse.drop_readings("B1.parquet", rows("B1", 1, 2))
    warehouse.build()
    warehouse.drop_readings("B1 late.parquet", rows("B1", 4, 2, 6))
    warehouse.build()
    assert warehouse.query(
        "select avg_value, reading_count, duplicate_count from curated.fact_bioreactor_batch_stats"
    ) == [(4.0, 3, 2)]


def test_deleting_a_file_by_accident_erases_nothing_until_a_full_refresh(warehouse: Warehouse) -> None:
    gone = warehouse.drop_readings("B1.parquet", rows("B1", 1, 2))
    part = warehouse.drop_readings("B2 part.parquet", rows("B2", 8, hour=1))
    warehouse.drop_readings("B2.parquet", rows("B2", 4))
    warehouse.build()
    before = physical_rows(warehouse)
    warehouse.remove(gone)
    warehouse.remove(part)
    warehouse.build()
    assert physical_rows(warehouse) == before
    warehouse.build(full_refresh=True)
    assert averages(warehouse) == {"B2": 4.0}


def test_a_file_that_left_before_it_was_built_is_built_from_its_kept_copy_under_its_own_name(
    warehouse: Warehouse,
) -> None:
    first = warehouse.drop_readings("B1.parquet", rows("B1", 1, 2))
    second = warehouse.drop_readings("B2.parquet", rows("B2", 4))
    warehouse.move_to_kept(first)
    warehouse.build()
    assert averages(warehouse) == {"B1": 1.5, "B2": 4.0}
    staged = "select distinct _source_file, _batch_id from staging.stg_bioreactor order by 1"
    assert warehouse.query(staged) == [(first, "batch-1"), (second, "batch-2")]
    warehouse.drop_readings("B3.parquet", rows("B3", 9))
    warehouse.move_to_kept(second)
    before = physical_rows(warehouse)["curated.dim_batch"]
    warehouse.build()
    assert physical_rows(warehouse)["curated.dim_batch"][:2] == before, "what was built is not built again"
    assert averages(warehouse)["B3"] == 9.0


def test_building_step_by_step_equals_building_at_once(warehouse: Warehouse) -> None:
    for number in range(1, 5):
        warehouse.drop_readings(f"B{number}.parquet", rows(f"B{number}", number, number + 1))
        warehouse.drop_readings("shared.parquet", rows("B1", number * 10, hour=number) + rows(f"S{number}", 1))
        warehouse.build()
    tables = {
        "intermediate.int_bioreactor_downsample_5m": "batch_id, parameter, bucket_start",
        "curated.dim_batch": "batch_id",
        "curated.fact_bioreactor_batch_stats": "batch_id, parameter",
    }
    steps = {table: warehouse.query(f"from {table} order by {order}") for table, order in tables.items()}
    warehouse.build(full_refresh=True)
    assert {table: warehouse.query(f"from {table} order by {order}") for table, order in tables.items()} == steps
    assert [row[0] for row in steps["curated.dim_batch"]] == ["B1", "B2", "B3", "B4", "S4"]


def test_only_the_files_of_the_arrived_batches_are_opened(warehouse: Warehouse) -> None:
    kept = [warehouse.drop_readings(f"B{number}.parquet", rows(f"B{number}", 1)) for number in range(3)]
    warehouse.build()
    warehouse.drop_readings("B9.parquet", rows("B9", 9))
    warehouse.export_ledger()
    for key in kept:  # whoever opens them now fails
        (warehouse.lake / key).write_bytes(b"PAR1 not a Parquet file")
    warehouse.run(
        "duckdb",
        ["tag:staging", "tag:intermediate", "tag:curated"],
        variables={"checks_after_arrival": len(kept)},
    )
    assert averages(warehouse)["B9"] == 9.0


def test_a_batch_on_two_pieces_of_equipment_names_the_one_with_more_readings(warehouse: Warehouse) -> None:
    warehouse.drop_readings("B1.parquet", rows("B1", 1, equipment="R9") + rows("B1", 1, 2, equipment="R1"))
    warehouse.drop_readings("B2.parquet", rows("B2", 1, equipment="R9") + rows("B2", 1, equipment="R2"))
    warehouse.build()
    assert warehouse.query(
        "select batch_id, equipment_id, equipment_count, equipment_ids from curated.dim_batch order by 1"
    ) == [("B1", "R1", 2, "R1, R9"), ("B2", "R2", 2, "R2, R9")]
