"""The alerts that ingestion raises about files; the rows themselves are :mod:`lakehouse.alerts`'s business.

What belongs here: kinds and texts, pure. What does not: deciding when they are raised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ingestion.declarations import DropZoneSource
from ingestion.quarantine import replay_command
from lakehouse.alerts import Alert

FILE_QUARANTINED = "file_quarantined"
FILE_MISSING = "file_missing"
DROP_ZONE_EMPTY = "drop_zone_empty"
QUARANTINE_THRESHOLD = "quarantine_threshold"
ROWS_REJECTED = "rows_rejected"
FOREIGN_FILES = "foreign_files"
NAMED = 5
"""Keys that a message names; more are counted."""


def file_lost(source: DropZoneSource, file_key: str, fingerprint: str) -> Alert:
    """An accepted file has left the drop zone, maybe before it was built, and no copy is kept."""
    return Alert(
        "error",
        FILE_MISSING,
        file_key,
        f"{file_key} was accepted by a run that broke off, and is gone from the drop zone; no copy of it is kept,"
        " so what it holds may be missing in the curated layer.",
        "Put the file back. LAKEHOUSE_KEEP_RAW_FILES=true keeps copies.",
        fingerprint,
        {"source": source.source},
    )


def file_missing(source: DropZoneSource, file_key: str, fingerprint: str) -> Alert:
    """An accepted file has left the drop zone."""
    return Alert(
        "warning",
        FILE_MISSING,
        file_key,
        f"{file_key} was accepted before and is gone from the drop zone; its rows stay in the curated layer.",
        "Put the file back if it went by mistake; nothing to do if it was meant to go.",
        fingerprint,
        {"source": source.source},
    )


def file_quarantined(
    source: DropZoneSource, file_key: str, fingerprint: str, reason: str, facts: Mapping[str, Any], *, replaced: bool
) -> Alert:
    """A file was refused; ``replaced`` says that it took the place of an accepted one."""
    lost = " Its former version was accepted and is gone from the drop zone; what it gave stays." if replaced else ""
    key = facts["quarantine_key"]
    return Alert(
        "error",
        FILE_QUARANTINED,
        file_key,
        f"{file_key} was quarantined: {reason}.{lost}",
        f"{facts['remedy']} To try this very file again: {replay_command(source, key)}",
        fingerprint,
        {"source": source.source, "quarantine_key": key, "causes": facts["causes"]},
    )


def rows_rejected(
    source: DropZoneSource, file_key: str, fingerprint: str, count: int, facts: Mapping[str, Any]
) -> Alert:
    """Rows of an accepted file were set aside."""
    rules = ", ".join(f"{name}: {rows:,}" for name, rows in facts["rejected"].items())
    key = facts["rejected_rows_key"]
    return Alert(
        "warning",
        ROWS_REJECTED,
        file_key,
        f"{count:,} rows of {file_key} break row rules and were set aside ({rules}).",
        f"Look at {key}; mend the rows at their source and drop the file again.",
        fingerprint,
        {"source": source.source, "rejected": facts["rejected"]},
    )


def foreign_files(source: DropZoneSource, keys: Sequence[str]) -> Alert:
    """Something lies among the ledger's segments that the platform did not write."""
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return Alert(
        "warning",
        FOREIGN_FILES,
        source.journal_folder,
        f"{source.journal_folder} holds what the platform did not write: {', '.join(keys[:NAMED])}{more}. It is left"
        " alone.",
        "Move it elsewhere: the folder belongs to the ledger. Nothing waits for it.",
        "\n".join(keys),
        {"source": source.source},
    )


def conditions(source: DropZoneSource, rows: Sequence[Mapping[str, Any]]) -> list[Alert]:
    """What is open about the files of a source, by its ledger rows."""
    missing = {row["file_key"] for row in rows if row["status"] == "missing"}
    broken = {row["file_key"] for row in rows if row["status"] == "quarantined"}
    found = []
    for row in sorted(rows, key=lambda item: int(item["ingestion_id"])):
        key, fingerprint, facts = row["file_key"], row["fingerprint"], row["facts"]
        if row["status"] == "quarantined":
            replaced = key in missing
            found.append(file_quarantined(source, key, fingerprint, row["reason"], facts, replaced=replaced))
        elif row["status"] == "missing" and key not in broken:  # else the alert about the broken one says it
            found.append(file_missing(source, key, fingerprint))
        elif row["status"] == "accepted" and row["rejected_rows"]:
            found.append(rows_rejected(source, key, fingerprint, row["rejected_rows"], facts))
    return found
