"""Which files counted when: the moments a rebuild must pass through to come out as the original did.

What belongs here: conclusions from ledger rows, pure. What does not: reading the journal (:mod:`ingestion.journal`) or
building anything.

A batch keeps what it got from a file that has left the drop zone until another file with this batch arrives. So the
missing files are built together with the present ones first, and leave afterwards; one that left before a file with the
same batch arrived must leave before that file comes, and is a moment of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Row = Mapping[str, Any]


def moments(rows: Sequence[Row], available: Sequence[Row]) -> list[list[Row]]:
    """The sets of rows to build one after the other, before the present state; none where no file is missing.

    Args:
        rows: ledger rows of one source.
        available: those of status ``missing`` whose content is there.
    """
    if not available:
        return []
    accepted = [row for row in rows if row["status"] == "accepted"]
    counted = [*accepted, *available]
    early = [row for row in available if _overtaken(row, counted)]
    late = [row for row in available if row not in early]
    found = []
    for moment in sorted({_gone_after(row) for row in early}):
        then = [row for row in counted if row["ingestion_id"] <= moment]
        found.append([row for row in then if row not in early or _gone_after(row) >= moment])
    if late:
        found.append([*accepted, *late])
    return [sorted(item, key=lambda row: int(row["ingestion_id"])) for item in found]


def _gone_after(row: Row) -> int:
    return int(row["facts"].get("gone_after", 0))


def _overtaken(row: Row, others: Sequence[Row]) -> bool:
    """Whether a file with one of its batches arrived after it had gone."""
    batches = {str(batch).strip() for batch in row["batch_ids"] or ()}
    return any(
        other["ingestion_id"] > _gone_after(row) and batches & {str(item).strip() for item in other["batch_ids"] or ()}
        for other in others
    )
