"""The graph that a lineage server would show after some events, without a server.

What belongs here: the rules by which Marquez 0.51.1 turns events into jobs, edges, versions and states (measured, and
compared with a real one by ``make prove-marquez``). What does not: reading single facets (:mod:`lineage.facet_values`)
or choosing events (:mod:`lineage.newest`).

Events are taken in the order in which a server would get them. The rules that are easy to miss stand beside the code
that follows them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from lineage import facet_values as read
from lineage.graph import ENDED, ColumnEdge, DatasetNode, Graph, JobId, JobNode, Run, State, Version
from lineage.names import Column, Dataset, Field

Body = Mapping[str, Any]
Facets = dict[str, tuple[datetime, Mapping[str, Any]]]
STATES: Mapping[str, State] = {"COMPLETE": "COMPLETED", "FAIL": "FAILED", "ABORT": "ABORTED"}
"""Whatever else an event says, OTHER and unknown words too, is RUNNING."""
_NEVER = datetime.min.replace(tzinfo=UTC)


def reduce(bodies: Iterable[Body]) -> Graph:
    """The graph after some OpenLineage events.

    Args:
        bodies: run, job and dataset events as plain data, in the order of arrival.

    Raises:
        KeyError, ValueError: a body is no OpenLineage event.
    """
    reducer = _Reducer()
    for body in bodies:
        reducer.take(body)
    return reducer.graph()


@dataclass
class _Version:
    run_id: str | None
    created_at: datetime
    declared: tuple[Column, ...]
    columns: dict[tuple[str, str], Column] = field(default_factory=dict)
    facets: Facets = field(default_factory=dict)


@dataclass
class _Dataset:
    versions: dict[tuple[object, ...], _Version] = field(default_factory=dict)
    current: _Version | None = None
    description: str = ""
    deleted: bool = False
    texts: dict[tuple[str, str], str] = field(default_factory=dict)


@dataclass
class _Run:
    job: JobId
    state: State
    changed_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    facets: Facets = field(default_factory=dict)
    job_facets: Facets = field(default_factory=dict)
    inputs: dict[Dataset, _Version] = field(default_factory=dict)
    outputs: dict[Dataset, list[_Version]] = field(default_factory=dict)
    written: dict[Dataset, Facets] = field(default_factory=dict)


@dataclass
class _Job:
    parent: str | None = None
    inputs: frozenset[Dataset] = frozenset()
    outputs: frozenset[Dataset] = frozenset()
    description: str = ""
    facets: Facets = field(default_factory=dict)


class _Reducer:
    """What a server has stored so far."""

    def __init__(self) -> None:
        self.jobs: dict[JobId, _Job] = {}
        self.runs: dict[str, _Run] = {}
        self.datasets: dict[Dataset, _Dataset] = {}
        self.columns: set[ColumnEdge] = set()

    def take(self, body: Body) -> None:
        """One event."""
        at = read.time(body["eventTime"])
        if "run" in body:
            self._run_event(body, at)
        elif "job" in body:
            self._job_event(body, at)
        else:
            self._dataset_event(body, at)

    def _run_event(self, body: Body, at: datetime) -> None:
        state = STATES.get(str(body.get("eventType", "")).upper(), "RUNNING")
        run_id = body["run"]["runId"]
        job_id = self._job_of(body, state, at)
        job = self._described(job_id, body["job"])
        run = self.runs.setdefault(run_id, _Run(job_id, state, at))
        run.state, run.changed_at = state, at  # the last that arrives: RUNNING after COMPLETE opens the run again
        if state in ENDED:
            run.ended_at = at
        else:
            run.started_at = at
        _merge(run.facets, body["run"].get("facets"), at)
        _merge(run.job_facets, body["job"].get("facets"), at)

        for mention in body.get("inputs") or ():
            dataset, version = self._mention(mention, at, run_id, written=False)
            run.inputs[dataset] = version
        for mention in body.get("outputs") or ():
            dataset, version = self._mention(mention, at, run_id, written=True)
            versions = run.outputs.setdefault(dataset, [])
            if version not in versions:
                versions.append(version)
            _merge(run.written.setdefault(dataset, {}), mention.get("outputFacets"), at)
            self._column_edges(mention, dataset, run)

        # Any event with an empty list takes the edges away at once; an ended run gives the union of what it said.
        if not body.get("inputs"):
            job.inputs = frozenset()
        if not body.get("outputs"):
            job.outputs = frozenset()
        if state in ENDED:
            job.inputs = frozenset(run.inputs) or job.inputs
            job.outputs = frozenset(run.outputs) or job.outputs
            job.facets = run.job_facets
        if state == "COMPLETED":  # only a good end moves the outputs' current version
            for dataset, versions in run.outputs.items():
                self.datasets[dataset].current = versions[-1]

    def _job_event(self, body: Body, at: datetime) -> None:
        """Edges and descriptions; no run, no column edges, and no current version of an output."""
        job = self._described(JobId(body["job"]["namespace"], body["job"]["name"]), body["job"])
        job.facets = {}
        _merge(job.facets, body["job"].get("facets"), at)
        read_now = [self._mention(mention, at, None, written=False)[0] for mention in body.get("inputs") or ()]
        written_now = [self._mention(mention, at, None, written=True)[0] for mention in body.get("outputs") or ()]
        job.inputs = frozenset(read_now) or job.inputs
        job.outputs = frozenset(written_now) or job.outputs

    def _dataset_event(self, body: Body, at: datetime) -> None:
        """Moves the current version, without a run."""
        dataset, version = self._mention(body["dataset"], at, None, written=True)
        self.datasets[dataset].current = version

    def _job_of(self, body: Body, state: State, at: datetime) -> JobId:
        """The job's identity; with a parent facet it is ``parent.child``, in the child's namespace."""
        namespace, name = body["job"]["namespace"], body["job"]["name"]
        parent = (body["run"].get("facets") or {}).get("parent")
        if not parent:
            return JobId(namespace, name)
        above, run_id = parent["job"]["name"], parent["run"]["runId"]
        known = self.runs.get(run_id)
        if known is not None and known.job.name != above:
            run_id = f"{run_id}/{above}"  # the server derives another id: a run belongs to one job
            known = self.runs.get(run_id)
        if known is None:  # a parent known from its children only takes the first child's state, and keeps it
            self.jobs.setdefault(JobId(namespace, above), _Job()).description = ""
            started = None if state in ENDED else at
            self.runs[run_id] = _Run(JobId(namespace, above), state, at, started, at if state in ENDED else None)
        else:
            above = known.job.name
        simple = name.removeprefix(f"{above}.")
        job_id = JobId(namespace, f"{above}.{simple}")
        self.jobs.setdefault(job_id, _Job()).parent = above
        return job_id

    def _described(self, job_id: JobId, body: Body) -> _Job:
        job = self.jobs.setdefault(job_id, _Job())
        job.description = read.description(body.get("facets"))  # one that an event leaves out is gone
        return job

    def _mention(self, mention: Body, at: datetime, run_id: str | None, *, written: bool) -> tuple[Dataset, _Version]:
        """A dataset in an event: its description and lifecycle are overwritten, its version found or made.

        A dataset that is only read gets one version, ever. Two events of one run make one version of an output where
        they declare the same columns.
        """
        dataset = Dataset(mention["namespace"], mention["name"])
        facets = mention.get("facets") or {}
        stored = self.datasets.setdefault(dataset, _Dataset())
        stored.description = read.description(facets)
        lifecycle = read.lifecycle(facets)
        stored.deleted = lifecycle == "DROP"
        declared = read.columns(facets)
        version = None if written else stored.current
        if version is None:
            fields = frozenset((column.name, column.type.upper(), column.description) for column in declared)
            key = (run_id, lifecycle, read.source_name(facets), fields)
            version = stored.versions.get(key)
            if version is None:
                version = stored.versions[key] = _Version(run_id if written else None, at, declared)
            if not written and run_id is not None:
                stored.current = version
        for column in declared:  # another type of a known name is another field: the column shows twice
            version.columns[column.name, column.type] = column
            stored.texts[column.name, column.type] = column.description  # of no version: the last mention's, anywhere
        _merge(version.facets, facets, at)
        if not written:
            _merge(version.facets, mention.get("inputFacets"), at)
        return dataset, version

    def _column_edges(self, mention: Body, dataset: Dataset, run: _Run) -> None:
        """Column edges are never forgotten.

        One is kept only if its output is among the columns of this event and its input is a known column of a dataset
        that the run reads.
        """
        declared = {column.name for column in read.columns(mention.get("facets"))}
        known = {Field(of, name) for of, version in run.inputs.items() for name, _ in version.columns}
        for output, sources in read.column_sources(mention.get("facets")).items():
            if output in declared:
                self.columns |= {ColumnEdge(source, Field(dataset, output)) for source in known & sources}

    def graph(self) -> Graph:
        """What a reader sees."""
        runs: dict[JobId, list[tuple[_Run, Run]]] = {}
        for run_id, run in self.runs.items():
            runs.setdefault(run.job, []).append((run, _finished(run_id, run)))
        jobs = {job_id: self._job_node(job_id, job, runs.get(job_id, [])) for job_id, job in self.jobs.items()}
        datasets = {dataset: self._dataset_node(dataset, stored) for dataset, stored in self.datasets.items()}
        return Graph(jobs, datasets, frozenset(self.columns))

    def _job_node(self, job_id: JobId, job: _Job, runs: list[tuple[_Run, Run]]) -> JobNode:
        runs = sorted(runs, key=lambda pair: (pair[0].changed_at, pair[0].started_at or _NEVER), reverse=True)
        facets = _values(job.facets or (runs[0][0].job_facets if runs else {}))
        platform = read.platform(facets)
        return JobNode(
            id=job_id,
            simple_name=job_id.name.removeprefix(f"{job.parent}.") if job.parent else job_id.name,
            parent=job.parent,
            inputs=job.inputs,
            outputs=job.outputs,
            latest=runs[0][1] if runs else None,
            runs=tuple(run for _, run in runs),
            layer=platform.layer,
            domain=platform.domain,
            description=job.description,
            owners=read.owners(facets),
            source_path=read.source_path(facets),
            sql=read.sql(facets),
            language=read.job_kind(facets),
        )

    def _dataset_node(self, dataset: Dataset, stored: _Dataset) -> DatasetNode:
        newest = sorted(stored.versions.values(), key=lambda version: version.created_at, reverse=True)
        current = stored.current
        # What the platform says of a dataset holds for one seen only in failed runs too; columns and checks do not.
        facets = _values((current or newest[0]).facets)
        platform = read.platform(facets)
        run = self.runs.get(current.run_id) if current and current.run_id else None
        return DatasetNode(
            id=dataset,
            columns=tuple(Column(*key, stored.texts[key]) for key in current.columns) if current else (),
            current=_version(current) if current else None,
            versions=tuple(_version(version) for version in newest),
            assertions=read.assertions(facets) if current else (),
            deleted=stored.deleted,
            kind=platform.kind,
            layer=platform.layer,
            domain=platform.domain,
            description=stored.description,
            owners=read.owners(facets),
            source_uri=read.source_uri(facets),
            volume=read.volume(_values(run.written.get(dataset, {}) if run else {})),
        )


def _finished(run_id: str, run: _Run) -> Run:
    facets = _values(run.facets)
    duration = (run.ended_at - run.started_at).total_seconds() if run.started_at and run.ended_at else None
    return Run(
        run_id=run_id,
        state=run.state,
        started_at=run.started_at,
        ended_at=run.ended_at,
        duration=duration,
        error=read.error(facets),
        inputs=frozenset(run.inputs),
        outputs=frozenset(run.outputs),
        written={dataset: read.volume(_values(written)) for dataset, written in run.written.items()},
        dagster_run=read.dagster_run(facets),
        url=read.url(facets),
    )


def _version(version: _Version) -> Version:
    return Version(version.run_id, version.created_at, version.declared)


def _merge(stored: Facets, facets: Mapping[str, Any] | None, at: datetime) -> None:
    """Facets replace each other whole, by name; the later event time wins, of equal ones the last that arrived."""
    for name, facet in (facets or {}).items():
        if facet is not None and (name not in stored or stored[name][0] <= at):
            stored[name] = (at, facet)


def _values(facets: Facets) -> dict[str, Mapping[str, Any]]:
    return {name: facet for name, (_, facet) in facets.items()}
