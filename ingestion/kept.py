"""Content of accepted files under a second name: what a file gave survives its deletion, and a rebuild.

What belongs here: ``raw/_kept/<source>/<batch key>``, one entry per file version that counts. What does not: deciding
what counts (the ledger's status).

A hard link on a local disk (no space while the file is there, none of its time), a copy made by the store on S3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from ingestion.declarations import DropZoneSource
from lakehouse.storage import Lake

COUNTS = frozenset({"accepted", "missing"})


def key_of(source: DropZoneSource, row: Mapping[str, Any]) -> str:
    """Where the content of a ledger row is kept."""
    return f"{source.kept_folder}/{row['batch_key']}{PurePosixPath(row['file_key']).suffix}"


def is_there(lake: Lake, source: DropZoneSource, row: Mapping[str, Any]) -> bool:
    """Whether the content of a ledger row is kept, and is still what was accepted."""
    try:
        item = lake.stat(key_of(source, row))
        # A copy in the store has an ETag of its own where it was made in parts; nobody rewrites objects in place there.
        return lake.atomic_arrival or lake.fingerprint(item) == row["fingerprint"]
    except FileNotFoundError:
        return False


def follow(lake: Lake, source: DropZoneSource, rows: Iterable[Mapping[str, Any]], *, whole: bool) -> None:
    """Keep what these rows gave, and let go of what does not count any more.

    Args:
        lake: the lake.
        source: the declaration.
        rows: ledger rows that changed.
        whole: they are all rows of the source: what is kept already is listed once instead of copied again.
    """
    present = {item.key for item in lake.list(source.kept_folder)} if whole else set()
    fresh = []
    for row in rows:
        key = key_of(source, row)
        if row["status"] == "accepted" and key not in present:
            fresh.append((row["file_key"], key))
        elif row["status"] not in COUNTS and (key in present or not whole):
            lake.delete(key)
    lake.keep(fresh)
