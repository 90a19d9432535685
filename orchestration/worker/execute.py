"""One run of the job ``file_arrival`` in this process, and how long its files took to the mart."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from dagster import AssetKey, DagsterInstance, JobDefinition, execute_job, reconstructable

from lakehouse import health
from lakehouse.postgres.connect import connect_state
from lakehouse.settings import Settings
from orchestration import names
from orchestration.arrivals import Arrival
from orchestration.processes import run_tags

log = logging.getLogger(__name__)

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
STARTED_BY = "worker"


@dataclass(frozen=True)
class Outcome:
    """How a run came out; ``slowest`` is the age of its oldest file when the mart held it, in seconds."""

    run_id: str
    success: bool
    files: int
    slowest: float


def files_job() -> JobDefinition:
    """The job a worker executes; named here so that Dagster can find it again."""
    from orchestration.definitions import defs

    return defs.resolve_job_def(names.FILES_JOB)


def execute(instance: DagsterInstance, settings: Settings, arrival: Arrival, assets: Sequence[AssetKey]) -> Outcome:
    """Build what an arrival asks for; the latency of its files is recorded where it succeeds."""
    result = execute_job(
        reconstructable(files_job),
        instance=instance,
        run_config=QUIET,
        tags={**arrival.tags, **run_tags(STARTED_BY)},
        asset_selection=list(assets),
    )
    now = datetime.now(UTC)
    slowest = max(((now - item.since).total_seconds() for item in arrival.pending), default=0.0)
    outcome = Outcome(result.run_id, result.success, len(arrival.pending), slowest)
    if outcome.success and outcome.files:
        _record(settings, arrival.source, outcome)
    return outcome


def _record(settings: Settings, source: str, outcome: Outcome) -> None:
    connection = connect_state(settings)
    try:
        labels = {"source": source, "files": outcome.files, "run_id": outcome.run_id}
        health.measure(connection, health.FILE_TO_MART, outcome.slowest, labels)
    finally:
        connection.close()
