"""The body of a dbt layer: gate, lock, ``dbt build``, then every node as Dagster events and as stored state."""

from collections.abc import Iterator, Sequence
from typing import Any

from dagster import AssetExecutionContext, AssetKey, MaterializeResult, MetadataValue
from psycopg2.extensions import connection as Connection

from lakehouse import state
from lakehouse.dbt.manifest import load_manifest
from lakehouse.dbt.runner import NodeOutcome, build
from lakehouse.duckdb.lock import exclusive
from lakehouse.errors import BusyError, DataError, LakehouseError, UnavailableError
from lakehouse.postgres.connect import connect, state_url
from lakehouse.settings import Settings
from orchestration import names, progress
from orchestration.assets.dbt_graph import DbtGraph, Model
from orchestration.assets.events import check_event
from orchestration.assets.facts import RelationFacts, duckdb_facts, failing_rows, ledger_position, mart_facts
from orchestration.gates import check_gate
from orchestration.options import RunOptions
from orchestration.processes import process_tags

CONNECTION_TROUBLE = (
    "connection refused",
    "could not connect",
    "server closed the connection",
    "ssl syscall",
    "terminating connection",
    "the database system is",
    "connection to server",
    "broken pipe",
)


def build_layer(
    context: AssetExecutionContext, settings: Settings, layer: names.Layer, graph: DbtGraph, options: RunOptions
) -> Iterator[Any]:
    """Build the selected models of a layer with their tests and yield what became of each.

    Raises:
        BlockedError: something upstream is not in order.
        BusyError: the warehouse stayed taken.
        UnavailableError: the marts server cannot be reached.
        DataError: a model failed.
    """
    context.instance.add_run_tags(context.run_id, process_tags())
    models = graph.of_assets(key.to_user_string() for key in context.selected_asset_keys)
    upstream = graph.upstream_assets(models)
    connection = connect(state_url(settings), what="state database")
    try:
        forced = check_gate(context, connection, upstream, options)
        if layer.target == "postgres":
            _require_marts(settings)
        position = ledger_position(connection, [model.source for model in models if model.source])
        with exclusive(
            settings.warehouse,
            f"{layer.name}, run {context.run_id[:8]}",
            timeout=settings.lock_timeout_seconds,
            on_wait=lambda who: _say(context, f"Waiting for the warehouse: {who or 'another process'} uses it."),
        ):
            state.mark_building(connection, [model.asset_key for model in models], context.run_id)
            selectors = [model.asset_key for model in models] or graph.test_names(context.selected_asset_check_keys)
            outcomes = build(
                settings,
                load_manifest(settings),
                target=layer.target,
                select=selectors,
                variables=_variables(connection, settings, models, options),
                full_refresh=options.full_refresh,
                on_node=lambda node, status: _say(context, f"{node.split('.')[2]}: {status}"),
            )
            facts = duckdb_facts(settings, [model for model in models if model.layer != "mart"], position)
            examples = failing_rows(settings, layer.target, outcomes)
        facts |= mart_facts(settings, [model for model in models if model.layer == "mart"])
        checks = check_results(graph, outcomes, examples)
        assets = asset_results(models, outcomes, checks, facts, position.version)
        state.record(connection, context.run_id, assets, checks)
        state.alert_on(connection, context.run_id, assets, checks)
    except (UnavailableError, BusyError) as error:
        _record_unreachable(connection, context.run_id, models, error)
        raise
    finally:
        connection.close()
    yield from _events(models, outcomes, checks, facts, forced)
    _report(models, outcomes, assets, checks)
    _raise_for(models, outcomes)


def _record_unreachable(connection: Connection, run_id: str, models: Sequence[Model], error: LakehouseError) -> None:
    """A server that is down or a warehouse that stays taken is a failure of these assets too: told and alerted."""
    assets = [state.AssetResult(model.asset_key, ok=False, reason=error.message) for model in models]
    state.record(connection, run_id, assets, [])
    state.alert_on(connection, run_id, assets, [])


def check_results(
    graph: DbtGraph, outcomes: Sequence[NodeOutcome], examples: dict[str, list[dict[str, Any]]]
) -> list[state.CheckResult]:
    """Tests that ran, as check results; a failing one says what dbt said and shows up to five failing rows.

    A test row with a column ``message`` speaks for itself; then that text is the message.
    """
    results = []
    for outcome in outcomes:
        key = graph.tests.get(outcome.unique_id)
        if key is None or outcome.status == "skipped":
            continue
        rows = examples.get(outcome.unique_id, [])
        spoken = [str(row["message"]) for row in rows if row.get("message")]
        results.append(
            state.CheckResult(
                asset_key=key.asset_key.to_user_string(),
                check_name=key.name,
                passed=outcome.status == "pass",
                severity="error" if outcome.status == "error" else graph.severity(outcome.unique_id),
                message="" if outcome.status == "pass" else "; ".join(spoken) or outcome.message,
                metadata={"failures": outcome.failures, "rows": rows} if rows else {},
            )
        )
    return results


def asset_results(
    models: Sequence[Model],
    outcomes: Sequence[NodeOutcome],
    checks: Sequence[state.CheckResult],
    facts: dict[str, RelationFacts],
    version: str | None,
) -> list[state.AssetResult]:
    """What to store about each model; the data version moves on only where every blocking check passed."""
    by_id = {outcome.unique_id: outcome for outcome in outcomes}
    blocked = {check.asset_key for check in checks if not check.passed and check.severity == "error"}
    results = []
    for model in models:
        outcome = by_id.get(model.unique_id)
        ok = outcome is not None and outcome.ok
        fact = facts.get(model.asset_key)
        results.append(
            state.AssetResult(
                asset_key=model.asset_key,
                ok=ok,
                rows=fact.rows if fact else None,
                reason=None if ok else _reason(outcome),
                data_version=None if model.asset_key in blocked else version,
            )
        )
    return results


def _reason(outcome: NodeOutcome | None) -> str:
    if outcome is None or outcome.status == "skipped":
        return state.NOT_REACHED
    return outcome.message


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
    models: Sequence[Model],
    outcomes: Sequence[NodeOutcome],
    checks: Sequence[state.CheckResult],
    facts: dict[str, RelationFacts],
    forced: Sequence[state.Blocker],
) -> Iterator[Any]:
    by_id = {outcome.unique_id: outcome for outcome in outcomes}
    for model in models:
        outcome = by_id.get(model.unique_id)
        if outcome is None or not outcome.ok:
            continue
        metadata: dict[str, Any] = {"seconds": MetadataValue.float(round(outcome.seconds, 3))}
        if model.asset_key in facts:
            metadata |= facts[model.asset_key].metadata()
        if forced:
            metadata["forced_past"] = MetadataValue.text("\n".join(str(item) for item in forced))
        yield MaterializeResult(asset_key=AssetKey([model.asset_key]), metadata=metadata)
    yield from map(check_event, checks)


def _report(
    models: Sequence[Model],
    outcomes: Sequence[NodeOutcome],
    assets: Sequence[state.AssetResult],
    checks: Sequence[state.CheckResult],
) -> None:
    by_id = {outcome.unique_id: outcome for outcome in outcomes}
    results = {asset.asset_key: asset for asset in assets}
    for model in models:
        outcome, result = by_id.get(model.unique_id), results[model.asset_key]
        own = [check for check in checks if check.asset_key == model.asset_key]
        status = _word(outcome, result)
        progress.line(
            progress.AssetLine(
                asset=model.asset_key,
                layer=model.layer,
                status=status,
                rows=result.rows,
                seconds=outcome.seconds if outcome else 0.0,
                passed=sum(check.passed for check in own),
                warned=sum(not check.passed and check.severity == "warn" for check in own),
                failed=sum(not check.passed and check.severity == "error" for check in own),
                reason=result.reason or "; ".join(check.message for check in own if not check.passed),
            )
        )


def _word(outcome: NodeOutcome | None, result: state.AssetResult) -> str:
    """One word for the closing table. Our materialization reports when nothing had to be written."""
    if outcome is None or outcome.status == "skipped":
        return "skipped"
    if not result.ok:
        return "failed"
    return "unchanged" if outcome.response.get("code") == "UNCHANGED" else "built"


def _raise_for(models: Sequence[Model], outcomes: Sequence[NodeOutcome]) -> None:
    """Fail the step for models that failed. Failed tests need nothing here: blocking checks fail it by themselves."""
    wanted = {model.unique_id for model in models}
    errors = [outcome for outcome in outcomes if outcome.unique_id in wanted and outcome.status == "error"]
    if not errors:
        return
    text = "\n".join(f"{outcome.unique_id.split('.')[2]}: {outcome.message.strip()}" for outcome in errors)
    kind: type[LakehouseError] = DataError
    if any(sign in text.lower() for sign in CONNECTION_TROUBLE):
        kind = UnavailableError
    raise kind(
        f"{len(errors)} model(s) failed.\n{text}",
        remedy="Mend the model or its input, then `lakehouse run --select "
        f"'{errors[0].unique_id.split('.')[2]}+'`. The full log is data/dbt/logs/dbt.log.",
    )
