"""What one ingestion run did, for people, for Dagster and for machines.

What belongs here: the report's shape and its text. What does not: producing it (:mod:`ingestion.ingest`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from lakehouse.errors import DataError

Status = Literal["ok", "unchanged", "empty", "failed"]


@dataclass(frozen=True)
class Check:
    """A validation result that Dagster shows as an asset check; only ``error`` blocks downstream."""

    name: str
    passed: bool
    severity: Literal["error", "warn"]
    message: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AcceptedFile:
    """A file that goes on: rows, rows set aside, whether it replaced a former version, its size."""

    key: str
    rows: int
    rejected_rows: int
    batch_ids: list[str]
    replaced: bool
    size_bytes: int = 0


@dataclass(frozen=True)
class QuarantinedFile:
    """A file that was refused.

    Attributes:
        key: in the drop zone.
        reason, remedy: for a person.
        moved_to: its key in the quarantine; None where it could not be moved.
        cause: a word of :mod:`ingestion.validate`.
    """

    key: str
    reason: str
    remedy: str
    moved_to: str | None
    cause: str


@dataclass
class IngestReport:
    """The outcome of one run.

    Attributes:
        status: ``ok`` (something was looked at), ``unchanged``, ``empty`` (no file in the drop zone), ``failed``.
        failures: why the run failed; good files are recorded all the same.
        accepted, quarantined: files looked at in this run.
        touched: files whose content was known already under another object version.
        unchanged: how many files needed no look.
        stuck: keys of known broken files that still lie in the drop zone.
        waiting: files left for the next run, with the reason.
        missing: keys accepted before and gone now.
        held_over: keys accepted before and gone now, which a run that broke off may not have built: their kept copies
            are read until a run has.
        renamed: old key → new key of the same content.
        vanished: keys that went away between listing and reading.
        ignored: names that do not match the pattern.
        new_columns: columns not seen before, by name and type.
        arrival_before, arrival_after: highest arrival sequence before and after; what arrived is in between.
        new_alerts: alerts raised that were not open yet.
        checks, metadata: what Dagster shows.
        seconds: wall clock.
    """

    source: str
    asset: str
    run_id: str
    status: Status = "ok"
    failures: list[str] = field(default_factory=list)
    accepted: list[AcceptedFile] = field(default_factory=list)
    quarantined: list[QuarantinedFile] = field(default_factory=list)
    touched: list[str] = field(default_factory=list)
    unchanged: int = 0
    stuck: list[str] = field(default_factory=list)
    waiting: dict[str, str] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    held_over: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    vanished: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    new_columns: dict[str, str] = field(default_factory=dict)
    arrival_before: int = 0
    arrival_after: int = 0
    new_alerts: int = 0
    checks: list[Check] = field(default_factory=list)
    metadata: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether downstream must not go on."""
        return bool(self.failures)

    @property
    def changed_anything(self) -> bool:
        """Whether downstream has something to do."""
        return bool(self.accepted or self.missing or self.renamed or self.held_over)

    def raise_if_failed(self) -> None:
        """Raise what failed.

        Raises:
            DataError: more was broken than the declaration allows.
        """
        if self.failures:
            raise DataError(
                f"Source {self.source}: " + "; ".join(self.failures) + ".",
                remedy=f"Mend the files (reasons lie beside them in raw/_quarantine/{self.source}/) and drop or replay"
                " them, or change the thresholds in the declaration. Good files were accepted.",
            )

    def to_dict(self) -> dict[str, Any]:
        """The report as plain JSON values."""
        return asdict(self) | {"failed": self.failed}

    def text(self) -> str:
        """The report for a terminal."""
        rows = sum(item.rows for item in self.accepted)
        lines = [
            f"{self.source}: {self.status}: {len(self.accepted)} accepted ({rows:,} rows), "
            f"{len(self.quarantined)} quarantined, {self.unchanged} unchanged, {len(self.missing)} missing "
            f"in {self.seconds:.2f} s"
        ]
        lines += [f"  failed: {failure}" for failure in self.failures]
        for item in self.quarantined:
            lines += [f"  quarantined {item.key}: {item.reason}", f"    → {item.remedy}"]
            if item.moved_to is None:
                lines.append("    it could not be moved and is still in the drop zone")
        lines += [
            f"  {item.key}: {item.rejected_rows:,} rows set aside, {item.rows:,} accepted"
            for item in self.accepted
            if item.rejected_rows
        ]
        lines += [f"  left for later: {key}: {reason}" for key, reason in self.waiting.items()]
        lines += [f"  missing: {key} was accepted before and is gone; its rows stay" for key in self.missing]
        lines += [f"  gone before it was built: {key}; its kept copy is read" for key in self.held_over]
        lines += [f"  renamed: {old} is now {new}" for old, new in self.renamed.items()]
        lines += [f"  vanished while being read: {key}" for key in self.vanished]
        lines += [f"  still broken in the drop zone: {key}" for key in self.stuck]
        lines += [f"  ignored: {key}" for key in self.ignored]
        lines += [f"  new column: {name} {kind}" for name, kind in self.new_columns.items()]
        for check in self.checks:
            sign = "passed" if check.passed else "FAILED" if check.severity == "error" else "warning"
            lines.append(f"  {sign:7} {check.name}: {check.message}")
        return "\n".join(lines)
