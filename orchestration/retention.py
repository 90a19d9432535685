"""Forgets old runs with their event logs, but never what tells the present state of an asset."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from dagster import AssetKey, DagsterInstance, DagsterRunStatus, RunsFilter

FINISHED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
BATCH = 100


def forget_old_runs(instance: DagsterInstance, assets: Iterable[AssetKey], days: int) -> int:
    """Delete finished runs older than ``days``; at most 100 a call, so that no tick takes long.

    A run that holds the latest materialization of an asset is kept whatever its age: without it the asset would
    look as if it had never been built.

    Returns:
        How many runs were deleted.
    """
    before = datetime.now(UTC) - timedelta(days=days)
    kept = set()
    for key in assets:
        event = instance.get_latest_materialization_event(key)
        if event is not None:
            kept.add(event.run_id)
    old = instance.get_runs(
        RunsFilter(statuses=FINISHED, created_before=before), limit=BATCH + len(kept), ascending=True
    )
    doomed = [run.run_id for run in old if run.run_id not in kept][:BATCH]
    for run_id in doomed:
        instance.delete_run(run_id)
    return len(doomed)
