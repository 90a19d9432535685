"""Files that are wrong in one way each, to show what happens to them in the drop zone.

What belongs here: breaking a good table on purpose. What does not: detecting it (that is ingestion's work).
Each file's name says what is wrong with it, and its rows belong to a batch of their own, ``BROKEN-<KIND>``.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

BROKEN_SCALE = 0.02
"""Sampling rate of the good table that is broken: about 1,200 rows."""

BROKEN: dict[str, str] = {
    "truncated": "a Parquet file cut off in the middle: an upload that broke",
    "csv": "CSV text under the name of a Parquet file",
    "wrong_types": "timestamp and value are text that is neither time nor number",
    "missing_column": "the column value is not there",
    "extra_column": "a column operator that is not declared; everything else is right",
    "empty": "the right columns and no row",
    "zero_bytes": "a file of length zero",
    "null_batch_ids": "one row in eleven has no batch id",
    "null_timestamps": "one row in eleven has no timestamp",
    "out_of_range": "some temperatures of 400 °C and some pH of -1",
    "unknown_parameter": "a parameter and unit that are not declared; everything else is right",
    "awkward_name": "good data under a name with spaces and letters beyond ASCII",
    "directory": "a folder named like a Parquet file",
}
"""Kinds of broken file and what is wrong with each (three are only unusual and must pass)."""


def write_broken(kind: str, good: pa.Table, path: Path) -> str:
    """Write one broken file and return the name it must get in the drop zone.

    Args:
        kind: a name from :data:`BROKEN`.
        good: a table that is right in every way.
        path: where to write.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = _set(good, "batch_id", pa.array([f"BROKEN-{kind.upper().replace('_', '-')}"] * len(good)))
    name = f"broken-{kind.replace('_', '-')}.parquet"
    match kind:
        case "csv":
            import pyarrow.csv

            pyarrow.csv.write_csv(table, path)
            return name
        case "zero_bytes":
            path.write_bytes(b"")
            return name
        case "directory":
            path.write_text("The folder above this file is named like a Parquet file.\n")
            return f"{name}/README.txt"
        case "awkward_name":
            name = "broken-awkward name – Glühbirne µ №1.parquet"
    pq.write_table(_break(kind, table), path, compression="snappy")
    if kind == "truncated":
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
    return name


def _break(kind: str, table: pa.Table) -> pa.Table:
    """The table with one fault in its content (unchanged where the fault is not in the content)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    chosen_rows = pa.array([row % 11 == 3 for row in range(len(table))])
    match kind:
        case "wrong_types":
            table = _set(table, "timestamp", pa.array(["half past ten"] * len(table)))
            return _set(table, "value", pa.array(["n/a"] * len(table)))
        case "missing_column":
            return table.drop_columns(["value"])
        case "extra_column":
            return table.append_column("operator", pa.array(["night shift"] * len(table)))
        case "empty":
            return table.slice(0, 0)
        case "null_batch_ids":
            return _set(table, "batch_id", pc.if_else(chosen_rows, None, table["batch_id"]))
        case "null_timestamps":
            return _set(table, "timestamp", pc.if_else(chosen_rows, None, table["timestamp"]))
        case "out_of_range":
            values = table["value"]
            for parameter, absurd in (("temperature", 400.0), ("ph", -1.0)):
                chosen = pc.and_(chosen_rows, pc.equal(table["parameter"], pa.scalar(parameter)))
                values = pc.if_else(chosen, absurd, values)
            return _set(table, "value", values)
        case "unknown_parameter":
            table = _set(table, "parameter", pa.array(["conductivity"] * len(table)))
            return _set(table, "unit", pa.array(["mS/cm"] * len(table)))
    return table


def _set(table: pa.Table, column: str, values: pa.Array[Any] | pa.ChunkedArray[Any]) -> pa.Table:
    index = table.column_names.index(column)
    return table.set_column(index, column, values)
