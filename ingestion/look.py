"""A look into a drop zone without touching anything: what a run would take on. Sensors and pages ask it often.

What belongs here: one listing, one query, one comparison. What does not: deciding or doing anything about it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial

from ingestion import ledger
from ingestion.declarations import DropZoneSource
from ingestion.dropzone import Diff, diff
from ingestion.file_signs import complete
from lakehouse.settings import Settings
from lakehouse.storage import LakeObject, open_lake


def look(settings: Settings, source: DropZoneSource) -> Diff:
    """Compare the drop zone with the ledger.

    Raises:
        UnavailableError: the lake or the state database cannot be reached.
        ConfigError: the lake's settings are wrong.
    """
    from lakehouse.postgres.connect import connect_state

    lake = open_lake(settings)
    listing = list(lake.list(source.path))
    state = connect_state(settings)
    try:
        known = ledger.known(state, source)
    finally:
        state.close()
    settle = 0.0 if lake.atomic_arrival else source.settle_seconds
    return diff(
        listing,
        known,
        pattern=source.pattern,
        now=datetime.now(UTC),
        settle_seconds=settle,
        complete=partial(complete, lake),
    )


def pending_key(items: Iterable[LakeObject]) -> str:
    """A short name (16 hex digits) for a set of files in their present versions."""
    lines = sorted(f"{item.key}\0{item.version}" for item in items)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
