"""Metadata as events: what is declared is told even if nothing ran, without moving what runs have told.

What belongs here: which events a sync sends, for assets that never ran, that have run, and that are gone. What does
not: when it is done (``orchestration.lineage``), and the events of runs (:mod:`lineage.events`).

Measured on Marquez: a job event greys the node of a job that has run, and a dataset event moves a dataset's version
and hides its checks. So what has run is described by mentioning its datasets as inputs of one neutral job, whose edges
a run without inputs takes away again; job and dataset events are for what never ran. What is gone is dropped, and its
job is ended by a run without edges: only that takes it out of the graph.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid5

from lineage import limits, naming
from lineage.catalog import Catalog, DatasetInfo, Job
from lineage.graph import ENDED, Graph, JobId
from lineage.names import Dataset
from lineage.outgoing import SYNC, Outgoing

if TYPE_CHECKING:
    from openlineage.client.facet_v2 import RunFacet

    from lineage.facets.jobs import EventOptions

REMOVED = "It was removed from the code."


def sync_events(catalog: Catalog, known: Graph, at: datetime, options: EventOptions | None = None) -> list[Outgoing]:
    """All events of one sync, in the order in which they must arrive.

    Their keys hold the catalog's version and the day: what is put a second time that day changes nothing.

    Args:
        catalog: what is declared now.
        known: what was told before (:func:`lineage.reduce.reduce` over the outbox).
        at: now, aware: a server merges facets in the order of event times.
        options: for links to source files.

    Raises:
        EventError: an identity cannot be told to a lineage server.
    """
    sync = _Sync(catalog, known, at, options)
    events = [event for job in catalog.jobs.values() if not sync.has_run(job) for event in sync.declared(job)]
    events += sync.described()
    events += sync.removed()
    return limits.checked(events)


def declared_events(
    job: Job, catalog: Catalog, at: datetime, *, order_key: str, key: str, options: EventOptions | None = None
) -> list[Outgoing]:
    """What tells of a job that never ran (every exposure): its edges, then what each of its outputs is."""
    from openlineage.client import event_v2
    from openlineage.client.serde import Serde

    from lineage.facets import datasets, jobs, runs

    name = naming.event_job(job.asset_key) if job.asset_key else job.name
    told = event_v2.JobEvent(
        eventTime=runs.stamp(at),
        producer=naming.PRODUCER,
        job=event_v2.Job(catalog.job_namespace, name, jobs.job_facets(job, options or jobs.EventOptions())),
        inputs=[datasets.input_dataset(catalog.datasets[item], None) for item in job.inputs],
        outputs=[datasets.output_dataset(catalog.datasets[item]) for item in job.outputs],
    )
    events = [Outgoing(f"{name}/{key}", order_key, "job", "", name, at, Serde.to_dict(told))]
    events += [_dataset_event(catalog.datasets[item], at, order_key, key) for item in job.outputs]
    return events


def _dataset_event(info: DatasetInfo, at: datetime, order_key: str, key: str, *, gone: bool = False) -> Outgoing:
    from openlineage.client import event_v2
    from openlineage.client.serde import Serde

    from lineage.facets import datasets, runs

    output = datasets.output_dataset(info, lifecycle="DROP" if gone else None)
    event = event_v2.DatasetEvent(
        eventTime=runs.stamp(at),
        producer=naming.PRODUCER,
        dataset=event_v2.StaticDataset(output.namespace, output.name, facets=output.facets),
    )
    return Outgoing(f"{info.dataset}/{key}", order_key, "dataset", "", "", at, Serde.to_dict(event))


class _Sync:
    def __init__(self, catalog: Catalog, known: Graph, at: datetime, options: EventOptions | None) -> None:
        self._catalog = catalog
        self._known = known
        self._at = at
        self._options = options
        self._key = f"sync/{catalog.version}/{at.date().isoformat()}"
        self._names = {naming.event_job(job.asset_key) if job.asset_key else job.name for job in catalog.jobs.values()}

    def has_run(self, job: Job) -> bool:
        """Whether a run of it has ended."""
        if job.asset_key is None:
            return False
        node = self._known.jobs.get(JobId(self._catalog.job_namespace, naming.event_job(job.asset_key)))
        return node is not None and any(run.state in ENDED for run in node.runs)

    def declared(self, job: Job) -> list[Outgoing]:
        """Edges and descriptions of what never ran."""
        return declared_events(job, self._catalog, self._at, order_key=SYNC, key=self._key, options=self._options)

    def described(self) -> Iterable[Outgoing]:
        """Descriptions, owners and columns of the datasets that runs have written, as inputs of a neutral job."""
        from openlineage.client import event_v2
        from openlineage.client.serde import Serde

        from lineage.facets import datasets, jobs, runs

        mentioned = []
        for job in self._catalog.jobs.values():
            for dataset in job.outputs if self.has_run(job) else ():
                node = self._known.datasets.get(dataset)
                if node is None or node.current is None:
                    continue
                mention = datasets.input_dataset(self._catalog.datasets[dataset], None)
                # Columns and types as the last run told them: another spelling would show the column twice.
                told = {column.name: column.description for column in self._catalog.datasets[dataset].columns}
                if schema := datasets.schema(node.columns, told):
                    mention.facets = {**(mention.facets or {}), "schema": schema}
                mentioned.append(mention)
        if not mentioned:
            return
        job_body = event_v2.Job(
            self._catalog.job_namespace, naming.SYNC_JOB, jobs.sync_facets(self._options or jobs.EventOptions())
        )
        told_at = runs.stamp(self._at)
        event = event_v2.JobEvent(
            eventTime=told_at, producer=naming.PRODUCER, job=job_body, inputs=mentioned, outputs=[]
        )
        key = f"{naming.SYNC_JOB}/{self._key}"
        yield Outgoing(key, SYNC, "job", "", naming.SYNC_JOB, self._at, Serde.to_dict(event))
        yield from self._run_without_edges(naming.SYNC_JOB, "COMPLETE", Serde.to_dict(job_body), {})

    def removed(self) -> Iterable[Outgoing]:
        """Datasets and jobs that were told and are no longer declared."""
        from openlineage.client.serde import Serde

        from lineage.facets import runs

        gone = sorted(
            dataset
            for dataset, node in self._known.datasets.items()
            if dataset not in self._catalog.datasets and not node.deleted
        )
        for dataset in gone:
            yield _dataset_event(self._last(dataset), self._at, SYNC, self._key, gone=True)
        error = {name: Serde.to_dict(facet) for name, facet in runs.error(REMOVED, None, "PYTHON").items()}
        for job_id, node in sorted(self._known.jobs.items()):
            ours = job_id.namespace == self._catalog.job_namespace and job_id.name != self._catalog.parent_job
            if ours and job_id.name not in {*self._names, naming.SYNC_JOB} and (node.inputs or node.outputs):
                body = {"namespace": job_id.namespace, "name": job_id.name, "facets": {}}
                yield from self._run_without_edges(job_id.name, "ABORT", body, error)

    def _last(self, dataset: Dataset) -> DatasetInfo:
        """What was told of a dataset that is gone."""
        node = self._known.datasets[dataset]
        return DatasetInfo(
            dataset,
            node.kind or "table",  # type: ignore[arg-type]  # one of our own kinds, read back
            None,
            node.layer,
            node.domain,
            node.description,
            node.owners,
            source_uri=node.source_uri,
        )

    def _run_without_edges(self, name: str, end: str, job: dict[str, Any], error: dict[str, Any]) -> Iterable[Outgoing]:
        """START and end of a run that reads and writes nothing: it takes the job's edges away."""
        from openlineage.client import event_v2
        from openlineage.client.serde import Serde

        from lineage.facets import runs

        run_id = str(uuid5(naming.RUNS, f"{name}/{self._key}/{runs.stamp(self._at)}"))
        facets: dict[str, RunFacet] = {}
        for kind in ("START", end):
            event = event_v2.RunEvent(
                eventType=event_v2.RunState(kind),
                eventTime=runs.stamp(self._at),
                producer=naming.PRODUCER,
                run=event_v2.Run(run_id, facets),
                job=event_v2.Job(job["namespace"], job["name"]),
                inputs=[],
                outputs=[],
            )
            body = {**Serde.to_dict(event), "job": job}
            if kind == end:
                body["run"] = {**body["run"], "facets": error}
            yield Outgoing(f"{name}/{self._key}/{kind}", SYNC, "run", kind, name, self._at, body)
