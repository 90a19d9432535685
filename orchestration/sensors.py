"""Sensors: for the drop zones, for runs that need looking after (dead ones, old ones), and for lineage."""

import contextlib
import time
from collections.abc import Mapping, Sequence

import psycopg2
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

from ingestion import leftovers
from ingestion.declarations import DropZoneSource
from lakehouse import workers
from lakehouse.errors import LakehouseError
from lakehouse.postgres.connect import connect_state
from lakehouse.settings import Settings
from lineage import backlog
from lineage.retention import forget_old
from orchestration.arrivals import arrival
from orchestration.jobs import file_arrival
from orchestration.lineage.mapping import try_to_map
from orchestration.lineage.sync import try_to_sync
from orchestration.reaper import reap
from orchestration.retention import forget_old_runs

RETENTION_SECONDS = 3600
LINEAGE_SECONDS = 60
SYNC_SECONDS = 6 * 3600
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
    connection = connect_state(settings)
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


def forget_lineage(settings: Settings) -> str:
    """Forget lineage events past their retention, where no drainer does; what came of it, for people."""
    try:
        with contextlib.closing(connect_state(settings)) as connection:
            backlog.watch(connection, settings)
            silence = backlog.drainer_silence(connection)
            if silence is not None and silence < RETENTION_SECONDS:
                return "The drainer forgets old lineage events."
            return f"{forget_old(connection, settings)} old lineage event(s) forgotten."
    except (LakehouseError, psycopg2.Error) as error:
        return f"Old lineage events were not looked for: {error}"


def sweep_lake(settings: Settings) -> str:
    """Remove what killed writers left in the lake; what came of it, for people."""
    try:
        return f"{leftovers.sweep(settings)} unfinished file(s) of killed writers removed."
    except (LakehouseError, OSError) as error:
        return f"Unfinished files were not looked for: {error}"


def upkeep_sensor(assets: Sequence[AssetKey], settings: Settings) -> SensorDefinition:
    """Fails runs whose process has died and forgets runs past their retention. Starts nothing itself.

    While a resident worker beats, it looks after dead runs, every ten seconds and on connections it has; from here each
    look would cost thirty new ones. Old runs and leftovers in the lake are looked for once an hour.
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
            done.append(forget_lineage(settings))
            done.append(sweep_lake(settings))
        return SkipReason(" ".join(done))

    return definition


def lineage_sensor(assets: Sequence[AssetKey], settings: Settings) -> SensorDefinition:
    """Puts the events of ended runs into the lineage outbox, whoever executed them. Starts nothing itself.

    A resident worker that beats does that for all runs; ``lakehouse run`` does it for its own.
    """

    @sensor(
        name="openlineage",
        minimum_interval_seconds=LINEAGE_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
        description="Puts what ended runs read and wrote into the lineage outbox as OpenLineage events.",
        asset_selection=AssetSelection.assets(*assets),
    )
    def definition(context: SensorEvaluationContext) -> SkipReason:
        if watched_by_worker(settings):
            return SkipReason("The worker tells lineage of runs that have ended.")
        return SkipReason(f"{try_to_map(context.instance, settings)} ended run(s) told.")

    return definition


def lineage_sync_sensor(assets: Sequence[AssetKey], settings: Settings) -> SensorDefinition:
    """Brings descriptions, owners and exposures of all assets to the lineage server, also where nothing ran.

    A sensor and no scheduled run: it is a tenth of a second's work on Postgres alone, a run would start a process for
    it, and the newest ended run would no longer be the one that a drop zone's next look has to judge.
    """

    @sensor(
        name="lineage_metadata_sync",
        minimum_interval_seconds=SYNC_SECONDS,
        default_status=DefaultSensorStatus.RUNNING,
        description="Tells lineage every six hours what is declared: descriptions, owners, exposures, deleted models.",
        asset_selection=AssetSelection.assets(*assets),
    )
    def definition(context: SensorEvaluationContext) -> SkipReason:
        return SkipReason(try_to_sync(settings))

    return definition
