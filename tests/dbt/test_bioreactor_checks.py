"""What the data tests say, and how severe it is."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Warehouse

    from lakehouse.dbt.runner import NodeOutcome


def messages(warehouse: Warehouse, outcome: NodeOutcome) -> list[str]:
    """The message column of a test's failing rows."""
    frame = warehouse.frame(outcome.compiled_code or "")
    return list(frame["message"])


def of(outcomes: dict[str, NodeOutcome], start: str) -> NodeOutcome:
    return next(outcome for name, outcome in outcomes.items() if name.startswith(start))


def test_old_data_warns_in_words_and_can_be_accepted(warehouse: Warehouse) -> None:
    warehouse.drop_readings("B1.parquet", [("2019-04-15T12:40:00", "B1", "R1", "ph", 7.0, "pH")])
    fresh = of(warehouse.build(), "fresh_dim_batch")
    assert fresh.status == "warn"
    (message,) = messages(warehouse, fresh)
    assert message.startswith("newest batch started 2019-04-15 12:40 UTC, ")
    assert "years ago; the limit is 24.0 hours" in message
    assert of(warehouse.build(variables={"accept_stale": True}), "fresh_dim_batch").status == "pass"
    assert of(warehouse.build(variables={"freshness_hours": 24 * 365 * 100}), "fresh_dim_batch").status == "pass"


def test_a_batch_of_today_is_fresh(warehouse: Warehouse) -> None:
    now = dt.datetime.now(dt.UTC).replace(tzinfo=None) - dt.timedelta(hours=1)
    warehouse.drop_readings("B1.parquet", [(now.isoformat(), "B1", "R1", "ph", 7.0, "pH")])
    assert of(warehouse.build(), "fresh_dim_batch").status == "pass"
    assert of(warehouse.build(variables={"freshness_hours": 0.5}), "fresh_dim_batch").status == "warn"


def test_values_out_of_range_warn_and_unknown_parameters_do_not(warehouse: Warehouse) -> None:
    moment = "2024-01-01T00:0{}:00"
    warehouse.drop_readings(
        "B1.parquet",
        [
            (moment.format(0), "B1", "R1", "ph", 7.0, "pH"),
            (moment.format(1), "B1", "R1", "ph", 55.0, "pH"),
            (moment.format(0), "B1", "R1", "backscatter_bs3", 1e9, "a.u."),
        ],
    )
    outcomes = warehouse.build()
    values = of(outcomes, "values_in_declared_range")
    assert values.status == "warn"
    assert messages(warehouse, values) == [
        "ph of batch B1: 1 of 2 values outside 4.0 to 10.0 pH (lowest 7.0, highest 55.0)"
    ]
    average = of(outcomes, "average_as_declared")
    assert average.status == "warn"
    assert messages(warehouse, average) == ["ph of batch B1: average 31.0, expected 5.5 to 8.0 pH"]


def test_an_equipment_without_a_single_value_warns(warehouse: Warehouse) -> None:
    warehouse.drop_readings(
        "B1.parquet",
        [
            ("2024-01-01T00:00:00", "B1", "R1", "ph", 7.0, "pH"),
            ("2024-01-01T00:00:00", "B2", "R2", "ph", None, "pH"),
        ],
    )
    check = of(warehouse.build(), "every_equipment_has_data")
    assert check.status == "warn"
    assert messages(warehouse, check) == ["R2 has readings but not one value"]


def test_no_rows_at_all_fail_and_block_what_follows(warehouse: Warehouse) -> None:
    warehouse.export_ledger()
    outcomes = warehouse.build(must_succeed=False)
    count = of(outcomes, "declared_row_count")
    assert count.status == "fail"
    assert messages(warehouse, count) == ["0 rows, but at least 1 are expected"]
    assert outcomes["dim_batch"].status == "skipped"
