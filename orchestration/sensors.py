"""Sensors: one per drop zone, and the one that looks after runs (dead ones, old ones)."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

from dagster import (
    AssetKey,
    AssetSelection,
    DagsterInstance,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunRequest,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from ingestion.declarations import DropZoneSource
from ingestion.look import look, pending_key
from lakehouse.errors import LakehouseError
from lakehouse.settings import Settings
from orchestration import names
from orchestration.jobs import file_arrival
from orchestration.reaper import reap
from orchestration.retention import forget_old_runs

UPKEEP_SECONDS = 15  # a dead run's pool slot is to be free within 30 s
FAILED_PAUSE = timedelta(minutes=10)  # files a run has failed on are not hammered every tick
TAG_SOURCE = "lakehouse/source"
TAG_PENDING = "lakehouse/pending"

UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
]


def file_sensor(
    declarations: Sequence[DropZoneSource], downstream: Mapping[str, Sequence[AssetKey]], settings: Settings
) -> SensorDefinition:
    """Starts one run per source for all its new or changed files.

    What is new is decided against the ledger, not a cursor: a restart loses nothing, a file that a run has looked at
    is never run twice, and a thousand files at once become one run. A file that is still being written is left for
    the next look.

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
        answers = [look_at(context.instance, item, downstream[item.source], settings) for item in declarations]
        requests = [answer for answer in answers if isinstance(answer, RunRequest)]
        reasons = " ".join(answer for answer in answers if isinstance(answer, str))
        return SensorResult(run_requests=requests, skip_reason=None if requests else SkipReason(reasons))

    return definition


def look_at(
    instance: DagsterInstance, declaration: DropZoneSource, assets: Sequence[AssetKey], settings: Settings
) -> RunRequest | str:
    """A run for what is new in one drop zone, or why there is none."""
    source = declaration.source
    tags = {TAG_SOURCE: source}
    waiting = instance.get_runs(RunsFilter(job_name=names.FILES_JOB, statuses=UNFINISHED, tags=tags), limit=1)
    if waiting:
        return f"{source}: run {waiting[0].run_id[:8]} will take what is new."
    try:
        found = look(settings, declaration)
    except LakehouseError as error:
        return f"{source}: {error}"
    pending = [*found.new, *found.changed]
    if not pending:
        return f"{source}: nothing new in {declaration.path} ({len(found.waiting)} still being written)."
    tags[TAG_PENDING] = pending_key(pending)
    failed = instance.get_run_records(RunsFilter(statuses=[DagsterRunStatus.FAILURE], tags=tags), limit=1)
    if failed and failed[0].create_timestamp > datetime.now(UTC) - FAILED_PAUSE:
        run = failed[0].dagster_run.run_id[:8]
        return f"{source}: run {run} failed on these files; they are tried again after {FAILED_PAUSE}."
    return RunRequest(tags={**tags, "lakehouse/files": str(len(pending))}, asset_selection=list(assets))


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
