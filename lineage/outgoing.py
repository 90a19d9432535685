"""An event on its way to the outbox: what the mapper makes and the outbox takes.

What belongs here: the value type. What does not: the table (:mod:`lineage.outbox`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

SYNC = "sync"
"""Order key of all metadata that no run tells of."""


@dataclass(frozen=True)
class Outgoing:
    """One validated OpenLineage event.

    Attributes:
        key: unique and derived from what the event says (run, job, attempt, type): putting it twice is putting it once.
        order_key: events of one key are delivered one after the other, in the order they were put: the Dagster run id,
            or :data:`SYNC`.
        kind: ``run``, ``job`` or ``dataset`` (OpenLineage's RunEvent, JobEvent, DatasetEvent).
        type: ``START``, ``COMPLETE``, ``FAIL``, ``ABORT``; empty for job and dataset events.
        job: name of the job; empty for a dataset event.
        event_time: aware.
        body: the event as JSON-ready plain data.
    """

    key: str
    order_key: str
    kind: str
    type: str
    job: str
    event_time: datetime
    body: dict[str, Any]
