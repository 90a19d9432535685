"""One ingestion run of one source: look, validate what is new, record, set aside what is broken.

What belongs here: the order of the steps, chosen so that a crash between any two of them loses and doubles nothing:
validate → write reasons and rejected rows → ledger transaction → move broken files → journal → export for dbt.
What does not: any of the steps themselves. Dagster, the command line and tests all call :func:`ingest`.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from ingestion import journal, ledger, quarantine
from ingestion.alerts import file_quarantined, rows_rejected
from ingestion.checks import checks, metadata
from ingestion.declarations import DropZoneSource, load
from ingestion.dropzone import Diff, diff
from ingestion.file_signs import complete
from ingestion.ledger import Entry
from ingestion.ledger_export import export
from ingestion.ledger_summary import summarise
from ingestion.outcome import Progress, Run, dismissed, gone, judge, mended
from ingestion.report import AcceptedFile, IngestReport, QuarantinedFile
from ingestion.validate import Verdict, check_declaration, validate
from lakehouse.scratch import process_folder
from lakehouse.settings import Settings
from lakehouse.storage import Lake, LakeObject, open_lake

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def ingest(
    settings: Settings,
    source: str | DropZoneSource,
    *,
    files: Sequence[str] | None = None,
    run_id: str | None = None,
    progress: Progress | None = None,
    wait: bool = True,
    unfinished: Callable[[], bool] = lambda: False,
) -> IngestReport:
    """Bring the ledger up to date with a drop zone.

    Args:
        settings: the platform's settings; the state database must be running.
        source: a declared source, by name or loaded.
        files: look only at these keys, and at them again even if they are unchanged (replay).
        run_id: recorded in the ledger; made up if not given.
        progress: called with one line per step and per broken file.
        wait: wait once, for at most the declared settle time, for files that were modified just now.
        unfinished: asked where accepted files have left: whether a run broke off that may not have built them.

    Returns:
        What was done. Its ``failed`` says that more was broken than declared; good files are recorded all the same.

    Raises:
        ConfigError: the declaration or the lake's settings are wrong.
        UnavailableError: the lake or the state database cannot be reached.
        BusyError: another process ingests this source and did not finish in time.
    """
    from lakehouse.postgres.connect import connect_state

    began = time.monotonic()
    declared = load(source) if isinstance(source, str) else source
    lake = open_lake(settings)
    lake.check()
    report = IngestReport(declared.source, declared.asset, run_id or str(uuid.uuid4()))
    state = connect_state(settings)
    try:
        run = Run(settings, declared, lake, state, report, progress or (lambda _: None), datetime.now(UTC))
        with ledger.locked(state, declared, timeout=settings.lock_timeout_seconds, on_wait=run.progress):
            run.unfinished = unfinished
            run.known = ledger.known(state, declared)
            report.arrival_before = ledger.newest(state, declared)
            found = _look(run, files, wait=wait)
            _validate_all(run, found, forced=files is not None)
            left = gone(run, found) + dismissed(run, found) if files is None else []
            run.foreign = journal.foreign(lake, declared)
            judge(run, found, whole=files is None)
            report.new_alerts = ledger.record(
                state,
                declared,
                report.run_id,
                entries=run.entries,
                gone=left,
                touched=run.touched,
                read_from=run.read_from,
                new_schemas=run.new_schemas,
                raised=run.raised,
                resolved=mended(run, found, whole=files is None),
            )
            _set_aside(run, found)
            journal.write(lake, state, declared, keep=settings.keep_raw_files)
            export(lake, state, declared)
            report.arrival_after = ledger.newest(state, declared)
            held = summarise(state, declared)
    finally:
        state.close()
    report.seconds = time.monotonic() - began
    report.checks = checks(declared, held, settings, datetime.now(UTC))
    report.metadata = metadata(declared, held, report)
    return report


def _look(run: Run, files: Sequence[str] | None, *, wait: bool) -> Diff:
    """List the drop zone and compare it with the ledger; look a second time where something may still be written."""
    settle = 0.0 if run.lake.atomic_arrival else run.source.settle_seconds
    listing = _listing(run, files)
    found = _diff(run, listing, settle, None)
    young = [item.item for item in found.waiting if "modified" in item.reason]
    if young and wait:
        ages = [(datetime.now(UTC) - item.modified).total_seconds() for item in young]
        pause = min(settle - min(ages), settle) + 0.05
        run.progress(
            f"{len(young)} file{'s were' if len(young) > 1 else ' was'} written just now: waiting {pause:.1f} s"
        )
        time.sleep(max(pause, 0))
        found = _diff(run, _listing(run, files), settle, {item.key: item for item in listing})
    report = run.report
    report.waiting = {item.item.key: item.reason for item in found.waiting}
    report.ignored = [item.key for item in found.ignored]
    report.unchanged = len(found.unchanged)
    report.stuck = [item.key for item in found.stuck]
    return found


def _listing(run: Run, files: Sequence[str] | None) -> list[LakeObject]:
    listing = list(run.lake.list(run.source.path))
    return listing if files is None else [item for item in listing if item.key in set(files)]


def _diff(run: Run, listing: list[LakeObject], settle: float, earlier: dict[str, LakeObject] | None) -> Diff:
    return diff(
        listing,
        run.known,
        pattern=run.source.pattern,
        now=datetime.now(UTC),
        settle_seconds=settle,
        earlier=earlier,
        complete=partial(complete, run.lake),
    )


def _validate_all(run: Run, found: Diff, *, forced: bool) -> None:
    candidates = found.new + found.changed
    if forced:
        candidates += found.unchanged + found.stuck
    else:
        # An unreadable file does not change when it is made readable: it is tried again every time.
        candidates += [item for item in found.stuck if run.known[item.key].cause == "permission"]
    if not candidates:
        return
    from lakehouse.duckdb.connect import connect

    history = ledger.schemas(run.state, run.source)
    with connect(run.settings) as connection:
        check_declaration(connection, run.source)
        for number, item in enumerate(sorted(candidates, key=lambda item: item.key), start=1):
            run.progress(f"validating {number}/{len(candidates)}: {item.key}")
            try:
                _validate_one(run, connection, item, history, forced=forced)
            except FileNotFoundError:
                run.report.vanished.append(item.key)


def _validate_one(
    run: Run, connection: DuckDBPyConnection, item: LakeObject, history: list[dict[str, str]], *, forced: bool
) -> None:
    former = run.known.get(item.key)
    fingerprint = _fingerprint(run.lake, item)
    if not forced and former and former.status == "accepted" and former.fingerprint == fingerprint:
        run.touched.append((former, item.version))
        run.report.touched.append(item.key)
        return
    verdict = validate(run.lake, connection, run.source, item)
    if former and former.cause == "permission" and verdict.cause == "permission":
        return  # still unreadable, and said so before
    if item.kind == "file" and run.lake.stat(item.key).version != item.version:
        run.report.waiting[item.key] = "it was written to while it was validated"
        return
    entry = Entry(
        file_key=item.key,
        batch_key=ledger.batch_key(run.source, item.key, fingerprint),
        fingerprint=fingerprint,
        object_version=item.version,
        size_bytes=item.size,
        status="quarantined" if verdict.faults else "accepted",
        row_count=verdict.rows,
        rejected_rows=verdict.rejected_rows,
        min_time=verdict.min_time,
        max_time=verdict.max_time,
        batch_ids=verdict.batch_ids,
        facts={
            "columns": verdict.columns,
            "extra_columns": verdict.extra_columns,
            "parameters": verdict.parameters,
            "equipment_ids": verdict.equipment_ids,
            "rejected": verdict.rejected,
        },
    )
    if item.key in run.report.stuck:
        run.report.stuck.remove(item.key)
    if verdict.faults:
        _refuse(run, item, verdict, entry)
    else:
        _accept(run, connection, item, verdict, entry, history)
    run.entries.append(entry)


def _fingerprint(lake: Lake, item: LakeObject) -> str:
    """Of the content; of the version where there is no content to read."""
    if item.kind == "file":
        try:
            return lake.fingerprint(item)
        except (PermissionError, IsADirectoryError):
            pass
    return f"{item.kind}:{item.version}"


def _accept(
    run: Run,
    connection: DuckDBPyConnection,
    item: LakeObject,
    verdict: Verdict,
    entry: Entry,
    history: list[dict[str, str]],
) -> None:
    if verdict.rejected_rows:
        key = quarantine.write_rejected_rows(
            run.lake,
            connection,
            run.source,
            item,
            verdict,
            batch_key=entry.batch_key,
            now=run.now,
            scratch=process_folder(run.settings.data_path / "tmp"),
        )
        entry.facts["rejected_rows_key"] = key
        run.raised.append(rows_rejected(run.source, item.key, entry.fingerprint, verdict.rejected_rows, entry.facts))
    if run.source.extra_columns == "discard":
        columns = {name: kind for name, kind in verdict.columns.items() if name not in verdict.extra_columns}
    else:
        columns = verdict.columns
    if columns not in history:
        seen = {name for former in history for name in former}
        if history or verdict.extra_columns:
            declared = {column.name for column in run.source.columns}
            fresh = {name: kind for name, kind in columns.items() if name not in seen and name.lower() not in declared}
            run.report.new_columns |= fresh
        history.append(columns)
        run.new_schemas.append((columns, item.key))
    former = run.known.get(item.key)
    replaced = former is not None and former.status in {"accepted", "missing"}
    accepted = AcceptedFile(item.key, verdict.rows, verdict.rejected_rows, verdict.batch_ids, replaced, item.size)
    run.report.accepted.append(accepted)


def _refuse(run: Run, item: LakeObject, verdict: Verdict, entry: Entry) -> None:
    key = quarantine.target_key(run.lake, run.source, item, entry.batch_key, run.now)
    quarantine.write_reason(
        run.lake,
        run.source,
        item,
        verdict,
        fingerprint=entry.fingerprint,
        quarantine_key=key,
        run_id=run.report.run_id,
        now=run.now,
    )
    entry.reason = verdict.reason
    entry.facts |= {
        "cause": verdict.cause,
        "causes": [fault.cause for fault in verdict.faults],
        "remedy": verdict.remedy,
        "quarantine_key": key,
    }
    run.broken.append((item, verdict, entry))
    former = run.known.get(item.key)
    replaced = former is not None and former.status == "accepted"
    run.progress(f"quarantined {item.key}: {verdict.reason}")
    run.raised.append(
        file_quarantined(run.source, item.key, entry.fingerprint, verdict.reason, entry.facts, replaced=replaced)
    )


def _set_aside(run: Run, found: Diff) -> None:
    """Move broken files, now that the ledger knows them; also those of a run that died before it came to this."""
    for item, verdict, entry in run.broken:
        key = entry.facts["quarantine_key"]
        stayed = quarantine.move_away(run.lake, item, key)
        if stayed:
            run.progress(f"{item.key} stays in the drop zone: {stayed}")
            ledger.note_left_in_place(run.state, entry.batch_key, stayed)
        moved_to = None if stayed else key
        run.report.quarantined.append(
            QuarantinedFile(item.key, verdict.reason, verdict.remedy, moved_to, verdict.cause or "")
        )
    looked_at = {entry.file_key for entry in run.entries}
    for item in found.stuck:
        former = run.known[item.key]
        retry = item.key not in looked_at and former.cause != "permission" and former.quarantine_key
        if retry and quarantine.move_away(run.lake, item, retry) is None:
            run.report.stuck.remove(item.key)
