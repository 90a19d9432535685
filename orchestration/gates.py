"""Whether something may be built, given what is stored about everything above it (design decision 9)."""

from collections.abc import Iterable

from dagster import AssetExecutionContext
from psycopg2.extensions import connection as Connection

from lakehouse import state
from lakehouse.errors import BlockedError
from orchestration import progress
from orchestration.options import RunOptions


def check_gate(
    context: AssetExecutionContext,
    connection: Connection,
    upstream: Iterable[str],
    options: RunOptions,
) -> list[state.Blocker]:
    """Refuse to build on assets that failed or whose blocking checks failed, in this run or any before.

    Args:
        context: of the step that asks.
        connection: to the state database.
        upstream: keys of all assets above the step's own, transitively.
        options: with ``force``, the blockers are recorded as an alert and returned instead of raised.

    Raises:
        BlockedError: names every blocker.
    """
    found = state.blockers(connection, upstream, run_id=context.run_id)
    if not found:
        return []
    listing = "\n  - ".join(str(item) for item in found)
    if not options.force:
        raise BlockedError(
            f"Nothing was built: upstream is not in order.\n  - {listing}",
            remedy="Mend the cause and run what failed together with what follows, e.g. "
            f"`lakehouse run --select '{found[0].asset_key}+'`; `--force` builds all the same and is recorded.",
        )
    progress.note(f"--force: building although {len(found)} thing(s) upstream are not in order.")
    state.raise_alert(
        connection,
        severity="warning",
        kind="gate_forced",
        subject=context.run_id,
        message=f"Run {context.run_id} was forced past:\n  - {listing}",
        run_id=context.run_id,
    )
    state.resolve_alerts(connection, kind="gate_forced", subjects=[context.run_id])
    return found
