"""What killed writers left in the platform's own folders of the lake.

What belongs here: which folders those are, and how old a leftover must be. What does not: what an unfinished file looks
like (:meth:`lakehouse.storage.Lake.sweep`). A drop zone is never swept: whatever lies there is its owner's.
"""

from __future__ import annotations

from datetime import timedelta

from lakehouse.settings import Settings
from lakehouse.storage import open_lake

FOLDERS = ("raw/_ledger", "raw/_kept", "raw/_quarantine")
"""No declaration may have its drop zone below these, see :class:`ingestion.declarations.DropZoneSource`."""
OLD = timedelta(days=1)


def sweep(settings: Settings) -> int:
    """Remove unfinished files to which nothing was written for a day; return how many.

    Raises:
        UnavailableError: the lake cannot be reached.
        OSError: a leftover may not be removed.
    """
    lake = open_lake(settings)
    return sum(lake.sweep(folder, older_than=OLD) for folder in FOLDERS)
