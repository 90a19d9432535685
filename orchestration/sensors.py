"""Sensors: one per drop zone, and the one that looks after runs (dead ones, old ones)."""

import time
from collections.abc import Mapping, Sequence

from dagster import (
    AssetKey,
    AssetSelection,
    DagsterInstance,
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from ingestion.declarations import DropZoneSource
from lakehouse import workers
from lakehouse.errors import LakehouseError
from lakehouse.postgres.connect import connect, state_url
from lakehouse.settings import Settings
from orchestration.arrivals import arrival
from orchestration.jobs import file_arrival
from orchestration.reaper import reap
from orchestration.retention import forget_old_runs

RETENTION_SECONDS = 3600
UPKEEP_SECONDS = 15  # a dead run is to be failed within 30 s


def file_sensor(
    declarations: Sequence[DropZoneSource], downstream: Mapping[str, Sequence[AssetKey]], settings: Settings
) -> SensorDefinition:
    """Starts one run per source for all its new or changed files.

    What is new is decided against the ledger, not a cursor: a restart loses nothing, a file that a run has looked at
    is never run twice, and a thousand files at once become one run. A file that is still being written is left for
    the next look. While a resident worker beats this sensor leaves everything to it, and takes over when the worker
    falls silent; should both take on a file at once, the ledger's lock makes the second find nothing new.

    Args:
        declarations: the sources.
        downstream: source name → assets to build when it has something new.
        settings: the platform's settings.
    """

    @sensor(
        name="raw_file_sensor",
        job=file_arrival,
        minimum_interval_seconds=settings.sensor_interval_seconds,
        default_status=DefaultSensorStatus.RUNNING if settings.schedules_on else DefaultSensorStatus.STOPPED,
        description="Looks for new or changed files in: " + ", ".join(item.path for item in declarations) + ".",
    )
    def definition(context: SensorEvaluationContext) -> SensorResult:
        if reason := watched_by_worker(settings):
            return SensorResult(skip_reason=SkipReason(reason))
        answers = [request(context.instance, item, downstream[item.source], settings) for item in declarations]
        requests = [answer for answer in answers if isinstance(answer, RunRequest)]
        reasons = " ".join(answer for answer in answers if isinstance(answer, str))
        return SensorResult(run_requests=requests, skip_reason=None if requests else SkipReason(reasons))

    return definition


def watched_by_worker(settings: Settings) -> str | None:
    """Why the sensor has nothing to do: a resident worker that beats watches the drop zones. None if there is none."""
    connection = connect(state_url(settings), what="state database")
    try:
        worker = workers.latest(connection)
    finally:
        connection.close()
    if worker is None or not worker.fresh:
        return None
    return f"The worker {worker.beat.worker_id} takes what arrives (last heard of {worker.silent_seconds:.0f} s ago)."


def request(
    instance: DagsterInstance, declaration: DropZoneSource, assets: Sequence[AssetKey], settings: Settings
) -> RunRequest | str:
    """A run for what is new in one drop zone, or why there is none."""
    try:
        found = arrival(instance, declaration, settings)
    except LakehouseError as error:
        return f"{declaration.source}: {error}"
    return RunRequest(tags=found.tags, asset_selection=list(assets)) if found.tags else found.reason


def upkeep_sensor(assets: Sequence[AssetKey], settings: Settings) -> SensorDefinition:
    """Fails runs whose process has died and forgets runs past their retention. Starts nothing itself.

    While a resident worker beats, it looks after dead runs, every ten seconds and on connections it has; from here each
    look would cost thirty new ones. Old runs are looked for once an hour.
    """

    @sensor(
        name="run_upkeep",
        minimum_interval_seconds=UPKEEP_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
        description="Fails runs whose process died and frees what they held; forgets runs past their retention.",
        asset_selection=AssetSelection.assets(*assets),
    )
    def definition(context: SensorEvaluationContext) -> SkipReason:
        done = []
        if watched_by_worker(settings):
            done.append("The worker looks after dead runs.")
        else:
            done.append(f"{len(reap(context.instance, settings))} dead run(s) failed.")
        if time.time() - float(context.cursor or 0) > RETENTION_SECONDS:
            forgotten = forget_old_runs(context.instance, assets, settings.run_retention_days)
            context.update_cursor(str(time.time()))
            done.append(f"{forgotten} old run(s) forgotten.")
        return SkipReason(" ".join(done))

    return definition
