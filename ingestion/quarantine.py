"""Where broken files and rows go: kept, named, and one command away from coming back.

What belongs here: the layout of ``raw/_quarantine/<source>/<date>/`` and moving things there. What does not: deciding
that something is broken (:mod:`ingestion.validate`). Nothing is ever deleted.

Layout: ``<name>`` the file as it came (``<stem>-<batch key>`` where the name is taken), ``<name>.reason.json`` why,
``<file name>-<batch key>.rows.parquet`` rows that were set aside from an accepted file.
"""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ingestion.declarations import DropZoneSource, RowRule
from ingestion.validate import Verdict, good_row, projection
from lakehouse.sql import identifier, literal
from lakehouse.storage import ChangedError, Lake, LakeObject

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

REASON = ".reason.json"


def target_key(lake: Lake, source: DropZoneSource, item: LakeObject, batch_key: str, now: datetime) -> str:
    """A free place for a broken file."""
    folder = f"{source.quarantine_folder}/{now:%Y-%m-%d}"
    path = PurePosixPath(item.name)
    for name in _names(path, batch_key):
        key = f"{folder}/{name}"
        if not lake.exists(key) and not lake.exists(key + REASON):
            return key
    raise AssertionError("unreachable: the names never end")


def _names(path: PurePosixPath, batch_key: str) -> Iterator[str]:
    yield path.name
    number = 1
    while True:
        yield f"{path.stem}-{batch_key[:8]}{f'-{number}' if number > 1 else ''}{path.suffix}"
        number += 1


def replay_command(source: DropZoneSource, quarantine_key: str) -> str:
    """What brings a file back."""
    return f"lakehouse replay {source.source} {shlex.quote(quarantine_key)}"


def write_reason(
    lake: Lake,
    source: DropZoneSource,
    item: LakeObject,
    verdict: Verdict,
    *,
    fingerprint: str,
    quarantine_key: str,
    run_id: str,
    now: datetime,
) -> None:
    """Put the reason beside the place where the file is to go."""
    reason = {
        "source": source.source,
        "file": item.key,
        "quarantined_as": quarantine_key,
        "fingerprint": fingerprint,
        "size_bytes": item.size,
        "reasons": [{"cause": fault.cause, "text": fault.text, "remedy": fault.remedy} for fault in verdict.faults],
        "remedy": verdict.remedy,
        "time": now.isoformat(timespec="seconds"),
        "run_id": run_id,
        "replay": replay_command(source, quarantine_key),
    }
    lake.write(quarantine_key + REASON, (json.dumps(reason, indent=2, ensure_ascii=False) + "\n").encode())


def read_reason(lake: Lake, quarantine_key: str) -> dict[str, Any]:
    """What :func:`write_reason` wrote.

    Raises:
        FileNotFoundError: there is none.
    """
    loaded: dict[str, Any] = json.loads(lake.read(quarantine_key + REASON))
    return loaded


def move_away(lake: Lake, item: LakeObject, quarantine_key: str) -> str | None:
    """Move a broken file; return None, or why it had to stay.

    A file that was replaced meanwhile stays: it is another one, and the next run looks at it.
    """
    if item.kind == "directory":
        return "it is a folder; folders are left where they are"
    try:
        lake.move(item.key, quarantine_key, expected=item)
    except ChangedError:
        return "it was replaced meanwhile; the next run looks at the new one"
    except FileNotFoundError:
        return "it went away meanwhile"
    except FileExistsError:
        return f"{quarantine_key} is taken"
    except OSError as error:
        return f"moving it failed: {error.strerror or error}"
    return None


def write_rejected_rows(
    lake: Lake,
    connection: DuckDBPyConnection,
    source: DropZoneSource,
    item: LakeObject,
    verdict: Verdict,
    *,
    batch_key: str,
    now: datetime,
    scratch: Path,
) -> str:
    """Copy the rows that break row rules, as they came, with ``_reason`` and ``_file_row_number`` (counted from 1).

    Args:
        lake: where to.
        connection: DuckDB.
        source: the declaration.
        item: the file.
        verdict: its columns and counts.
        batch_key: makes the name deterministic: a rerun writes the same file again.
        now: decides the folder.
        scratch: a local folder for the file before it is uploaded.

    Returns:
        The key written.
    """
    key = f"{source.quarantine_folder}/{now:%Y-%m-%d}/{item.name}-{batch_key[:8]}.rows.parquet"
    rules = [rule for rule in source.row_rules if rule.action == "quarantine_rows"]
    uri = lake.uri(item.key)
    originals = ", ".join(f"f.{identifier(name)}" for name in verdict.columns)
    raw = f"read_parquet([{literal(uri)}], hive_partitioning = false, file_row_number = true)"
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=scratch) as folder:
        local = Path(folder) / "rows.parquet"
        connection.execute(
            f"COPY (SELECT {originals}, t._reason, t.file_row_number + 1 AS _file_row_number FROM {raw} f JOIN"
            f" (SELECT file_row_number, concat_ws('; ', {', '.join(map(_reason, rules))}) AS _reason"
            f" FROM {projection(source, uri, verdict.columns)} WHERE NOT ({good_row(source)})) t"
            f" USING (file_row_number) ORDER BY _file_row_number) TO {literal(str(local))} (FORMAT parquet)"
        )
        lake.write(key, local)
    return key


def _reason(rule: RowRule) -> str:
    text = literal(f"breaks {rule.name} ({rule.expression})")
    return f"CASE WHEN NOT coalesce(({rule.expression})::BOOLEAN, false) THEN {text} END"
