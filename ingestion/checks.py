"""Asset checks and metadata of a source, derived from its declaration and from what the ledger holds.

What belongs here: pure judgement over a summary. What does not: reading the ledger, or telling Dagster.
Checks of refused files warn below the threshold: nothing of such a file goes on, so nothing downstream is wrong.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ingestion.declarations import DropZoneSource
from ingestion.ledger_summary import SAMPLE, Summary
from ingestion.report import Check, IngestReport
from ingestion.validate import READING, SCHEMA
from lakehouse.settings import Settings

CHECK_NAMES = (
    "readable_files",
    "schema",
    "no_null_batch_ids",
    "row_count_above_threshold",
    "values_in_declared_range",
    "quarantine_below_threshold",
    "fresh",
)
"""Every check a drop zone has; Dagster declares them before any run."""


def over_threshold(source: DropZoneSource, looked: int, quarantined: int) -> str | None:
    """Why a run with these counts fails; None if it does not."""
    limit = source.thresholds
    if looked < limit.judged_from_files or quarantined <= limit.max_quarantined_fraction * looked:
        return None
    return (
        f"{quarantined} of {looked} files looked at were quarantined ({quarantined / looked:.0%}),"
        f" at most {limit.max_quarantined_fraction:.0%} may"
    )


def batch_rules(source: DropZoneSource) -> set[str]:
    """Causes that say that batch ids are absent: file rules over the batch column."""
    return {
        f"rule:{rule.name}"
        for rule in source.row_rules
        if rule.action == "quarantine_file" and source.batch_column in rule.expression
    }


def checks(source: DropZoneSource, held: Summary, settings: Settings, now: datetime) -> list[Check]:
    """All checks of a source, in the order of :data:`CHECK_NAMES`.

    Args:
        source: the declaration.
        held: what the ledger holds.
        settings: for the freshness limit and whether old data is accepted.
        now: the present, aware.
    """
    failure = over_threshold(source, held.last_run_looked, held.last_run_quarantined)
    outside = {name: fact["out_of_range"] for name, fact in held.parameters.items() if fact["out_of_range"]}
    unknown = {name: fact["rows"] for name, fact in held.parameters.items() if not fact["known"]}
    ranges = [f"{count:,} values of {name} outside its range" for name, count in outside.items()]
    ranges += [f"parameter {name} is not declared ({count:,} rows)" for name, count in unknown.items()]
    return [
        _refused("readable_files", source, held, lambda cause: cause in READING, "readable"),
        _refused("schema", source, held, lambda cause: cause in SCHEMA, "of the declared columns and types"),
        _refused("no_null_batch_ids", source, held, batch_rules(source).__contains__, "with a batch id in every row"),
        Check(
            "row_count_above_threshold",
            held.rows >= source.thresholds.min_rows,
            "error",
            f"{held.rows:,} rows accepted, at least {source.thresholds.min_rows:,} expected",
            {"rows": held.rows, "min_rows": source.thresholds.min_rows},
        ),
        Check(
            "values_in_declared_range",
            not outside,
            "warn",
            "; ".join(ranges) or f"{len(held.parameters)} parameters, all values in range",
            {"out_of_range": outside, "unknown_parameters": unknown, "parameters": held.parameters},
        ),
        Check(
            "quarantine_below_threshold",
            failure is None,
            "error",
            failure or f"{held.last_run_quarantined} of {held.last_run_looked} files of the newest arrival quarantined",
            {
                "looked_at": held.last_run_looked,
                "quarantined": held.last_run_quarantined,
                "max_fraction": source.thresholds.max_quarantined_fraction,
            },
        ),
        fresh(source, held, settings, now),
    ]


def fresh(source: DropZoneSource, held: Summary, settings: Settings, now: datetime) -> Check:
    """Whether the newest batch began within the declared time (requirements: within 24 hours).

    Warns: old data is still the newest there is, and holding it back would not make it younger. Asked in every run,
    also where nothing new has come, because its answer changes with the clock alone.
    """
    limit = settings.freshness_hours or (source.freshness.max_age_hours if source.freshness else None)
    began = held.newest_batch_start
    if began is None or limit is None:
        return Check("fresh", True, "warn", "nothing to judge", {})
    hours = (now - began).total_seconds() / 3600
    told = {"newest_batch": held.newest_batch, "batch_start": began.isoformat(), "limit_hours": limit}
    text = f"newest batch {held.newest_batch} started {began:%Y-%m-%d %H:%M} UTC, {age(hours)} ago"
    if hours <= limit:
        return Check("fresh", True, "warn", text, told)
    if settings.accept_stale:
        return Check("fresh", True, "warn", f"{text}; accepted as stale", told | {"accepted_stale": True})
    text += (
        f"; the limit is {limit:g} hours (LAKEHOUSE_FRESHNESS_HOURS changes it). If the age is expected, as in a"
        " history load, accept it: lakehouse run --accept-stale, or LAKEHOUSE_ACCEPT_STALE=true"
    )
    return Check("fresh", False, "warn", text, told)


def age(hours: float) -> str:
    """An age in the unit a person would use: hours below two days, days below a year, else years."""
    if hours < 48:
        return f"{hours:.1f} hours"
    return f"{hours / 24:.1f} days" if hours < 24 * 365 else f"{hours / 24 / 365.25:.1f} years"


def metadata(source: DropZoneSource, held: Summary, report: IngestReport) -> dict[str, Any]:
    """What the asset's page shows, as plain JSON values."""
    return {
        "status": report.status,
        "drop_zone": source.path,
        "files": held.files,
        "files_new": sum(not item.replaced for item in report.accepted),
        "files_changed": sum(item.replaced for item in report.accepted),
        "files_unchanged": report.unchanged,
        "files_quarantined": len(report.quarantined),
        "files_waiting": len(report.waiting),
        "files_missing": held.missing_files,
        "files_ignored": len(report.ignored),
        "quarantined": {item.key: item.reason for item in report.quarantined[:SAMPLE]},
        "open_quarantined": len(held.quarantined),
        "accepted": [item.key for item in report.accepted[:SAMPLE]],
        "rows": held.rows,
        "rows_arrived": sum(item.rows for item in report.accepted),
        "bytes_arrived": sum(item.size_bytes for item in report.accepted),
        "rows_rejected": held.rejected_rows,
        "min_time": held.min_time.isoformat() if held.min_time else None,
        "max_time": held.max_time.isoformat() if held.max_time else None,
        "batches": held.batches,
        "batch_ids": held.batch_sample,
        "equipment_ids": held.equipment[:SAMPLE],
        "parameters": held.parameters,
        "extra_columns": held.extra_columns,
        "bytes": held.size_bytes,
        "arrival_seq": report.arrival_after,
        "seconds": round(report.seconds, 3),
    }


def _refused(name: str, source: DropZoneSource, held: Summary, concerns: Any, what: str) -> Check:
    # A file may have several faults; the ledger keeps the first one's cause, the most basic.
    files = {key: reason for key, cause, reason in held.quarantined if concerns(cause)}
    if not files:
        return Check(name, True, "warn", f"{held.files} accepted files, all {what}", {"files": held.files})
    named = "; ".join(f"{key}: {reason}" for key, reason in list(files.items())[:3])
    more = f"; and {len(files) - 3} more" if len(files) > 3 else ""
    return Check(
        name,
        False,
        "warn",
        f"{len(files)} file{'s' if len(files) > 1 else ''} quarantined: {named}{more}",
        {"files": dict(list(files.items())[:SAMPLE]), "quarantine": source.quarantine_folder},
    )
