"""What a run's findings mean for the source as a whole: files that left, the status, alerts to raise and to close.

What belongs here: conclusions from what was found. What does not: reading files or writing the ledger
(:mod:`ingestion.ingest`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from ingestion import kept
from ingestion.alerts import (
    DROP_ZONE_EMPTY,
    FILE_MISSING,
    FILE_QUARANTINED,
    FOREIGN_FILES,
    QUARANTINE_THRESHOLD,
    ROWS_REJECTED,
    file_lost,
    file_missing,
    foreign_files,
)
from ingestion.checks import over_threshold
from ingestion.declarations import DropZoneSource
from ingestion.dropzone import Diff, Known
from ingestion.ledger import Entry
from ingestion.report import IngestReport
from ingestion.validate import Verdict
from lakehouse.alerts import Alert
from lakehouse.settings import Settings
from lakehouse.storage import Lake, LakeObject

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

Progress = Callable[[str], None]


@dataclass
class Run:
    """Everything the steps of one run share."""

    settings: Settings
    source: DropZoneSource
    lake: Lake
    state: Connection
    report: IngestReport
    progress: Progress
    now: datetime
    known: dict[str, Known] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    touched: list[tuple[Known, str]] = field(default_factory=list)
    broken: list[tuple[LakeObject, Verdict, Entry]] = field(default_factory=list)
    raised: list[Alert] = field(default_factory=list)
    new_schemas: list[tuple[dict[str, str], str]] = field(default_factory=list)
    dismissed: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    unfinished: Callable[[], bool] = lambda: False
    read_from: list[tuple[Known, str | None]] = field(default_factory=list)


def gone(run: Run, found: Diff) -> list[tuple[Known, str]]:
    """Accepted files that left the drop zone: missing, unless the same content came under another name.

    What a run accepted that then broke off may not have been built. As long as no run has made up for that one, such a
    file stays accepted and is read from its kept copy.
    """
    arrived = {entry.fingerprint: entry.file_key for entry in run.entries if entry.status == "accepted"}
    gone = []
    unfinished = bool(found.missing) and run.unfinished()
    for row in found.missing:
        if new := arrived.get(row.fingerprint):
            run.report.renamed[row.key] = new
            gone.append((row, "superseded"))
            continue
        ledger_row = {"file_key": row.key, "batch_key": row.batch_key, "fingerprint": row.fingerprint}
        if unfinished and kept.is_there(run.lake, run.source, ledger_row):
            run.report.held_over.append(row.key)
            run.read_from.append((row, kept.key_of(run.source, ledger_row)))
            run.progress(f"{row.key} left the drop zone before it was built: its kept copy is read")
            continue
        run.report.missing.append(row.key)
        gone.append((row, "missing"))
        run.raised.append((file_lost if unfinished else file_missing)(run.source, row.key, row.fingerprint))
    held_over = set(run.report.held_over)
    run.read_from += [(row, None) for row in run.known.values() if row.read_from and row.key not in held_over]
    return gone


def dismissed(run: Run, found: Diff) -> list[tuple[Known, str]]:
    """Broken files that somebody has removed from drop zone and quarantine: the matter is closed."""
    present = {item.key for item in [*found.new, *found.changed, *found.stuck, *(w.item for w in found.waiting)]}
    closed = [
        row
        for row in run.known.values()
        if row.status == "quarantined" and row.key not in present
        if not (row.quarantine_key and run.lake.exists(row.quarantine_key))
    ]
    run.dismissed = [row.key for row in closed]
    return [(row, "superseded") for row in closed]


def judge(run: Run, found: Diff, *, whole: bool) -> None:
    """Decide the run's status and the alerts about the source as a whole."""
    report, source = run.report, run.source
    if run.foreign:
        run.raised.append(foreign_files(source, run.foreign))
    if failure := over_threshold(source, len(run.entries), len(run.broken)):
        report.failures.append(failure)
        report.status = "failed"
        run.raised.append(
            Alert(
                "error",
                QUARANTINE_THRESHOLD,
                source.source,
                f"Source {source.source}: {failure}; downstream is stopped.",
                f"Look for a common reason in {source.quarantine_folder}; mend and replay, or change the thresholds"
                f" in {source.file}.",
                details={"source": source.source},
            )
        )
    elif whole and found.empty and not report.held_over:
        report.status = "empty"
        run.raised.append(
            Alert(
                "warning",
                DROP_ZONE_EMPTY,
                source.source,
                f"The drop zone {run.lake.uri(source.path)} holds no {source.pattern} file; downstream is skipped.",
                f"Put files there, or make a sample: lakehouse sample {source.source}",
                details={"source": source.source, "path": source.path},
            )
        )
    elif not (run.entries or run.touched or report.missing or report.renamed or report.held_over):
        report.status = "unchanged"


def mended(run: Run, found: Diff, *, whole: bool) -> list[tuple[str, list[str]]]:
    """Alerts to close: what they were about is in order again."""
    clean = {entry.file_key: entry for entry in run.entries if entry.status == "accepted"}
    looked_at = [entry.file_key for entry in run.entries]
    closed = [
        (FILE_QUARANTINED, list(clean) + run.dismissed),
        (FILE_MISSING, looked_at + list(run.report.renamed)),
        (ROWS_REJECTED, [key for key, entry in clean.items() if not entry.rejected_rows] + run.report.missing),
    ]
    if not run.foreign:
        closed.append((FOREIGN_FILES, [run.source.journal_folder]))
    if whole and not found.empty:
        closed.append((DROP_ZONE_EMPTY, [run.source.source]))
    if run.entries and not run.report.failures:
        closed.append((QUARANTINE_THRESHOLD, [run.source.source]))
    return closed
