"""The ledger: one row per file version ever looked at, in ``data_platform.ingestion_runs``.

What belongs here: reading and writing the ledger and the schema history, in one transaction per run.
What does not: deciding what a row says (:mod:`ingestion.ingest`) or its copy for dbt (:mod:`ingestion.ledger_export`).
"""

from __future__ import annotations

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ingestion.declarations import DropZoneSource
from ingestion.dropzone import Known
from lakehouse import alerts
from lakehouse.alerts import Alert
from lakehouse.errors import BusyError

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.extensions import cursor as Cursor

NAMESPACE = uuid.UUID("5f0a3c86-3c0b-5e43-9a0e-3f6d2f1f7a10")
"""Fixed forever: batch keys of the same content must be the same in every run and on every machine."""


@dataclass
class Entry:
    """A ledger row to write. Times are ISO text in UTC; facts hold what the other columns do not."""

    file_key: str
    batch_key: str
    fingerprint: str
    object_version: str
    size_bytes: int
    status: str
    row_count: int | None = None
    rejected_rows: int = 0
    min_time: str | None = None
    max_time: str | None = None
    batch_ids: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None


def batch_key(source: DropZoneSource, file_key: str, fingerprint: str) -> str:
    """The deterministic key of one version of one file: a rerun finds its own rows and never doubles them."""
    return str(uuid.uuid5(NAMESPACE, "\n".join((source.source, source.stream, file_key, fingerprint))))


@contextlib.contextmanager
def locked(
    connection: Connection, source: DropZoneSource, *, timeout: float, on_wait: Callable[[str], None]
) -> Iterator[None]:
    """Let one process at a time ingest a source; the others wait.

    Raises:
        BusyError: the other one did not finish within ``timeout`` seconds.
    """
    name = f"lakehouse.ingestion.{source.source}"
    deadline, told = time.monotonic() + timeout, False
    while not _fetch(connection, "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", (name,))[0][0]:
        if time.monotonic() > deadline:
            raise BusyError(
                f"Source {source.source} is being ingested by another process; waited {timeout:.0f} s.",
                remedy="Wait for it to finish (`lakehouse status` shows running work).",
            )
        if not told:
            on_wait(f"waiting: another process is ingesting {source.source}")
            told = True
        time.sleep(0.2)
    try:
        yield
    finally:
        with contextlib.suppress(Exception):  # a lost connection has released the lock already
            connection.rollback()
            _fetch(connection, "SELECT pg_advisory_unlock(hashtextextended(%s, 0))", (name,))


def known(connection: Connection, source: DropZoneSource) -> dict[str, Known]:
    """The newest row of every file key that is not superseded: one indexed SELECT."""
    rows = _fetch(
        connection,
        "SELECT DISTINCT ON (file_key) file_key, object_version, fingerprint, status, ingestion_id, batch_key,"
        " facts->>'cause', facts->>'quarantine_key', facts->>'read_from' FROM data_platform.ingestion_runs"
        " WHERE source_name = %s AND stream = %s AND status IN ('accepted', 'missing', 'quarantined')"
        " ORDER BY file_key, ingestion_id DESC",
        (source.source, source.stream),
    )
    return {row[0]: Known(*row) for row in rows}


def newest(connection: Connection, source: DropZoneSource) -> int:
    """The highest arrival sequence so far, 0 for an empty ledger."""
    with connection, connection.cursor() as cursor:
        return _newest(cursor, source)


def schemas(connection: Connection, source: DropZoneSource) -> list[dict[str, str]]:
    """Every set of columns (name → type) that accepted files had, oldest first."""
    rows = _fetch(
        connection,
        "SELECT columns FROM data_platform.schema_history WHERE source_name = %s AND stream = %s ORDER BY version",
        (source.source, source.stream),
    )
    return [row[0] for row in rows]


def record(
    connection: Connection,
    source: DropZoneSource,
    run_id: str,
    *,
    entries: Sequence[Entry] = (),
    gone: Sequence[tuple[Known, str]] = (),
    touched: Sequence[tuple[Known, str]] = (),
    read_from: Sequence[tuple[Known, str | None]] = (),
    new_schemas: Sequence[tuple[dict[str, str], str]] = (),
    raised: Sequence[Alert] = (),
    resolved: Iterable[tuple[str, Sequence[str]]] = (),
) -> int:
    """Write everything a run found, in one transaction. Call it when the data is durable.

    A new version of a file supersedes every former one. A quarantined version makes the accepted one ``missing``: its
    bytes are gone from the drop zone. A version that was looked at before keeps its row but arrives anew.

    Args:
        connection: to the state database.
        source: the declaration.
        run_id: who did it.
        entries: file versions looked at.
        gone: accepted files that left the drop zone: the row, and its new status (``missing``, ``superseded``).
        touched: accepted files with the same content and another object version.
        read_from: accepted files that are read from another key from now on; None: from their own again.
        new_schemas: columns not seen before, and the first file that had them.
        raised: alerts to raise.
        resolved: kinds and subjects of alerts to close.

    Returns:
        How many alerts were new.
    """
    with connection, connection.cursor() as cursor:
        before = _newest(cursor, source)
        _retire(cursor, source, entries, before)
        _insert(cursor, source, run_id, entries)
        for row, status in gone:
            cursor.execute(
                f"UPDATE data_platform.ingestion_runs SET status = %s, {GONE_AFTER} WHERE ingestion_id = %s",
                (status, before, row.ingestion_id),
            )
        for row, version in touched:
            cursor.execute(
                "UPDATE data_platform.ingestion_runs SET object_version = %s WHERE ingestion_id = %s",
                (version, row.ingestion_id),
            )
        for row, key in read_from:
            cursor.execute(
                "UPDATE data_platform.ingestion_runs SET facts = (facts - 'read_from') || %s::jsonb"
                " WHERE ingestion_id = %s",
                (json.dumps({"read_from": key} if key else {}), row.ingestion_id),
            )
        for columns, first_file in new_schemas:
            _insert_schema(cursor, source, columns, first_file)
        for kind, subjects in resolved:
            alerts.resolve(cursor, kind, subjects)
        return alerts.raise_all(cursor, raised, run_id)


def note_left_in_place(connection: Connection, batch_key: str, reason: str) -> None:
    """Remember that a quarantined file could not be moved."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "UPDATE data_platform.ingestion_runs SET facts = facts || jsonb_build_object('left_in_place', %s::text)"
            " WHERE batch_key = %s",
            (reason, batch_key),
        )


GONE_AFTER = "facts = facts || jsonb_build_object('gone_after', %s)"
"""Notes after which arrival a file stopped counting: what arrived later was built without it."""


def _newest(cursor: Cursor, source: DropZoneSource) -> int:
    cursor.execute(
        "SELECT coalesce(max(ingestion_id), 0) FROM data_platform.ingestion_runs WHERE source_name = %s",
        (source.source,),
    )
    return int((cursor.fetchone() or [0])[0])


def _retire(cursor: Cursor, source: DropZoneSource, entries: Sequence[Entry], before: int) -> None:
    arriving = [entry.batch_key for entry in entries]
    for status, changes in (
        ("accepted", {"accepted": "superseded", "missing": "superseded", "quarantined": "superseded"}),
        ("quarantined", {"accepted": "missing", "quarantined": "superseded"}),
    ):
        keys = [entry.file_key for entry in entries if entry.status == status]
        for old, new in changes.items() if keys else ():
            cursor.execute(
                f"UPDATE data_platform.ingestion_runs SET status = %s, {GONE_AFTER} WHERE source_name = %s"
                " AND stream = %s AND file_key = ANY(%s) AND status = %s AND batch_key <> ALL(%s)",
                (new, before, source.source, source.stream, keys, old, arriving),
            )


def _insert(cursor: Cursor, source: DropZoneSource, run_id: str, entries: Sequence[Entry]) -> None:
    from psycopg2.extras import Json, execute_values

    rows = [
        (
            source.source,
            source.stream,
            entry.batch_key,
            clean(entry.file_key),
            entry.fingerprint,
            entry.object_version,
            entry.size_bytes,
            entry.status,
            entry.row_count,
            entry.rejected_rows,
            entry.min_time,
            entry.max_time,
            clean(entry.batch_ids),
            Json(clean(entry.facts)),
            clean(entry.reason),
            run_id,
        )
        for entry in entries
    ]
    if rows:
        execute_values(
            cursor,
            "INSERT INTO data_platform.ingestion_runs (source_name, stream, batch_key, file_key, fingerprint,"
            " object_version, size_bytes, status, row_count, rejected_rows, min_time, max_time, batch_ids, facts,"
            " reason, run_id) VALUES %s ON CONFLICT (source_name, stream, batch_key) DO UPDATE SET"
            # A number of its own: what reads "everything that arrived after N" must see it again.
            " ingestion_id = DEFAULT, ingested_at = now(), object_version = EXCLUDED.object_version,"
            " size_bytes = EXCLUDED.size_bytes, status = EXCLUDED.status, row_count = EXCLUDED.row_count,"
            " rejected_rows = EXCLUDED.rejected_rows, min_time = EXCLUDED.min_time, max_time = EXCLUDED.max_time,"
            " batch_ids = EXCLUDED.batch_ids, facts = EXCLUDED.facts, reason = EXCLUDED.reason,"
            " run_id = EXCLUDED.run_id",
            rows,
            template=f"({'%s, ' * 10}%s::timestamptz, %s::timestamptz, %s::text[], %s, %s, %s)",
            page_size=500,
        )


def _insert_schema(cursor: Cursor, source: DropZoneSource, columns: dict[str, str], first_file: str) -> None:
    from psycopg2.extras import Json

    cursor.execute(
        "INSERT INTO data_platform.schema_history (source_name, stream, version, columns, first_file)"
        " SELECT %s, %s, coalesce(max(version), 0) + 1, %s, %s FROM data_platform.schema_history"
        " WHERE source_name = %s AND stream = %s",
        (source.source, source.stream, Json(clean(columns)), first_file, source.source, source.stream),
    )


def clean(value: Any) -> Any:
    """What PostgreSQL can hold: NUL characters in text become U+FFFD, numbers that are not finite become null."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, float):
        return value if value - value == 0 else None
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value


def _fetch(connection: Connection, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
    with connection, connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchall()
