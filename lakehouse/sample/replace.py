"""The same file again, corrected: what a laboratory sends after it found a wrong calibration or withdrew a run's end.

What belongs here: rewriting a sample file so that its content changes in a known way. What does not: how a changed file
replaces what it gave before (that is ingestion's and dbt's work).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lakehouse.errors import ConfigError


def corrected(source: Path, destination: Path, *, offsets: Mapping[str, float] | None = None, keep: float = 1.0) -> int:
    """Write ``source`` again with values shifted per parameter and only its first rows; returns the rows written.

    Row group by row group, so memory does not depend on the size. ``destination`` must be another file.

    Args:
        source: a sample file.
        destination: where the corrected file goes.
        offsets: what to add to the values of a parameter, in its unit, e.g. ``{"ph": 0.1}``.
        keep: share of rows kept, from the start of the file; above 0, at most 1.

    Raises:
        ConfigError: ``keep`` is out of range.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if not 0 < keep <= 1:
        raise ConfigError(f"keep is {keep:g}: it must be above 0 and at most 1", remedy="pass e.g. keep=0.8")
    with pq.ParquetFile(source) as file:
        left = max(int(file.metadata.num_rows * keep), 1)
        written = left
        column = file.schema_arrow.get_field_index("value")
        with pq.ParquetWriter(destination, file.schema_arrow, compression="snappy", store_schema=False) as writer:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group).slice(0, left)
                left -= len(table)
                for name, offset in (offsets or {}).items():
                    shifted = pc.add(table["value"], pa.scalar(offset))
                    chosen = pc.equal(table["parameter"], pa.scalar(name))
                    table = table.set_column(column, "value", pc.if_else(chosen, shifted, table["value"]))
                if len(table):
                    writer.write_table(table, row_group_size=len(table))
    return written
