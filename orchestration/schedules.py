"""Schedules: the nightly pipeline, and housekeeping of run history."""

from collections.abc import Sequence

from dagster import (
    DefaultScheduleStatus,
    RunRequest,
    ScheduleDefinition,
    ScheduleEvaluationContext,
    schedule,
)

from lakehouse.settings import Settings
from orchestration import names
from orchestration.jobs import nightly_pipeline
from orchestration.options import RunOptions


def schedules(settings: Settings) -> Sequence[ScheduleDefinition]:
    """All schedules, on from the start unless the settings say otherwise."""
    status = DefaultScheduleStatus.RUNNING if settings.schedules_on else DefaultScheduleStatus.STOPPED

    @schedule(
        name=f"{names.NIGHTLY_JOB}_schedule",
        job=nightly_pipeline,
        cron_schedule=settings.nightly_cron,
        execution_timezone=settings.timezone,
        default_status=status,
        description="Runs everything at night and tests all data, not only what is new.",
    )
    def nightly(context: ScheduleEvaluationContext) -> RunRequest:
        moment = context.scheduled_execution_time
        return RunRequest(run_key=moment.isoformat(), tags=RunOptions(full_checks=True).to_tags())

    return [nightly]
