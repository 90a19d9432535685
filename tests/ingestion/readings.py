"""Good readings, and readings with columns replaced, for tests of ingestion."""

from __future__ import annotations

from datetime import datetime, timedelta

import pyarrow as pa


def readings(batch: str = "B001", rows: int = 60, **columns) -> pa.Table:
    """Good readings of one batch; columns given replace those of the table (None takes one away)."""
    names = ["temperature", "ph", "do"]
    data = {
        "timestamp": pa.array([datetime(2026, 1, 1) + timedelta(seconds=i) for i in range(rows)], pa.timestamp("us")),
        "batch_id": pa.array([batch] * rows),
        "equipment_id": pa.array(["BR-01"] * rows),
        "parameter": pa.array([names[i % 3] for i in range(rows)]),
        "value": pa.array([[37.0, 7.0, 40.0][i % 3] for i in range(rows)]),
        "unit": pa.array([["°C", "pH", "%"][i % 3] for i in range(rows)]),
    }
    data |= columns
    return pa.table({name: values for name, values in data.items() if values is not None})
