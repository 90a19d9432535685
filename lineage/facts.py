"""What happened in one ended run, in plain words: the only thing that events are made from besides the catalog.

What belongs here: these dataclasses. What does not: reading Dagster's event log (``orchestration.lineage``) or making
events (:mod:`lineage.events`). They are plain data, so that every way to start a run meets one mapper.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from lineage.names import Column

End = Literal["COMPLETE", "FAIL", "ABORT"]


@dataclass(frozen=True)
class Check:
    """One asset check as it came out.

    Attributes:
        name: Dagster's name of the check.
        passed: the verdict.
        severity: ``error`` (blocks what is downstream) or ``warn``.
        column: the column it is about, where it is about one.
        message: why it failed, empty where it passed.
    """

    name: str
    passed: bool
    severity: Literal["error", "warn"]
    column: str | None = None
    message: str = ""


@dataclass(frozen=True)
class Volume:
    """How much a dataset holds; None where nobody counted.

    Attributes:
        rows: rows.
        bytes: bytes on disk.
        files: files.
    """

    rows: int | None = None
    bytes: int | None = None
    files: int | None = None


@dataclass(frozen=True)
class AssetRun:
    """One attempt at one asset in one run.

    Attributes:
        asset_key: the asset, e.g. ``dim_batch``.
        step_key: Dagster's step, e.g. ``dbt_curated_models``.
        attempt: 0 for the first try of the step, 1 for its first retry.
        end: how it ended. ABORT: it was not reached, or the run was cancelled.
        started_at, ended_at: aware datetimes.
        columns: of the relation as built; None where unknown (then the declared ones count).
        output: what the asset holds after the run.
        inputs: how much was read, by the upstream asset's key.
        checks: all checks of the asset that have a verdict.
        error: the model's own error, one paragraph; None unless ``end`` is not COMPLETE.
        stack: the longer text behind it.
        sql: the SQL that ran, where the asset is a model.
        up_to_date: nothing had to be built.
        partition: Dagster's partition key.
        facts: further plain values for the custom facet.
    """

    asset_key: str
    step_key: str
    attempt: int
    end: End
    started_at: datetime
    ended_at: datetime
    columns: tuple[Column, ...] | None = None
    output: Volume = Volume()
    inputs: Mapping[str, Volume] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    error: str | None = None
    stack: str | None = None
    sql: str | None = None
    up_to_date: bool = False
    partition: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class RunFacts:
    """One ended Dagster run.

    Attributes:
        run_id: Dagster's run id (a UUID).
        job: Dagster's job, e.g. ``nightly_pipeline``.
        started_by: ``lakehouse run``, ``worker``, ``schedule``, ``sensor``, ``page``.
        end: how it ended; ABORT where it was cancelled.
        started_at, ended_at: aware datetimes.
        assets: in the order they ended, each after those it reads.
        checked: attempts at checks of assets that the run was not to build; of each only the verdicts are told.
        nominal_start, nominal_end: of the schedule's tick or the partition; None where the run has neither.
        url: the run's page.
        error: why the run failed.
        tags: the run's tags worth showing.
    """

    run_id: str
    job: str
    started_by: str
    end: End
    started_at: datetime
    ended_at: datetime
    assets: tuple[AssetRun, ...] = ()
    checked: tuple[AssetRun, ...] = ()
    nominal_start: datetime | None = None
    nominal_end: datetime | None = None
    url: str | None = None
    error: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
