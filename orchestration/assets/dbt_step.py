"""The body of a dbt layer: gate, lock, ``dbt build``, then every node as Dagster events and as stored state."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg2
from dagster import AssetExecutionContext, AssetKey, MaterializeResult, MetadataValue
from psycopg2.extensions import connection as Connection

from lakehouse import state
from lakehouse.dbt.manifest import load_manifest, manifest_key
from lakehouse.dbt.runner import NodeOutcome, build
from lakehouse.duckdb.lock import exclusive
from lakehouse.errors import BusyError, LakehouseError, UnavailableError
from lakehouse.marts import rollback
from lakehouse.postgres.connect import connect_state
from lakehouse.settings import Settings
from lineage.facts import Volume
from orchestration import names, progress
from orchestration.assets.dbt_graph import DbtGraph, Model
from orchestration.assets.dbt_results import (
    asset_results,
    blocks,
    check_results,
    held_because,
    raise_for,
    status_word,
)
from orchestration.assets.events import selected_check_events
from orchestration.assets.facts import (
    LedgerPosition,
    RelationFacts,
    duckdb_facts,
    failing_rows,
    ledger_position,
    mart_facts,
)
from orchestration.assets.lineage_notes import model_notes, not_built, note_sql, volumes_read, with_own
from orchestration.assets.up_to_date import all_up_to_date, digests
from orchestration.gates import check_gate
from orchestration.lineage.notes import Note
from orchestration.options import RunOptions

Read = Mapping[str, Mapping[str, Volume]]
"""How much each model reads, by asset key and upstream asset's key."""


def build_layer(
    context: AssetExecutionContext, settings: Settings, layer: names.Layer, graph: DbtGraph, options: RunOptions
) -> Iterator[Any]:
    """Build the selected models of a layer with their tests and yield what became of each.

    Where code and inputs are those of the last good build and every relation is in place, nothing is built and no
    test runs: its answer would be the one that is stored.

    Raises:
        BlockedError: something upstream is not in order.
        BusyError: the warehouse stayed taken.
        UnavailableError: the marts server cannot be reached.
        DataError: a model failed.
    """
    models = graph.of_assets(key.to_user_string() for key in context.selected_asset_keys)
    connection = connect_state(settings)
    try:
        if layer.target == "postgres":
            _require_marts(settings)
        with exclusive(
            settings.warehouse,
            f"{layer.name}, run {context.run_id[:8]}",
            timeout=settings.lock_timeout_seconds,
            on_wait=lambda who: _say(context, f"Waiting for the warehouse: {who or 'another process'} uses it."),
        ):
            # Asked with the warehouse held: what is "building" now was interrupted, no other run can be at it.
            forced = check_gate(context, connection, graph.upstream_assets(models), options)
            done = _Step(context, settings, layer, graph, options, connection, models).build()
    except (UnavailableError, BusyError) as error:
        with contextlib.suppress(psycopg2.Error):  # it may be this very connection that was lost
            _record_unreachable(connection, context.run_id, models, error)
        raise
    finally:
        connection.close()
    yield from _events(context, models, done, forced)
    _report(models, done)
    raise_for(models, done.outcomes)


@dataclass
class _Done:
    """What one step found and did."""

    outcomes: list[NodeOutcome]
    assets: list[state.AssetResult]
    checks: list[state.CheckResult]
    facts: dict[str, RelationFacts]
    notes: dict[str, Note]
    up_to_date: bool = False


@dataclass
class _Step:
    """One layer of one run, with the warehouse held."""

    context: AssetExecutionContext
    settings: Settings
    layer: names.Layer
    graph: DbtGraph
    options: RunOptions
    connection: Connection
    models: list[Model]

    def build(self) -> _Done:
        """Build, or find that nothing needs to be; the outcome is stored before this returns."""
        # Read before building: what arrives meanwhile is found by the next run.
        position = ledger_position(self.connection, [model.source for model in self.models if model.source])
        keys = [model.asset_key for model in self.models]
        parents = [parent.asset_key for model in self.models for parent in self.graph.parents(model)]
        stored = state.built_from(self.connection, [*keys, *parents])
        key = manifest_key(self.settings)
        wanted = digests(self.models, self.graph, manifest_key=key, ledger=position.digests, stored=stored)
        read = volumes_read(self.connection, self.graph, self.models, position)
        if not (self.options.full_refresh or self.options.full_checks) and all_up_to_date(wanted, stored):
            facts = self._facts(position)
            checks = state.stored_checks(self.connection, keys)
            if facts.keys() >= set(keys) and not any(blocks(check) for check in checks):
                return self._nothing_to_build(facts, checks, stored, read)
        done = self._everything(position, wanted, read)
        note_sql(self.connection, key, self.models, done.outcomes)
        return done

    def _everything(self, position: LedgerPosition, wanted: dict[str, str | None], read: Read) -> _Done:
        state.mark_building(self.connection, [model.asset_key for model in self.models], self.context.run_id)
        by_name = [model.asset_key for model in self.models]
        outcomes = self._dbt(by_name or self.graph.test_names(self.context.selected_asset_check_keys))
        examples = failing_rows(self.settings, self.layer.target, outcomes)
        facts = self._facts(position)
        checks = check_results(self.graph, outcomes, examples)
        assets = asset_results(self.models, outcomes, checks, facts, wanted, position.arrival)
        self._store(assets, checks)
        self._report_held(outcomes)
        notes = model_notes(self.models, outcomes, assets, facts, with_own(read, facts))
        return _Done(outcomes, assets, checks, facts, notes)

    def _nothing_to_build(
        self, facts: dict[str, RelationFacts], checks: list[state.CheckResult], stored: dict[str, str], read: Read
    ) -> _Done:
        _say(self.context, f"{self.layer.name}: code and inputs are those of the last build, nothing to do.")
        assets = [
            state.AssetResult(model.asset_key, True, facts[model.asset_key].rows, built_from=stored[model.asset_key])
            for model in self.models
        ]
        self._store(assets, checks)
        notes = model_notes(self.models, None, assets, facts, with_own(read, facts))
        return _Done([], assets, checks, facts, notes, up_to_date=True)

    def _dbt(self, selectors: list[str]) -> list[NodeOutcome]:
        return build(
            self.settings,
            load_manifest(self.settings),
            target=self.layer.target,
            select=selectors,
            variables={
                "run_id": self.context.run_id,
                **_variables(self.connection, self.settings, self.models, self.options),
            },
            full_refresh=self.options.full_refresh,
            on_node=lambda node, status: _say(self.context, f"{node.split('.')[2]}: {status}"),
        )

    def _facts(self, position: LedgerPosition) -> dict[str, RelationFacts]:
        here = duckdb_facts(self.settings, [model for model in self.models if model.layer != "mart"], position)
        return here | mart_facts(self.settings, [model for model in self.models if model.layer == "mart"])

    def _store(self, assets: list[state.AssetResult], checks: list[state.CheckResult]) -> None:
        state.record(self.connection, self.context.run_id, assets, checks)
        state.alert_on(self.connection, self.context.run_id, assets, checks)

    def _report_held(self, outcomes: Sequence[NodeOutcome]) -> None:
        by_id = {outcome.unique_id: outcome for outcome in outcomes if outcome.ok}
        for model in self.models:
            outcome = by_id.get(model.unique_id)
            if outcome is None or model.layer != "mart":
                continue
            reason = held_because(outcome)
            if reason is None:
                state.resolve_alerts(self.connection, kind=rollback.HELD, subjects=[model.asset_key])
                continue
            self.context.log.warning(f"{model.asset_key} is held and was left as it is: {reason}")
            rollback.alert_held(self.connection, model.asset_key, model.identifier, reason, run_id=self.context.run_id)


def _record_unreachable(connection: Connection, run_id: str, models: Sequence[Model], error: LakehouseError) -> None:
    """A server that is down or a warehouse that stays taken is a failure of these assets too: told and alerted."""
    assets = [state.AssetResult(model.asset_key, ok=False, reason=error.message) for model in models]
    state.record(connection, run_id, assets, [])
    state.alert_on(connection, run_id, assets, [])


def _variables(
    connection: Connection, settings: Settings, models: Sequence[Model], options: RunOptions
) -> dict[str, Any]:
    variables: dict[str, Any] = {"accept_stale": options.accept_stale or settings.accept_stale}
    if settings.freshness_hours is not None:
        variables["freshness_hours"] = settings.freshness_hours
    if not (options.full_checks or options.full_refresh):
        staged = [model.asset_key for model in models if model.layer == "staging"]
        variables["checks_after_arrival"] = state.checked_through(connection, staged)
    return variables


def _require_marts(settings: Settings) -> None:
    # Asked before the warehouse is locked, so that a dead marts server holds nobody up.
    from lakehouse.postgres.migrate import migrate_marts

    migrate_marts(settings)


def _say(context: AssetExecutionContext, text: str) -> None:
    context.log.info(text)
    progress.note(text)


def _events(
    context: AssetExecutionContext, models: Sequence[Model], done: _Done, forced: Sequence[state.Blocker]
) -> Iterator[Any]:
    seconds = {outcome.unique_id: outcome.seconds for outcome in done.outcomes}
    results = {asset.asset_key: asset for asset in done.assets}
    for model in models:
        if not results[model.asset_key].ok:
            continue
        metadata: dict[str, Any] = {
            "seconds": MetadataValue.float(round(seconds.get(model.unique_id, 0.0), 3)),
            "up_to_date": MetadataValue.bool(done.up_to_date),
            **done.notes[model.asset_key].metadata(),
        }
        if model.asset_key in done.facts:
            metadata |= done.facts[model.asset_key].metadata()
        if results[model.asset_key].reason:  # held: in order, but not what the model would give
            metadata["note"] = MetadataValue.text(str(results[model.asset_key].reason))
        if forced:
            metadata["forced_past"] = MetadataValue.text("\n".join(str(item) for item in forced))
        yield MaterializeResult(asset_key=AssetKey([model.asset_key]), metadata=metadata)
    yield from not_built(models, done.notes)
    # Stored verdicts too: for Dagster a materialization without them is one that nobody has checked.
    yield from selected_check_events(context, done.checks)


def _report(models: Sequence[Model], done: _Done) -> None:
    by_id = {outcome.unique_id: outcome for outcome in done.outcomes}
    results = {asset.asset_key: asset for asset in done.assets}
    for model in models:
        outcome, result = by_id.get(model.unique_id), results[model.asset_key]
        own = [check for check in done.checks if check.asset_key == model.asset_key]
        progress.line(
            progress.AssetLine(
                asset=model.asset_key,
                layer=model.layer,
                status="unchanged" if done.up_to_date else status_word(outcome, result),
                rows=result.rows,
                seconds=outcome.seconds if outcome else 0.0,
                passed=sum(check.passed for check in own),
                warned=sum(not check.passed and check.severity == "warn" for check in own),
                failed=sum(blocks(check) for check in own),
                reason=result.reason or "; ".join(check.message for check in own if not check.passed),
            )
        )
