"""What a step notes about each of its assets for lineage: one JSON value in the asset's own event.

What belongs here: the note's shape, to and from metadata. What does not: finding out what it says
(:mod:`orchestration.assets.lineage_notes`) or judging it (:mod:`orchestration.lineage.records`).

Dagster has no event for an asset that was not built: an observation with a note stands in its place, so that each
failed model keeps its own error and one that was not reached is known as such.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from dagster import MetadataValue

from lineage.facts import Volume

META_NOTE = "lineage"
"""Metadata key of the note."""
NOTHING_KNOWN = Volume()
Outcome = Literal["built", "up to date", "failed", "not reached"]


@dataclass(frozen=True)
class Note:
    """What a step knows of one asset.

    Attributes:
        outcome: what became of it.
        started, ended: aware; None where nothing was measured (then the step's own times count).
        error: its own error.
        output: what it holds now; rows are in Dagster's own metadata as well.
        inputs: what was read, by the upstream asset's key.
        sql: the SQL that failed.
        facts: further plain values.
    """

    outcome: Outcome
    started: datetime | None = None
    ended: datetime | None = None
    error: str | None = None
    output: Volume = NOTHING_KNOWN
    inputs: Mapping[str, Volume] = field(default_factory=dict)
    sql: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    def metadata(self) -> dict[str, MetadataValue]:
        """As metadata of a materialization or an observation; what is not known is left out."""
        value: dict[str, Any] = {
            "outcome": self.outcome,
            "started": self.started.isoformat() if self.started else None,
            "ended": self.ended.isoformat() if self.ended else None,
            "error": self.error,
            "output": _volume(self.output),
            "inputs": {key: _volume(item) for key, item in self.inputs.items()},
            "sql": self.sql,
            "facts": dict(self.facts),
        }
        return {META_NOTE: MetadataValue.json({key: item for key, item in value.items() if item})}


def note_in(metadata: Mapping[str, MetadataValue]) -> Note | None:
    """The note in an event's metadata; None where it has none, as in runs of an older version."""
    found = metadata.get(META_NOTE)
    value = found.value if found is not None else None
    if not isinstance(value, dict):
        return None
    return Note(
        outcome=value.get("outcome", "built"),
        started=_moment(value.get("started")),
        ended=_moment(value.get("ended")),
        error=value.get("error"),
        output=Volume(**value.get("output", {})),
        inputs={key: Volume(**item) for key, item in value.get("inputs", {}).items()},
        sql=value.get("sql"),
        facts=value.get("facts", {}),
    )


def _volume(volume: Volume) -> dict[str, int]:
    return {name: value for name, value in vars(volume).items() if value is not None}


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
