"""The ledger's durable copy in the raw zone: what a platform without its state database is rebuilt from.

What belongs here: segments below ``raw/_ledger/<source>/``, written after each ingestion, and reading them back.
What does not: the list of files for dbt (:mod:`ingestion.ledger_export`), and the files' own content
(:mod:`ingestion.kept`).

A segment holds the ledger rows that changed since the one before, found by the transaction that wrote them (``xmin``;
one process at a time ingests a source, so these numbers rise). Cost follows what changed. Now and then one full segment
replaces all. A run that died before its segment is mended by the next; replaying a segment twice changes nothing.
"""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ingestion import kept
from ingestion.declarations import DropZoneSource
from lakehouse.errors import DataError
from lakehouse.settings import Settings
from lakehouse.storage import Lake, LakeObject

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.extensions import cursor as Cursor

FORMAT = 1
POINTER = "_ledger_journal"
"""Column of ``data_platform.watermarks`` under which the position is kept, beside what it describes."""
SEGMENT = re.compile(r"\d{12,}\.json\.gz")
"""What :func:`write` calls a segment. One of this name must be whole; whatever else lies there is somebody else's."""
COMPACT_IDLE, COMPACT_BUSY = 64, 1024
"""Deltas after which a run that found nothing new, or any run, writes a full segment."""

TABLES = {
    "files": ("ingestion_runs", "ingestion_id", "AND stream = %(stream)s"),
    "schemas": ("schema_history", "version", "AND stream = %(stream)s"),
    "watermarks": ("watermarks", "watermark_column", f"AND watermark_column <> '{POINTER}'"),
}


@dataclass(frozen=True)
class _Position:
    """Up to where the ledger is in the lake.

    Attributes:
        system: identifier of the database cluster, with the epoch of its transaction ids.
        xid: newest transaction whose rows are written.
        number: of the newest segment.
        deltas: segments since the full one.
    """

    system: str
    xid: int
    number: int
    deltas: int


@dataclass
class Facts:
    """Everything the journal of a source says: rows by table, each as the database had it."""

    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    schemas: dict[str, dict[str, Any]] = field(default_factory=dict)
    watermarks: dict[str, dict[str, Any]] = field(default_factory=dict)


def write(lake: Lake, connection: Connection, source: DropZoneSource, *, keep: bool) -> str | None:
    """Bring the journal up to date; the caller holds the source's ingestion lock.

    Args:
        lake: where to.
        connection: to the state database.
        source: the declaration.
        keep: also keep the content of accepted files, see :mod:`ingestion.kept`.

    Returns:
        The key written; None if nothing had changed.
    """
    with connection, connection.cursor() as cursor:
        system, former = _where(cursor, source)
        trusted = former is not None and former.system == system and lake.exists(_key(source, former))
        changed = _changed(cursor, source, former.xid if trusted and former else None)
    rows = sum(len(found) for found in changed.values())
    if trusted and former is not None:
        full = former.deltas >= (COMPACT_BUSY if rows else COMPACT_IDLE)
        if not (rows or full):
            return None
    else:
        full = True
    if keep:
        kept.follow(lake, source, [row["row"] for row in changed["files"]], whole=not trusted)
    number = 1 + (former.number if trusted and former else _newest(lake, source))
    xid = max([row["xid"] for found in changed.values() for row in found], default=former.xid if former else 0)
    if full and trusted:
        with connection, connection.cursor() as cursor:
            changed = _changed(cursor, source, None)
    position = _Position(system, xid, number, 0 if full or former is None else former.deltas + 1)
    key = _key(source, position)
    lake.write(key, _packed(source, number, changed, full=full))
    _remember(connection, source, position)
    if full:
        for item in _segments(lake, source):
            if item.key != key:
                lake.delete(item.key)
    return key


def foreign(lake: Lake, source: DropZoneSource) -> list[str]:
    """Keys in the journal's folder that nobody of ours wrote; they are left alone."""
    return [item.key for item in lake.list(source.journal_folder) if not _is_ours(item)]


def read(lake: Lake, source: DropZoneSource) -> Facts | None:
    """What the journal says; None where there is none.

    Raises:
        DataError: segments are missing or cannot be read; named.
    """
    segments = _since_full(lake, source)
    if not segments:
        return None
    facts = Facts()
    for content in segments:
        for row in content["files"]:
            facts.files[row["batch_key"]] = row
        for row in content["schemas"]:
            facts.schemas[str(row["version"])] = row
        for row in content["watermarks"]:
            facts.watermarks[row["watermark_column"]] = row
    return facts


def _since_full(lake: Lake, source: DropZoneSource) -> list[dict[str, Any]]:
    """Contents of the newest full segment and of those after it, in order."""
    found: list[dict[str, Any]] = []
    for item in reversed(_segments(lake, source)):
        try:
            content = json.loads(gzip.decompress(lake.read(item.key)))
            number, version, full = content["number"], content["format"], content["full"]
        except (OSError, EOFError, ValueError, KeyError) as error:
            raise _broken(source, f"{item.key} cannot be read: {error}") from error
        if version > FORMAT:
            raise _broken(source, f"{item.key} was written by a newer version of the platform")
        if found and number != found[-1]["number"] - 1:
            raise _broken(source, f"segment {found[-1]['number'] - 1} is missing")
        found.append(content)
        if full:
            return found[::-1]
    if found:
        raise _broken(source, "its full segment is missing")
    return []


def replay(cursor: Cursor, source: DropZoneSource, facts: Facts) -> None:
    """Make the ledger of a source hold exactly these facts, arrival numbers and times included."""
    values = {"source": source.source, "stream": source.stream}
    for name, (table, order, rule) in TABLES.items():
        cursor.execute(f"DELETE FROM data_platform.{table} WHERE source_name = %(source)s {rule}", values)
        rows = list(getattr(facts, name).values())
        if not rows:
            continue
        # Columns by name: a segment of an older version lacks what came later.
        columns = ", ".join(f'"{column}"' for column in rows[0])
        cursor.execute(
            f"INSERT INTO data_platform.{table} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns}"
            f" FROM jsonb_populate_recordset(NULL::data_platform.{table}, %s::jsonb) ORDER BY {order}",
            (json.dumps(rows),),
        )
    cursor.execute(
        "SELECT setval(pg_get_serial_sequence('data_platform.ingestion_runs', 'ingestion_id'), greatest("
        "(SELECT max(ingestion_id) FROM data_platform.ingestion_runs), 1))"
    )


def forget(settings: Settings) -> None:
    """Have the next ingestion write everything anew: the ledger is not the one that the journal followed."""
    from lakehouse.postgres.connect import connect_state

    connection = connect_state(settings)
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("DELETE FROM data_platform.watermarks WHERE watermark_column = %s", (POINTER,))
    finally:
        connection.close()


def _where(cursor: Cursor, source: DropZoneSource) -> tuple[str, _Position | None]:
    # The epoch is part of the name: when transaction ids begin anew, nothing older can be compared with them.
    cursor.execute(
        "SELECT system_identifier || '-' || (pg_snapshot_xmax(pg_current_snapshot())::text::bigint >> 32),"
        " (SELECT watermark_value FROM data_platform.watermarks WHERE source_name = %s AND watermark_column = %s)"
        " FROM pg_control_system()",
        (source.source, POINTER),
    )
    row = cursor.fetchone() or ("", None)
    return str(row[0]), _Position(**json.loads(row[1])) if row[1] else None


def _changed(cursor: Cursor, source: DropZoneSource, after: int | None) -> dict[str, list[dict[str, Any]]]:
    values = {"source": source.source, "stream": source.stream, "after": -1 if after is None else after}
    result = {}
    for name, (table, order, rule) in TABLES.items():
        cursor.execute(
            f"SELECT xmin::text::bigint, to_jsonb(r) FROM data_platform.{table} r WHERE source_name = %(source)s {rule}"
            f" AND xmin::text::bigint > %(after)s ORDER BY {order}",
            values,
        )
        result[name] = [{"xid": row[0], "row": row[1]} for row in cursor.fetchall()]
    return result


def _packed(source: DropZoneSource, number: int, changed: dict[str, list[dict[str, Any]]], *, full: bool) -> bytes:
    content = {
        "format": FORMAT,
        "source": source.source,
        "stream": source.stream,
        "number": number,
        "full": full,
        "written_at": datetime.now(UTC).isoformat(timespec="seconds"),
        **{name: [row["row"] for row in rows] for name, rows in changed.items()},
    }
    return gzip.compress(json.dumps(content, ensure_ascii=False).encode(), compresslevel=1)


def _remember(connection: Connection, source: DropZoneSource, position: _Position) -> None:
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO data_platform.watermarks (source_name, watermark_column, watermark_value) VALUES (%s, %s, %s)"
            " ON CONFLICT (source_name, watermark_column) DO UPDATE SET watermark_value = excluded.watermark_value,"
            " updated_at = now()",
            (source.source, POINTER, json.dumps(asdict(position))),
        )


def _key(source: DropZoneSource, position: _Position) -> str:
    return f"{source.journal_folder}/{position.number:012d}.json.gz"


def _newest(lake: Lake, source: DropZoneSource) -> int:
    return max((int(item.name.partition(".")[0]) for item in _segments(lake, source)), default=0)


def _segments(lake: Lake, source: DropZoneSource) -> list[LakeObject]:
    return [item for item in lake.list(source.journal_folder) if _is_ours(item)]


def _is_ours(item: LakeObject) -> bool:
    return item.kind == "file" and SEGMENT.fullmatch(item.name) is not None


def _broken(source: DropZoneSource, why: str) -> DataError:
    return DataError(
        f"The journal of source {source.source} in {source.journal_folder} is not whole: {why}.",
        remedy="Bring the object back (bucket versioning), or restore a backup: lakehouse restore DIR. To go on without"
        f" what only it knows, move {source.journal_folder} away: every file then counts as new.",
    )
