"""What the ledger and the lake say about the files at the end of a trace.

What belongs here: reading ``data_platform.ingestion_runs``, and where each version's content is now. What does not:
writing either (``ingestion``), and reading rows (:mod:`lineage.trace.files`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from lakehouse.storage import Lake, LakeObject
from lineage.trace.models import Source
from lineage.trace.result import FileRows, Version

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

LISTED_AT_ONCE = 20
"""From so many files on the folder is listed instead of asking for each."""
KEPT = "raw/_kept"
"""Where ingestion keeps the content of accepted files: ``raw/_kept/<source>/<batch key>.<ending>``."""

_COLUMNS = (
    "file_key, coalesce(fingerprint, ''), batch_key, ingestion_id, ingested_at, coalesce(run_id, ''), status,"
    " row_count, rejected_rows, coalesce(object_version, ''), coalesce(batch_ids, '{}')"
)


class Ledger:
    """The ledger of files, read-only.

    Args:
        connection: to the state database.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def versions(self, source: Source, file_keys: Iterable[str]) -> dict[str, list[Version]]:
        """All versions of these files, oldest arrival first, by key."""
        rows = self._fetch(
            f"SELECT {_COLUMNS} FROM data_platform.ingestion_runs WHERE source_name = %s AND stream = %s"
            " AND file_key = ANY(%s) ORDER BY ingestion_id",
            (source.name, source.table, list(file_keys)),
        )
        found: dict[str, list[Version]] = {}
        for version in map(_version, rows):
            found.setdefault(version.file_key, []).append(version)
        return found

    def accepted(self, source: Source) -> list[Version]:
        """What counts now."""
        rows = self._fetch(
            f"SELECT {_COLUMNS} FROM data_platform.ingestion_runs WHERE source_name = %s AND stream = %s"
            " AND status = 'accepted' ORDER BY ingestion_id",
            (source.name, source.table),
        )
        return [_version(row) for row in rows]

    def holding(self, source: Source, batches: Sequence[str]) -> list[Version]:
        """Accepted files that hold one of these batches."""
        rows = self._fetch(
            f"SELECT {_COLUMNS} FROM data_platform.ingestion_runs WHERE source_name = %s AND stream = %s"
            " AND status = 'accepted' AND batch_ids && %s::text[] ORDER BY ingestion_id",
            (source.name, source.table, list(batches)),
        )
        return [_version(row) for row in rows]

    def built_at(self, asset_key: str) -> datetime | None:
        """When an asset was last built without failing, UTC."""
        rows = self._fetch("SELECT last_ok_at FROM data_platform.asset_status WHERE asset_key = %s", (asset_key,))
        return rows[0][0].astimezone(UTC) if rows and rows[0][0] else None

    def _fetch(self, query: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._connection, self._connection.cursor() as cursor:
            cursor.execute(query, values)
            return cursor.fetchall()


def _version(row: tuple[Any, ...]) -> Version:
    key, fingerprint, batch_key, arrival, accepted, run, status, rows, rejected, version, batches = row
    accepted = accepted.astimezone(UTC)
    return Version(key, fingerprint, batch_key, arrival, accepted, run, status, rows, rejected, version, tuple(batches))


def locate(
    lake: Lake, source: Source, versions: Sequence[Version], history: dict[str, list[Version]]
) -> list[FileRows]:
    """Where the content of each version is now: at its place, in its kept copy, or nowhere."""
    present = _present(lake, {version.file_key for version in versions})
    kept = _present(lake, {_kept_key(source, version) for version in versions if _moved_on(version, present)})
    found = []
    for version in versions:
        here = present.get(version.file_key)
        item = FileRows(version, "gone", None)
        if here is not None and (here.version == version.object_version or _same(lake, here, version)):
            item.where, item.read_key = "drop zone", version.file_key
        elif (copy := kept.get(_kept_key(source, version))) is not None and _unharmed(lake, copy, version):
            item.where, item.read_key = "kept copy", _kept_key(source, version)
        item.warnings = list(_changes(version, here, history.get(version.file_key, []), item))
        found.append(item)
    return found


def _changes(version: Version, here: LakeObject | None, history: list[Version], item: FileRows) -> Iterable[str]:
    newer = [other for other in history if other.arrival_seq > version.arrival_seq]
    for other in newer:
        if other.status in {"accepted", "missing", "superseded"}:
            yield (
                f"superseded: another version was accepted {other.accepted_at:%Y-%m-%d %H:%M:%S} UTC by run "
                f"{other.run_id[:8]} (arrival {other.arrival_seq})"
            )
    if here is None:
        yield "gone from the drop zone"
    elif item.where != "drop zone" and not newer:
        yield f"the file in the lake was changed {here.modified:%Y-%m-%d %H:%M:%S} UTC and not ingested yet"
    if item.where == "gone":
        yield "its content is not kept anywhere: these rows cannot be shown"


def _moved_on(version: Version, present: dict[str, LakeObject]) -> bool:
    here = present.get(version.file_key)
    return here is None or here.version != version.object_version


def _same(lake: Lake, here: LakeObject, version: Version) -> bool:
    """A file that was only touched has the same content."""
    try:
        return here.kind == "file" and lake.fingerprint(here) == version.fingerprint
    except OSError:
        return False


def _unharmed(lake: Lake, copy: LakeObject, version: Version) -> bool:
    """A hard link shares what is written into the file in place; a store's own copy does not."""
    return not version.fingerprint.startswith("sha256:") or _same(lake, copy, version)


def _kept_key(source: Source, version: Version) -> str:
    return f"{KEPT}/{source.name}/{version.batch_key}{PurePosixPath(version.file_key).suffix}"


def _present(lake: Lake, keys: set[str]) -> dict[str, LakeObject]:
    found: dict[str, LakeObject] = {}
    if len(keys) >= LISTED_AT_ONCE:
        for folder in {str(PurePosixPath(key).parent) for key in keys}:
            found |= {item.key: item for item in lake.list(folder) if item.key in keys}
        return found
    for key in keys:
        try:
            found[key] = lake.stat(key)
        except FileNotFoundError:
            continue
    return found
