"""The ledger's copy for dbt: one small Parquet file in the lake, which names every file that staging reads.

What belongs here: its columns (the contract with dbt) and writing it only when it changes. What does not: the ledger.
"""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

from ingestion.declarations import DropZoneSource
from lakehouse.storage import Lake

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection


DIGEST = ".sha256"
"""Ending of the small text beside the export that says which ledger rows it was written from."""


def export(lake: Lake, connection: Connection, source: DropZoneSource) -> bool:
    """Write the accepted files of a source to ``raw/_ledger/<source>.parquet``.

    It depends on the ledger only, so a run that changed nothing writes nothing (and loads no Parquet library), and a
    run that died before its export is mended by the next.

    Returns:
        Whether the file was written.
    """
    rows = _rows(connection, source)
    digest = hashlib.sha256(repr(rows).encode()).hexdigest().encode()
    key = source.ledger_export
    try:
        if lake.read(key + DIGEST) == digest and lake.exists(key):
            return False
    except FileNotFoundError:
        pass
    lake.write(key, _parquet(rows))
    lake.write(key + DIGEST, digest)  # last: an export without its digest is written again, never trusted
    return True


def _rows(connection: Connection, source: DropZoneSource) -> list[tuple[Any, ...]]:
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT file_key, batch_key, fingerprint, ingestion_id, ingested_at AT TIME ZONE 'UTC', row_count,"
            " batch_ids, coalesce(facts->>'read_from', file_key) FROM data_platform.ingestion_runs"
            " WHERE source_name = %s AND stream = %s AND status = 'accepted' ORDER BY ingestion_id",
            (source.source, source.stream),
        )
        return cursor.fetchall()


def _parquet(rows: list[tuple[Any, ...]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields: list[pa.Field[Any]] = [
        pa.field("file_key", pa.string()),
        pa.field("batch_key", pa.string()),
        pa.field("fingerprint", pa.string()),
        pa.field("arrival_seq", pa.int64()),
        pa.field("ingested_at", pa.timestamp("us")),
        pa.field("row_count", pa.int64()),
        pa.field("batch_ids", pa.list_(pa.string())),
        pa.field("read_key", pa.string()),
    ]
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(fields)
    table = pa.table(
        {field.name: pa.array(list(values), field.type) for values, field in zip(columns, fields, strict=True)},
        pa.schema(fields),
    )
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
