"""What the dbt steps note for lineage: when each model was built, how much it holds and read, why it was not built.

What belongs here: making the notes from dbt's outcomes and the relations' facts. What does not: their shape
(:mod:`orchestration.lineage.notes`).
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from dagster import AssetKey, AssetObservation
from psycopg2.extensions import connection as Connection

from lakehouse import state
from lakehouse.dbt.runner import NodeOutcome
from lineage.facts import Volume
from orchestration.assets.dbt_graph import DbtGraph, Model
from orchestration.assets.facts import LedgerPosition, RelationFacts
from orchestration.lineage.compiled import keep_sql, shortened
from orchestration.lineage.notes import Note

log = logging.getLogger(__name__)


def model_notes(
    models: Sequence[Model],
    outcomes: Sequence[NodeOutcome] | None,
    results: Sequence[state.AssetResult],
    facts: Mapping[str, RelationFacts],
    read: Mapping[str, Mapping[str, Volume]],
) -> dict[str, Note]:
    """One note per model.

    Args:
        models: of the step.
        outcomes: dbt's; None where nothing had to be built.
        results: what is stored about each.
        facts: of the relations that are there.
        read: from :func:`volumes_read`.
    """
    by_id = {outcome.unique_id: outcome for outcome in outcomes or []}
    reasons = {result.asset_key: result.reason for result in results if not result.ok}
    now = datetime.now(UTC)
    notes = {}
    for model in models:
        key, outcome = model.asset_key, by_id.get(model.unique_id)
        if outcomes is None:
            notes[key] = Note("up to date", now, now, output=_holds(facts.get(key)), inputs=read[key])
        elif outcome is None or outcome.status == "skipped":
            notes[key] = Note("not reached", now, now, error=state.NOT_REACHED)
        elif outcome.ok:
            output = _holds(facts.get(key))
            notes[key] = Note("built", outcome.started_at, outcome.ended_at, output=output, inputs=read[key])
        else:
            sql = shortened(outcome.compiled_code) if outcome.compiled_code else None
            notes[key] = Note("failed", outcome.started_at, outcome.ended_at, error=reasons[key], sql=sql)
    return notes


def volumes_read(
    connection: Connection, graph: DbtGraph, models: Sequence[Model], position: LedgerPosition
) -> dict[str, dict[str, Volume]]:
    """Asset key → rows of what it reads, by the upstream asset's key, as they were before the step.

    What is built in this very step is filled in by :func:`with_own`.
    """
    inputs = {model.asset_key: graph.inputs(model) for model in models}
    rows = state.rows_of(connection, {key for keys in inputs.values() for key in keys})
    for model in models:
        if model.source in position.rows:
            rows |= dict.fromkeys(graph.landed_by(model), position.rows[model.source])
    return {
        asset: {key: Volume(rows=rows[key]) if key in rows else Volume() for key in keys}
        for asset, keys in inputs.items()
    }


def with_own(
    read: Mapping[str, Mapping[str, Volume]], facts: Mapping[str, RelationFacts]
) -> dict[str, dict[str, Volume]]:
    """The same with the volumes of what the step itself built."""
    return {
        asset: {key: _holds(facts[key]) if key in facts else volume for key, volume in volumes.items()}
        for asset, volumes in read.items()
    }


def note_sql(
    connection: Connection, manifest_key: str, models: Sequence[Model], outcomes: Sequence[NodeOutcome]
) -> None:
    """Keep the SQL of what was built; that this fails is no reason for the step to fail."""
    keys = {model.unique_id: model.asset_key for model in models}
    compiled = {
        keys[item.unique_id]: item.compiled_code
        for item in outcomes
        if item.ok and item.compiled_code and item.unique_id in keys
    }
    try:
        keep_sql(connection, manifest_key, compiled)
    except Exception:
        log.warning("The compiled SQL could not be kept for lineage.", exc_info=True)


def not_built(models: Sequence[Model], notes: Mapping[str, Note]) -> Iterator[Any]:
    """Observations in place of the materializations that did not happen."""
    for model in models:
        note = notes[model.asset_key]
        if note.outcome in {"failed", "not reached"}:
            text = f"Not built: {note.error}" if note.outcome == "failed" else note.error
            yield AssetObservation(AssetKey([model.asset_key]), description=text, metadata=note.metadata())


def _holds(facts: RelationFacts | None) -> Volume:
    return Volume(facts.rows, facts.bytes) if facts is not None else Volume()
