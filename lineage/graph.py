"""The lineage graph as a reader sees it: jobs, datasets, runs, versions, checks, column edges, and walks along them.

What belongs here: the value types and pure look-ups on them. What does not: making a graph, which is done from events
(:mod:`lineage.reduce`) or read from a lineage server (:mod:`lineage.marquez`); both say the same of the same events.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from lineage.facts import Volume
from lineage.names import Column, Dataset, Field

State = Literal["NEW", "RUNNING", "COMPLETED", "FAILED", "ABORTED"]
ENDED: frozenset[str] = frozenset({"COMPLETED", "FAILED", "ABORTED"})


@dataclass(frozen=True, order=True)
class JobId:
    """Identity of a job; a job with a parent is named ``parent.child``.

    Attributes:
        namespace: e.g. ``lakehouse``.
        name: e.g. ``lakehouse.dim_batch``, ``lakehouse`` (the parent), ``exposure.overview``.
    """

    namespace: str
    name: str

    def __str__(self) -> str:
        """For messages."""
        return self.name


@dataclass(frozen=True)
class Assertion:
    """One check's verdict as the event told it.

    Attributes:
        name: of the check.
        passed: the verdict.
        column: the column it is about; None where it is about the dataset.
        severity: ``error``, ``warn`` or empty where the event does not say.
    """

    name: str
    passed: bool
    column: str | None = None
    severity: str = ""


@dataclass(frozen=True)
class Run:
    """One run of one job.

    Attributes:
        run_id: a UUID.
        state: the one that arrived last.
        started_at: time of its START; None where none came.
        ended_at: time of its end; None while it has not ended.
        duration: seconds; None where start or end is missing.
        error: the error message of a failed or aborted run.
        inputs, outputs: what it read and wrote, over all its events.
        written: per output, how much.
        dagster_run, url: the run of the orchestrator and its page, where the event says so.
    """

    run_id: str
    state: State
    started_at: datetime | None = None
    ended_at: datetime | None = None
    duration: float | None = None
    error: str | None = None
    inputs: frozenset[Dataset] = frozenset()
    outputs: frozenset[Dataset] = frozenset()
    written: Mapping[Dataset, Volume] = field(default_factory=dict)
    dagster_run: str | None = None
    url: str | None = None


@dataclass(frozen=True)
class JobNode:
    """A job with its current edges.

    Attributes:
        id: its identity.
        simple_name: without the parent, e.g. ``dim_batch``.
        parent: the parent job; None where it has none.
        inputs, outputs: the current edges.
        latest: the run that began last; None for a job known from metadata only.
        runs: all known runs, the newest first.
        layer, domain: of the platform; empty where the event does not say.
        description, owners, source_path, sql: as told by the last event.
        language: what it is, e.g. ``dbt model``.
    """

    id: JobId
    simple_name: str
    parent: str | None = None
    inputs: frozenset[Dataset] = frozenset()
    outputs: frozenset[Dataset] = frozenset()
    latest: Run | None = None
    runs: tuple[Run, ...] = ()
    layer: str = ""
    domain: str = ""
    description: str = ""
    owners: tuple[str, ...] = ()
    source_path: str = ""
    sql: str = ""
    language: str = ""


@dataclass(frozen=True)
class Version:
    """One version of a dataset.

    Attributes:
        run_id: the run that wrote it; None for a dataset that is only read, or known from a dataset event.
        created_at: time of the event that made it.
        columns: as that event declared them.
    """

    run_id: str | None
    created_at: datetime
    columns: tuple[Column, ...] = ()


@dataclass(frozen=True)
class DatasetNode:
    """A dataset as its current version shows it.

    Attributes:
        id: its identity.
        columns: fields of the current version; empty where there is no current version.
        current: the current version; None for an output seen in no good run.
        versions: all known versions, the newest first.
        assertions: checks of the current version.
        deleted: a lifecycle change dropped it.
        kind: ``file``, ``parquet``, ``view``, ``table``, ``mart``, ``exposure`` or empty.
        layer, domain, description, owners, source_uri: as told by the last event.
        volume: how much the last good run wrote.
    """

    id: Dataset
    columns: tuple[Column, ...] = ()
    current: Version | None = None
    versions: tuple[Version, ...] = ()
    assertions: tuple[Assertion, ...] = ()
    deleted: bool = False
    kind: str = ""
    layer: str = ""
    domain: str = ""
    description: str = ""
    owners: tuple[str, ...] = ()
    source_uri: str = ""
    volume: Volume = field(default_factory=Volume)


@dataclass(frozen=True, order=True)
class ColumnEdge:
    """A column whose value or rows come from another one."""

    source: Field
    target: Field


@dataclass(frozen=True)
class Graph:
    """Jobs, datasets and column edges.

    Attributes:
        jobs: by identity.
        datasets: by identity.
        columns: column edges.
    """

    jobs: Mapping[JobId, JobNode]
    datasets: Mapping[Dataset, DatasetNode]
    columns: frozenset[ColumnEdge] = frozenset()

    @property
    def reads(self) -> frozenset[tuple[Dataset, JobId]]:
        """Edges from a dataset to the job that reads it."""
        return frozenset((dataset, job.id) for job in self.jobs.values() for dataset in job.inputs)

    @property
    def writes(self) -> frozenset[tuple[JobId, Dataset]]:
        """Edges from a job to the dataset that it writes."""
        return frozenset((job.id, dataset) for job in self.jobs.values() for dataset in job.outputs)

    def writers(self, dataset: Dataset) -> tuple[JobNode, ...]:
        """The jobs that write a dataset, by name."""
        return tuple(job for _, job in sorted(self.jobs.items()) if dataset in job.outputs)

    def readers(self, dataset: Dataset) -> tuple[JobNode, ...]:
        """The jobs that read a dataset, by name."""
        return tuple(job for _, job in sorted(self.jobs.items()) if dataset in job.inputs)

    def upstream(self, dataset: Dataset) -> tuple[Dataset, ...]:
        """The datasets that a dataset is made from directly."""
        return tuple(sorted({read for job in self.writers(dataset) for read in job.inputs} - {dataset}))

    def downstream(self, dataset: Dataset) -> tuple[Dataset, ...]:
        """The datasets that are made from a dataset directly."""
        return tuple(sorted({written for job in self.readers(dataset) for written in job.outputs} - {dataset}))

    def column_sources(self, column: Field) -> tuple[Field, ...]:
        """The columns that a column is made from directly."""
        return tuple(sorted(edge.source for edge in self.columns if edge.target == column))

    def column_targets(self, column: Field) -> tuple[Field, ...]:
        """The columns that are made from a column directly."""
        return tuple(sorted(edge.target for edge in self.columns if edge.source == column))
