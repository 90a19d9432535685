"""Checks that ran alone, without what they check being built: their verdicts as events.

What belongs here: which events tell them. What does not: a run that builds, whose verdicts stand on its own outputs
(:mod:`lineage.events`).

Nothing was written, so nothing but the verdicts may change. A dataset event would make a version; a run that reads the
dataset would leave an edge, of the asset's own job even instead of those it has. So each asset has a job for this whose
job event mentions the dataset, and whose run, without inputs, takes the edge away again and says how it went: as the
metadata sync does (:mod:`lineage.sync`), and delivered like it, after the runs that were recorded before. A server
keeps one list of verdicts for a dataset, so all of them are told, those that were not asked now as they were.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from lineage import limits, naming
from lineage.catalog import Catalog, Job
from lineage.facts import AssetRun, Check, RunFacts
from lineage.graph import Graph
from lineage.outgoing import SYNC, Outgoing

if TYPE_CHECKING:
    from lineage.facets.jobs import EventOptions


def checked_events(
    facts: RunFacts,
    catalog: Catalog,
    known: Graph,
    verdicts: Mapping[str, Sequence[Check]],
    options: EventOptions | None = None,
) -> list[Outgoing]:
    """What a run's checks alone tell, in the order in which it must arrive; the parent's events are not among it.

    Args:
        facts: what happened; only ``checked`` is told here.
        catalog: what is declared; of assets that it does not know nothing is told.
        known: what was told before: a dataset that no good run has written yet is not mentioned, its mention alone
            would make it.
        verdicts: all checks of an asset as they stand, by asset key; what this run found comes before it.
        options: for links to source files.

    Raises:
        EventError: an identity cannot be told to a lineage server.
    """
    from lineage.facets import jobs

    options = options or jobs.EventOptions()
    found: list[Outgoing] = []
    for asset in facts.checked:
        job = catalog.of_asset(asset.asset_key)
        if job is None:
            continue
        node = known.datasets.get(job.outputs[0])
        if asset.checks and node is not None and node.current is not None:
            every = {check.name: check for check in (*verdicts.get(asset.asset_key, ()), *asset.checks)}
            found.append(_mention(asset, job, list(every.values()), facts, catalog, options))
        found += _run(asset, job, facts, catalog, options)
    return limits.checked(found)


def _mention(
    asset: AssetRun, job: Job, checks: list[Check], facts: RunFacts, catalog: Catalog, options: EventOptions
) -> Outgoing:
    from openlineage.client import event_v2
    from openlineage.client.serde import Serde

    from lineage.facets import datasets, jobs, runs

    at = _ended(asset)
    event = event_v2.JobEvent(
        eventTime=runs.stamp(at),
        producer=naming.PRODUCER,
        job=event_v2.Job(catalog.job_namespace, naming.check_job(asset.asset_key), jobs.check_facets(job, options)),
        inputs=[datasets.input_dataset(catalog.datasets[job.outputs[0]], None, checks=checks)],
        outputs=[],
    )
    return _outgoing(asset, facts, "job", "", at, Serde.to_dict(event))


def _run(asset: AssetRun, job: Job, facts: RunFacts, catalog: Catalog, options: EventOptions) -> Iterator[Outgoing]:
    """START and end of a run that reads and writes nothing; the parent is on the START (see :mod:`lineage.events`)."""
    from openlineage.client import event_v2
    from openlineage.client.serde import Serde

    from lineage.facets import jobs, runs

    name = naming.check_job(asset.asset_key)
    run_id = naming.child_run_id(facts.run_id, asset.step_key, asset.attempt, name, asset.partition)
    facets = runs.asset_run_facets(asset, job, facts, catalog)
    body = event_v2.Job(catalog.job_namespace, name, jobs.check_facets(job, options))
    ending = {key: facet for key, facet in facets.items() if key != "parent"}
    if asset.end != "COMPLETE":
        ending |= runs.error(asset.error or f"The checks of {asset.asset_key} ended early.", asset.stack, "PYTHON")
    for kind, at, told in (("START", asset.started_at, facets), (asset.end, _ended(asset), ending)):
        event = event_v2.RunEvent(
            eventType=event_v2.RunState(kind),
            eventTime=runs.stamp(at),
            producer=naming.PRODUCER,
            run=event_v2.Run(run_id, told),
            job=body,
            inputs=[],
            outputs=[],
        )
        yield _outgoing(asset, facts, "run", kind, at, Serde.to_dict(event))


def _outgoing(asset: AssetRun, facts: RunFacts, kind: str, state: str, at: datetime, body: dict[str, Any]) -> Outgoing:
    name = naming.check_job(asset.asset_key)
    key = f"{name}/{facts.run_id}/{asset.step_key}/{asset.attempt}/{state or 'verdicts'}"
    return Outgoing(key, SYNC, kind, state, name, at, body)


def _ended(asset: AssetRun) -> datetime:
    return max(asset.ended_at, asset.started_at)
