"""What happened in a drop zone since the ledger last looked: a pure comparison, no I/O.

What belongs here: which entries of a listing are new, changed, gone, or not finished yet. What does not: reading a
file or writing a row (:mod:`ingestion.ingest`).
"""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from lakehouse.storage import LakeObject

TEMPORARY_ENDINGS = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".filepart", ".download", ".inprogress", "~")
"""How copy tools and browsers name a file they still write; a leading dot or "_" means the same."""


@dataclass(frozen=True)
class Known:
    """What the ledger says about a key now: its newest version that is not superseded.

    Attributes:
        key: the file's key in the lake.
        version: the object's version when it was looked at.
        fingerprint: of its content.
        status: ``accepted``, ``missing`` or ``quarantined``.
        ingestion_id: the ledger row.
        batch_key: the row's deterministic key.
        cause: why it is quarantined (a word of :mod:`ingestion.validate`).
        quarantine_key: where the quarantined file was to go.
        read_from: key of the kept copy that is read instead, see :func:`ingestion.outcome.gone`.
    """

    key: str
    version: str
    fingerprint: str
    status: str
    ingestion_id: int
    batch_key: str
    cause: str | None = None
    quarantine_key: str | None = None
    read_from: str | None = None


@dataclass(frozen=True)
class Waiting:
    """A file left for the next run, and why."""

    item: LakeObject
    reason: str


@dataclass
class Diff:
    """A listing sorted by what is to be done.

    Attributes:
        new: never seen.
        changed: seen in another version (whether its content changed shows its fingerprint), or gone and back.
        unchanged: accepted before, same version.
        stuck: quarantined before in this very version, and still in the drop zone (it could not be moved).
        waiting: still being written.
        missing: accepted before, gone now.
        ignored: entries whose name does not match the pattern.
    """

    new: list[LakeObject] = field(default_factory=list)
    changed: list[LakeObject] = field(default_factory=list)
    unchanged: list[LakeObject] = field(default_factory=list)
    stuck: list[LakeObject] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    missing: list[Known] = field(default_factory=list)
    ignored: list[LakeObject] = field(default_factory=list)

    @property
    def empty(self) -> bool:
        """Whether the drop zone holds nothing at all that the source would take."""
        return not (self.new or self.changed or self.unchanged or self.stuck or self.waiting)


def diff(
    listing: Iterable[LakeObject],
    known: Mapping[str, Known],
    *,
    pattern: str,
    now: datetime,
    settle_seconds: float,
    earlier: Mapping[str, LakeObject] | None = None,
    complete: Callable[[LakeObject], bool] = lambda _: False,
) -> Diff:
    """Compare a listing with the ledger.

    Args:
        listing: the drop zone's entries.
        known: the ledger's view by key.
        pattern: which names the source takes, e.g. ``*.parquet``.
        now: the present, aware.
        settle_seconds: files modified more recently are still being written; 0 where objects arrive whole.
        earlier: a look a moment ago, by key: a file that changed since is still being written.
        complete: asked only of files that would be left waiting: whether this one is known to be complete all the same.
    """
    result = Diff()
    seen = set()
    for item in listing:
        seen.add(item.key)
        former = known.get(item.key)
        if temporary(item.name):
            result.waiting.append(Waiting(item, "its name says that it is still being written"))
        elif not fnmatch.fnmatchcase(item.name, pattern):
            result.ignored.append(item)
        elif former is not None and former.version == item.version and former.status != "missing":
            (result.unchanged if former.status == "accepted" else result.stuck).append(item)
        elif (reason := _unsettled(item, now, settle_seconds, (earlier or {}).get(item.key))) and not complete(item):
            result.waiting.append(Waiting(item, reason))
        elif former is None:
            result.new.append(item)
        else:
            result.changed.append(item)
    result.missing = [row for key, row in known.items() if row.status == "accepted" and key not in seen]
    return result


def temporary(name: str) -> bool:
    """Whether a name is one that tools give to unfinished files."""
    return name.startswith(("_", ".")) or name.lower().endswith(TEMPORARY_ENDINGS)


def _unsettled(item: LakeObject, now: datetime, settle_seconds: float, earlier: LakeObject | None) -> str | None:
    if item.kind != "file":
        return None
    if earlier is not None and earlier.version != item.version:
        if earlier.size != item.size:
            return f"its size went from {earlier.size:,} to {item.size:,} bytes between two looks"
        return "it was written to between two looks"
    age = (now - item.modified).total_seconds()
    # A time well in the future is a clock that runs ahead, not a file that is being written.
    if -settle_seconds < age < settle_seconds:
        return f"it was modified {max(age, 0):.1f} s ago and files settle for {settle_seconds:g} s"
    return None
