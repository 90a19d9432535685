"""A trace as lines of text: a tree of relations, with the files at its ends.

What belongs here: words and indentation. What does not: printing and colours (``lakehouse trace``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lineage.trace.result import FileRows, Step, Trace

RANGES = 6
"""So many ranges of rows are written out; --json has all."""
CELL = 40


def lines(trace: Trace) -> Iterator[str]:
    """The whole trace."""
    start = trace.start
    yield f"{start.relation}  {_rows(start.rows)}  {start.filter}".rstrip()
    if trace.grain:
        yield f"│ {trace.grain}"
    if trace.built_at is not None:
        yield f"│ last built {trace.built_at:%Y-%m-%d %H:%M:%S} UTC"
    yield from (f"│ {line}" for line in _details(start))
    for index, step in enumerate(start.above):
        yield from _branch(step, "", last=index == len(start.above) - 1)
    yield ""
    if trace.exact:
        yield "These are exactly the rows that it was made of."
    elif trace.complete:
        yield "These contain the rows that it was made of, and may be more: where, is marked with ~."
    else:
        yield "This is not all that it was made of: the content of a file is gone, marked with !."
    yield from (f"! {warning}" for warning in trace.warnings)


def _branch(step: Step, indent: str, *, last: bool) -> Iterator[str]:
    shared = "  (shared with other rows)" if step.role == "joined" else ""
    approximate = "~" if step.superset else ""
    yield f"{indent}{'└─' if last else '├─'} {step.relation}  {approximate}{_rows(step.rows)}{shared}"
    inner = indent + ("   " if last else "│  ")
    for line in _details(step):
        yield f"{inner}{'│ ' if step.above else '  '}{line}"
    for index, above in enumerate(step.above):
        yield from _branch(above, inner, last=index == len(step.above) - 1)


def _details(step: Step) -> Iterator[str]:
    if step.role != "start":
        yield f"where {step.filter}"
    if step.kept_by:
        counted = step.rows - step.not_counted
        yield f"{counted:,} counted, {step.not_counted:,} passed over: of rows alike, {step.kept_by}"
    yield from (f"~ superset: {reason}" for reason in step.superset)
    yield from step.notes
    yield from _sample(step.columns, step.sample)
    for item in step.files:
        yield from _file(item)


def _file(item: FileRows) -> Iterator[str]:
    version = item.version
    passed = f", {item.not_counted:,} passed over" if item.not_counted else ""
    yield f"• {version.file_key}  {_rows(item.rows)}{passed}"
    if item.ranges:
        shown = ", ".join(str(part) for part in item.ranges[:RANGES])
        more = f", … ({len(item.ranges) - RANGES:,} ranges more)" if len(item.ranges) > RANGES else ""
        yield f"  {item.unit}s {shown}{more}"
    place = {"drop zone": "in the drop zone", "kept copy": f"only as {item.read_key}", "gone": "gone"}[item.where]
    yield (
        f"  accepted {version.accepted_at:%Y-%m-%d %H:%M:%S} UTC, run {version.run_id[:8]}, arrival "
        f"{version.arrival_seq}, {version.fingerprint[:19]}…, {place}"
    )
    yield from (f"  ! {warning}" for warning in item.warnings)


def _sample(columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Iterator[str]:
    for row in rows:
        cells = (f"{name}={_cell(value)}" for name, value in zip(columns, row, strict=True))
        yield "› " + ", ".join(cells)


def _cell(value: Any) -> str:
    text = "null" if value is None else f"{value:.6g}" if isinstance(value, float) else str(value).replace("\n", "⏎")
    return text if len(text) <= CELL else f"{text[: CELL - 1]}…"


def _rows(count: int) -> str:
    return f"{count:,} row{'' if count == 1 else 's'}"
