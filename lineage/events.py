"""Run facts → OpenLineage events: pure functions, no clock, no network.

What belongs here: which events there are, in which order, and what identifies them. What does not: single facets
(:mod:`lineage.facets`), the outbox, and finding out what happened (``orchestration.lineage``).

Rules (each is there because a Marquez otherwise shows a wrong graph): one constant parent whose START comes first and
whose end comes last; START and end of a job have the same inputs, outputs and facets, full lists also where it failed;
every facet of a job on each of its events. Two facets of a run are an exception: the error is on the end, because no
start knows it, and the parent on the START, because Marquez shows a node in its parent's state once an end names one.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lineage import limits, naming
from lineage.catalog import Catalog, Job
from lineage.facts import AssetRun, RunFacts
from lineage.outgoing import Outgoing
from lineage.sync import declared_events

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, OutputDataset
    from openlineage.client.facet_v2 import JobFacet, RunFacet

    from lineage.facets.jobs import EventOptions

REBUILT = frozenset({"table", "view", "published", "seed"})
"""dbt's materializations that replace all of a relation whenever they run."""


def run_events(facts: RunFacts, catalog: Catalog, options: EventOptions | None = None) -> list[Outgoing]:
    """All events of one ended run but those of checks that ran alone, in the order in which they must arrive.

    Args:
        facts: what happened.
        catalog: what is declared; of assets that it does not know nothing is told (their edges are unknown), the
            parent's facet ``lakehouse_dagster`` names them.
        options: for links to source files.

    Raises:
        EventError: an identity cannot be told to a lineage server; all faults are named.
    """
    from lineage.facets import jobs, runs

    options = options or jobs.EventOptions()
    known = [(asset, job) for asset in facts.assets if (job := catalog.of_asset(asset.asset_key)) is not None]
    named = {asset.asset_key for asset in (*facts.assets, *facts.checked)}
    unknown = sorted(key for key in named if catalog.of_asset(key) is None)
    attempts = [*(asset for asset, _ in known), *facts.checked]
    began = min([facts.started_at, *(asset.started_at for asset in attempts)])
    ended = max([facts.ended_at, began, *(asset.ended_at for asset in attempts)])
    parent = runs.parent_run_facets(facts, catalog, unknown)
    parent_job = jobs.parent_facets(options)
    failed = runs.error(facts.error or _reason(facts.end, "the run"), None, "PYTHON") if facts.end != "COMPLETE" else {}

    def of_parent(kind: str, when: datetime, more: dict[str, RunFacet]) -> Outgoing:
        body = _body(
            kind, when, facts.run_id, {**parent, **more}, catalog.job_namespace, catalog.parent_job, parent_job
        )
        return _outgoing(facts, kind, catalog.parent_job, when, facts.run_id, body)

    events = [of_parent("START", began, {})]
    for asset, job in known:
        events += _asset_events(asset, job, facts, catalog, options)
    built = {dataset for asset, job in known if asset.end == "COMPLETE" for dataset in job.outputs}
    for job in catalog.jobs.values():
        if job.asset_key is None and built.intersection(job.inputs):
            # Once per version of the declarations: their keys know neither the run nor the day.
            events += declared_events(job, catalog, ended, order_key=facts.run_id, key=catalog.version, options=options)
    events.append(of_parent(facts.end, ended, failed))
    return limits.checked(events)


def _asset_events(
    asset: AssetRun, job: Job, facts: RunFacts, catalog: Catalog, options: EventOptions
) -> Iterable[Outgoing]:
    """START and end of one attempt at one asset."""
    from lineage.facets import jobs, runs

    run_id = naming.child_run_id(facts.run_id, asset.step_key, asset.attempt, asset.asset_key, asset.partition)
    run = runs.asset_run_facets(asset, job, facts, catalog)
    job_facets = jobs.job_facets(job, options, asset.sql)
    inputs, outputs = _inputs(asset, job, catalog), _outputs(asset, job, catalog)
    ended = max(asset.ended_at, asset.started_at)
    failed: dict[str, RunFacet] = {}
    if asset.end != "COMPLETE":
        language = "SQL" if job.language == "SQL" else "PYTHON"
        failed = runs.error(asset.error or _reason(asset.end, asset.asset_key), asset.stack, language)
    name = naming.event_job(asset.asset_key)
    start = _body("START", asset.started_at, run_id, run, catalog.job_namespace, name, job_facets, inputs, outputs)
    end = _ended(start, asset.end, ended, failed)
    yield _outgoing(facts, "START", name, asset.started_at, run_id, start)
    yield _outgoing(facts, asset.end, name, ended, run_id, end)


def _inputs(asset: AssetRun, job: Job, catalog: Catalog) -> list[InputDataset]:
    from lineage.facets import datasets

    made = []
    for dataset in job.inputs:
        info = catalog.datasets[dataset]
        read = None
        if info.asset_key is None:  # what others dropped is counted by the asset that takes it in
            read = asset.inputs.get(asset.asset_key)
        elif (writer := catalog.of_asset(info.asset_key)) is not None and writer.outputs[0] == dataset:
            read = asset.inputs.get(info.asset_key)
        made.append(datasets.input_dataset(info, read))
    return made


def _outputs(asset: AssetRun, job: Job, catalog: Catalog) -> list[OutputDataset]:
    from lineage.facets import datasets, runs

    first, *others = (catalog.datasets[dataset] for dataset in job.outputs)
    columns = first.columns if asset.columns is None else asset.columns
    metrics = asset.facts.get(runs.METRICS_FACT)
    replaced = asset.end == "COMPLETE" and not asset.up_to_date
    replaced = replaced and (job.materialized in REBUILT or bool(asset.facts.get("full_refresh")))
    return [
        datasets.output_dataset(
            first,
            columns=columns,
            lineage=datasets.column_lineage(job, columns),
            written=asset.output,
            checks=asset.checks,
            metrics=metrics if isinstance(metrics, dict) else None,
            lifecycle="OVERWRITE" if replaced else None,
        ),
        *(datasets.output_dataset(info) for info in others),
    ]


def _body(
    kind: str,
    when: datetime,
    run_id: str,
    run: dict[str, RunFacet],
    namespace: str,
    job: str,
    job_facets: dict[str, JobFacet],
    inputs: list[InputDataset] | None = None,
    outputs: list[OutputDataset] | None = None,
) -> dict[str, Any]:
    from openlineage.client import event_v2
    from openlineage.client.serde import Serde

    from lineage.facets import runs

    event = event_v2.RunEvent(
        eventType=event_v2.RunState(kind),
        eventTime=runs.stamp(when),
        producer=naming.PRODUCER,
        run=event_v2.Run(run_id, run),
        job=event_v2.Job(namespace, job, job_facets),
        inputs=inputs or [],
        outputs=outputs or [],
    )
    return Serde.to_dict(event)


def _ended(start: dict[str, Any], kind: str, when: datetime, failed: dict[str, RunFacet]) -> dict[str, Any]:
    """The end that belongs to a START: the same to the letter but for type, time, error and parent."""
    from openlineage.client.serde import Serde

    from lineage.facets import runs

    facets = {name: facet for name, facet in start["run"]["facets"].items() if name != "parent"}
    facets |= {name: Serde.to_dict(facet) for name, facet in failed.items()}
    return {**start, "eventType": kind, "eventTime": runs.stamp(when), "run": {**start["run"], "facets": facets}}


def _outgoing(facts: RunFacts, kind: str, job: str, when: datetime, run_id: str, body: dict[str, Any]) -> Outgoing:
    return Outgoing(f"{run_id}/{job}/{kind}", facts.run_id, "run", kind, job, when, body)


def _reason(end: str, what: str) -> str:
    return f"{what} was cancelled or not reached" if end == "ABORT" else f"{what} failed; no reason was recorded"
