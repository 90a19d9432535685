"""Sensors: one per drop zone, and the one that looks after runs (dead ones, old ones)."""

from collections.abc import Iterator, Sequence

from dagster import (
    AssetKey,
    AssetSelection,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunRequest,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)
from ingestion.declarations import Declaration
from ingestion.dropzone import look

from lakehouse.errors import LakehouseError
from lakehouse.settings import Settings
from orchestration import names
from orchestration.jobs import file_arrival
from orchestration.reaper import reap
from orchestration.retention import forget_old_runs

UPKEEP_SECONDS = 30

UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
]


def file_sensor(declarations: Sequence[Declaration], settings: Settings) -> SensorDefinition:
    """Starts one run per source for all its new or changed files.

    What is new is decided against the ledger, not a cursor: a restart loses nothing, a file that a run has looked at
    is never run twice, and a thousand files at once become one run. A file that is still being written is left for
    the next look.
    """

    @sensor(
        name="raw_file_sensor",
        job=file_arrival,
        minimum_interval_seconds=settings.sensor_interval_seconds,
        default_status=DefaultSensorStatus.RUNNING if settings.schedules_on else DefaultSensorStatus.STOPPED,
        description="Looks for new or changed files in: " + ", ".join(item.path for item in declarations) + ".",
    )
    def definition(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
        for declaration in declarations:
            yield _look_at(context, declaration, settings)

    return definition


def _look_at(context: SensorEvaluationContext, declaration: Declaration, settings: Settings) -> RunRequest | SkipReason:
    tag = {"lakehouse/source": declaration.source}
    waiting = context.instance.get_runs(RunsFilter(job_name=names.FILES_JOB, statuses=UNFINISHED, tags=tag), limit=1)
    if waiting:
        return SkipReason(f"{declaration.source}: run {waiting[0].run_id[:8]} will take what is new.")
    try:
        found = look(settings, declaration)
    except LakehouseError as error:
        return SkipReason(f"{declaration.source}: {error}")
    if not found.pending:
        return SkipReason(f"Nothing new in {declaration.path} ({len(found.settling)} still being written).")
    return RunRequest(
        run_key=f"{declaration.source}:{found.pending_key}",
        tags={**tag, "lakehouse/files": str(len(found.pending))},
    )


def upkeep_sensor(assets: Sequence[AssetKey], settings: Settings) -> SensorDefinition:
    """Fails runs whose process has died and forgets runs past their retention. Starts nothing itself."""

    @sensor(
        name="run_upkeep",
        minimum_interval_seconds=UPKEEP_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
        description="Fails runs whose process died and frees what they held; forgets runs past their retention.",
        asset_selection=AssetSelection.assets(*assets),
    )
    def definition(context: SensorEvaluationContext) -> SkipReason:
        dead = reap(context.instance, settings)
        forgotten = forget_old_runs(context.instance, assets, settings.run_retention_days)
        return SkipReason(f"{len(dead)} dead run(s) failed, {forgotten} old run(s) forgotten.")

    return definition
