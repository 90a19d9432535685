"""Whether a drop zone needs a run, and which: asked by the file sensor and by the resident worker alike.

What belongs here: the decision. What does not: waiting for files (:mod:`ingestion.watch`) or executing anything.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from dagster import (
    AssetKey,
    AssetsDefinition,
    AssetSelection,
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    RunRecord,
    RunsFilter,
)

from ingestion.declarations import DropZoneSource
from ingestion.dropzone import Diff
from ingestion.look import look, pending_key
from lakehouse.settings import Settings
from lakehouse.storage import LakeObject
from orchestration import names
from orchestration.outages import failed_of_outage

FAILED_PAUSE = timedelta(minutes=10)  # files a run has failed on are not hammered at every look
MAX_OUTAGES = 3  # after so many in a row there is the pause too: the files may be what kills
LOOK_BACK = 20

ENDED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
]


@dataclass(frozen=True)
class Arrival:
    """What a look at one drop zone came to.

    Attributes:
        source: its name.
        found: the drop zone beside the ledger; None where nobody needed to look.
        tags: of the run that takes what is new; empty where no run is needed.
        reason: why no run is needed, for people.
    """

    source: str
    found: Diff | None
    tags: dict[str, str]
    reason: str = ""

    @property
    def pending(self) -> list[LakeObject]:
        """Files that the run would take."""
        return [*self.found.new, *self.found.changed] if self.found is not None else []


def arrival(instance: DagsterInstance, declaration: DropZoneSource, settings: Settings) -> Arrival:
    """Look at one drop zone.

    Raises:
        UnavailableError: the lake or the state database cannot be reached.
        ConfigError: the lake's settings are wrong.
    """
    source = declaration.source
    tags = {names.TAG_SOURCE: source}
    waiting = instance.get_runs(RunsFilter(job_name=names.FILES_JOB, statuses=UNFINISHED, tags=tags), limit=1)
    if waiting:
        return Arrival(source, None, {}, f"{source}: run {waiting[0].run_id[:8]} will take what is new.")
    found = look(settings, declaration)
    pending = [*found.new, *found.changed]
    if not pending and (broken := _to_resume(instance, source)):
        return Arrival(source, found, {**tags, names.TAG_RESUMES: broken.run_id})
    if not pending:
        reason = f"{source}: nothing new in {declaration.path} ({len(found.waiting)} still being written)."
        return Arrival(source, found, {}, reason)
    tags[names.TAG_PENDING] = pending_key(pending)
    failed = instance.get_run_records(RunsFilter(statuses=[DagsterRunStatus.FAILURE], tags=tags), limit=MAX_OUTAGES)
    tired = len(failed) == MAX_OUTAGES or (failed and not failed_of_outage(instance, failed[0].dagster_run))
    if failed and tired and _recent(failed[0]):
        run = failed[0].dagster_run.run_id[:8]
        reason = f"{source}: run {run} failed on these files; they are tried again after {FAILED_PAUSE}."
        return Arrival(source, found, {}, reason)
    return Arrival(source, found, {**tags, names.TAG_FILES: str(len(pending))})


def unfinished(instance: DagsterInstance, source: str) -> bool:
    """Whether an outage ended a run that no later one made up for: its files may not have reached the marts."""
    return _broken(instance, source) is not None


def _to_resume(instance: DagsterInstance, source: str) -> DagsterRun | None:
    """The run that is to be made up for now; None also while there is a pause after several."""
    broken = _broken(instance, source)
    return None if broken is None or broken[1] else broken[0]


def _broken(instance: DagsterInstance, source: str) -> tuple[DagsterRun, bool] | None:
    """The newest run that an outage ended and that no later one made up for, and whether to leave it alone for a while.

    A later run of a part, such as one asset from the page, makes up for nothing.
    """
    latest = instance.get_run_records(RunsFilter(statuses=ENDED), limit=LOOK_BACK)
    tagged = instance.get_run_records(RunsFilter(statuses=ENDED, tags={names.TAG_SOURCE: source}), limit=LOOK_BACK)
    ended = {record.storage_id: record for record in [*latest, *tagged]}
    own = [ended[number] for number in sorted(ended, reverse=True) if _concerns(ended[number].dagster_run, source)]
    for place, record in enumerate(own):
        run = record.dagster_run
        if failed_of_outage(instance, run):
            row = own[place : place + MAX_OUTAGES]
            often = len(row) == MAX_OUTAGES and all(failed_of_outage(instance, item.dagster_run) for item in row[1:])
            made_up_for = any(_covers(later.dagster_run, run) for later in own[:place])
            return None if made_up_for else (run, bool(often and _recent(record)))
        if _is_whole(run):
            return None
    return None


def _covers(run: DagsterRun, other: DagsterRun) -> bool:
    """Whether a run was to build at least what the other was, as far as it concerns this source."""
    wanted = other.asset_selection
    return _is_whole(run) or bool(wanted and run.asset_selection and wanted <= run.asset_selection)


def _is_whole(run: DagsterRun) -> bool:
    # Whoever starts the job for files selects everything that is built from them.
    return run.job_name == names.FILES_JOB or not run.asset_selection


def _concerns(run: DagsterRun, source: str) -> bool:
    return run.tags.get(names.TAG_SOURCE, source) == source


def _recent(record: RunRecord) -> bool:
    # From its end, not its beginning: a run that takes longer than the pause is not repeated without one either.
    ended = datetime.fromtimestamp(record.end_time, UTC) if record.end_time else record.create_timestamp
    # A run from the future is one from before the clock was set back; it holds up nothing.
    return timedelta(0) <= datetime.now(UTC) - ended < FAILED_PAUSE


def downstream(declarations: Iterable[DropZoneSource], assets: Iterable[AssetsDefinition]) -> dict[str, list[AssetKey]]:
    """Source name → what a run for its new files builds: its asset and everything built on that."""
    return {
        item.source: sorted(AssetSelection.assets(item.asset).downstream().resolve(assets)) for item in declarations
    }
