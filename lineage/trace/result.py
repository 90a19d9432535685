"""What a trace found, as plain data: the tree of layers, and the files at its ends.

What belongs here: the types and their JSON form. What does not: printing (:mod:`lineage.trace.tree`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Literal

Where = Literal["drop zone", "kept copy", "gone"]


@dataclass(frozen=True)
class Range:
    """Rows ``first``, ``first + step``, … ``last`` of a file; from 0."""

    first: int
    last: int
    step: int = 1

    def __str__(self) -> str:
        """``7``, ``0–99``, ``0–96 every 6th``."""
        if self.first == self.last:
            return f"{self.first}"
        every = "" if self.step == 1 else f" every {self.step}{ {2: 'nd', 3: 'rd'}.get(self.step, 'th') }"
        return f"{self.first}–{self.last}{every}"


@dataclass(frozen=True)
class Version:
    """One version of a file as the ledger knows it.

    Attributes:
        file_key: key below the lake's root.
        fingerprint: of the content.
        batch_key: the ledger's key of this version.
        arrival_seq: number of the arrival.
        accepted_at: UTC.
        run_id: which run accepted it.
        status: the ledger's: ``accepted``, ``superseded``, ``missing``, ``quarantined``.
        row_count, rejected_rows: of the whole file.
        object_version: of the object that was looked at.
    """

    file_key: str
    fingerprint: str
    batch_key: str
    arrival_seq: int
    accepted_at: datetime
    run_id: str
    status: str
    row_count: int | None
    rejected_rows: int
    object_version: str = ""
    batch_ids: tuple[str, ...] = ()


@dataclass
class FileRows:
    """Rows of one version of one file.

    Attributes:
        version: which; what the row was built from, not what lies there now.
        where: where this content is now; ``gone``: nowhere, its rows cannot be shown.
        read_key: the key it was read from.
        rows: rows found.
        not_counted: of these, rows that the next layer left out for another delivery.
        unit: what the numbers count: ``row`` (position, from 0) or ``line`` (of the text file, from 1).
        ranges: their numbers, compressed.
        warnings: what has changed since.
    """

    version: Version
    where: Where
    read_key: str | None
    rows: int = 0
    not_counted: int = 0
    unit: Literal["row", "line"] = "row"
    ranges: list[Range] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


@dataclass
class Step:
    """One relation on the way.

    Attributes:
        model, relation, layer: which.
        role: ``start``, ``own`` (this row's rows) or ``joined`` (rows that it shares with others).
        filter: how they were found, in words.
        rows: how many there are.
        not_counted: of these, rows that the next layer left out, because it keeps one of several.
        kept_by: which one it keeps.
        superset: why these may be more rows than went into the result; empty: exactly these did.
        notes: further remarks.
        columns, sample: some of the rows.
        files: where the rows are in the raw zone, at the end of the way.
        above: the relations that it is made of.
    """

    model: str
    relation: str
    layer: str
    role: Literal["start", "own", "joined"]
    filter: str
    rows: int
    not_counted: int = 0
    kept_by: str = ""
    superset: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    sample: list[tuple[Any, ...]] = field(default_factory=list)
    files: list[FileRows] = field(default_factory=list)
    above: list[Step] = field(default_factory=list)

    def walk(self) -> Iterator[Step]:
        """This step and all above it."""
        yield self
        for step in self.above:
            yield from step.walk()


@dataclass
class Trace:
    """A traced row (or several), and the way back.

    Attributes:
        start: the relation asked for.
        key: the key asked for, as given.
        grain: what a row of it is.
        built_at: when it was last built, UTC; None where nobody recorded it.
        warnings: about the whole.
    """

    start: Step
    key: dict[str, Any]
    grain: str
    built_at: datetime | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def exact(self) -> bool:
        """Whether the rows found are exactly those that the row was made of."""
        return self.complete and not any(step.superset for step in self.start.walk())

    @property
    def complete(self) -> bool:
        """Whether the content of every file that it was made of could be read."""
        return not any(item.where == "gone" for step in self.start.walk() for item in step.files)

    def as_json(self) -> dict[str, Any]:
        """Plain data; times and numbers of other types become text with ``default=str``."""
        return {**asdict(self), "exact": self.exact, "complete": self.complete}


def compress(numbers: list[int]) -> list[Range]:
    """Sorted distinct numbers as ranges: runs of equal steps, at least three long unless the step is 1."""
    ranges: list[Range] = []
    index = 0
    while index < len(numbers):
        first = numbers[index]
        if index + 1 == len(numbers):
            ranges.append(Range(first, first))
            break
        step = numbers[index + 1] - first
        end = index + 1
        while end + 1 < len(numbers) and numbers[end + 1] - numbers[end] == step:
            end += 1
        if step == 1 or end - index >= 2:
            ranges.append(Range(first, numbers[end], step))
            index = end + 1
        else:
            ranges.append(Range(first, first))
            index += 1
    return ranges
