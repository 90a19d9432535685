"""dbt's outcomes as the platform's results: pure judgement, no I/O."""

from collections.abc import Sequence
from typing import Any

from lakehouse import state
from lakehouse.dbt.runner import NodeOutcome
from lakehouse.errors import DataError
from lakehouse.failures import meaning_of_text
from orchestration.assets.dbt_graph import DbtGraph, Model
from orchestration.assets.facts import RelationFacts


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
                metadata=({"failures": outcome.failures, "rows": rows} if rows else {}) | _column(graph, outcome),
            )
        )
    return results


def _column(graph: DbtGraph, outcome: NodeOutcome) -> dict[str, Any]:
    column = graph.column(outcome.unique_id)
    return {"column": column} if column else {}


def asset_results(
    models: Sequence[Model],
    outcomes: Sequence[NodeOutcome],
    checks: Sequence[state.CheckResult],
    facts: dict[str, RelationFacts],
    wanted: dict[str, str | None],
    arrival: int | None,
) -> list[state.AssetResult]:
    """What to store about each model; only where every blocking check passed does it vouch for its inputs."""
    by_id = {outcome.unique_id: outcome for outcome in outcomes}
    blocked = {check.asset_key for check in checks if blocks(check)}
    results = []
    for model in models:
        outcome = by_id.get(model.unique_id)
        ok = outcome is not None and outcome.ok
        held = held_because(outcome)
        sound = ok and held is None and model.asset_key not in blocked
        fact = facts.get(model.asset_key)
        results.append(
            state.AssetResult(
                asset_key=model.asset_key,
                ok=ok,
                rows=fact.rows if fact else None,
                reason=(held and f"held: {held}") if ok else _reason(outcome),
                built_from=wanted[model.asset_key] if sound else None,
                checked_arrival=arrival if sound else None,
            )
        )
    return results


def blocks(check: state.CheckResult) -> bool:
    """Whether a check's outcome holds up what is downstream."""
    return not check.passed and check.severity == "error"


def held_because(outcome: NodeOutcome | None) -> str | None:
    """Why our materialization left a mart alone that was rolled back; None where it did not."""
    if outcome is None or outcome.response.get("code") != "HELD":
        return None
    return outcome.message.removeprefix("HELD ")


def status_word(outcome: NodeOutcome | None, result: state.AssetResult) -> str:
    """One word for the closing table. Our materialization reports when nothing had to be written."""
    if outcome is None or outcome.status == "skipped":
        return "skipped"
    if not result.ok:
        return "failed"
    if held_because(outcome) is not None:
        return "held"
    return "unchanged" if outcome.response.get("code") == "UNCHANGED" else "built"


def _reason(outcome: NodeOutcome | None) -> str:
    if outcome is None or outcome.status == "skipped":
        return state.NOT_REACHED
    return outcome.message


def raise_for(models: Sequence[Model], outcomes: Sequence[NodeOutcome]) -> None:
    """Fail the step for models that failed, and for tests that could not be asked because a server or store was away.

    Tests that found something need nothing here: blocking checks fail the step by themselves, and for good. One that
    was cut off has found nothing; without this the step would not be tried again, and the run not be taken up.

    Raises:
        UnavailableError: a server or store was away; the step is tried again.
        DataError: a model failed of itself.
    """
    wanted = {model.unique_id for model in models}
    broken = [outcome for outcome in outcomes if outcome.status == "error"]
    failed = [outcome for outcome in broken if outcome.unique_id in wanted]
    cut_off = [outcome for outcome in broken if outcome.unique_id not in wanted and _passes_by_itself(outcome.message)]
    if not failed and not cut_off:
        return
    counted = [f"{len(failed)} model(s) failed."] if failed else []
    counted += [f"{len(cut_off)} test(s) could not be asked."] if cut_off else []
    text = "\n".join(f"{item.unique_id.split('.')[2]}: {item.message.strip()}" for item in failed or cut_off)
    message = f"{' '.join(counted)}\n{text}"
    if understood := meaning_of_text(text):
        raise type(understood)(f"{understood.message}\n{message}", remedy=understood.remedy)
    raise DataError(
        message,
        remedy="Mend the model or its input, then `lakehouse run --select "
        f"'{failed[0].unique_id.split('.')[2]}+'`. The full log is data/dbt/logs/dbt.log.",
    )


def _passes_by_itself(message: str) -> bool:
    understood = meaning_of_text(message)
    return understood is not None and understood.transient
