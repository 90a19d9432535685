"""The graph as the page's plain data: datasets as nodes, jobs between them, columns.

What belongs here: what the page shows, and limits on it. What does not: how it looks.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from lineage.graph import DatasetNode, Graph, JobId, JobNode, Run
from lineage.names import Dataset
from lineage.paths import place, short_name

LAYERS = ("source", "raw", "staging", "intermediate", "curated", "mart", "exposure")
"""Left to right; a layer that is not among them comes before exposures."""
RUNS, SQL_CHARACTERS, TEXT_CHARACTERS = 10, 20_000, 4_000
"""The page holds this many runs of a job, and this much of one SQL statement or one text."""


def page_model(graph: Graph, *, made_at: datetime, about: str = "") -> dict[str, Any]:
    """JSON-ready data of the page.

    Args:
        graph: reduced from events or read from a server.
        made_at: shown, and ages are counted from it.
        about: where the graph comes from.
    """
    jobs = {
        job_id: number
        for number, job_id in enumerate(sorted(job.id for job in graph.jobs.values() if job.inputs or job.outputs))
    }
    nodes = [node for _, node in sorted(graph.datasets.items())]
    numbers = {node.id: number for number, node in enumerate(nodes)}
    layers = {_layer(graph, node) for node in nodes}
    return {
        "made_at": _time(made_at),
        "about": about,
        "layers": sorted(layers, key=_layer_order),
        "domains": sorted({_domain(graph, node) for node in nodes}),
        "datasets": [_dataset(graph, node, jobs) for node in nodes],
        "jobs": [_job(graph.jobs[job_id]) for job_id in jobs],
        "edges": sorted(
            [numbers[source], numbers[target], jobs[job.id]]
            for job in graph.jobs.values()
            for source in job.inputs
            for target in job.outputs
            if source != target
        ),
        "columns": sorted(
            [numbers[edge.source.dataset], edge.source.column, numbers[edge.target.dataset], edge.target.column]
            for edge in graph.columns
        ),
    }


def _dataset(graph: Graph, node: DatasetNode, jobs: dict[JobId, int]) -> dict[str, Any]:
    return {
        "name": node.id.name,
        "namespace": node.id.namespace,
        "label": short_name(node.id),
        "place": place(node.id),
        "layer": _layer(graph, node),
        "domain": _domain(graph, node),
        "kind": node.kind,
        "description": node.description[:TEXT_CHARACTERS],
        "owners": list(node.owners),
        "uri": node.source_uri,
        "deleted": node.deleted,
        "columns": [[column.name, column.type, column.description] for column in node.columns],
        "checks": [[check.name, check.passed, check.column, check.severity] for check in node.assertions],
        "rows": node.volume.rows,
        "bytes": node.volume.bytes,
        "files": node.volume.files,
        "versions": len(node.versions),
        "version_at": _time(node.current.created_at) if node.current else None,
        "writers": [jobs[job.id] for job in graph.writers(node.id)],
        "readers": [jobs[job.id] for job in graph.readers(node.id)],
    }


def _job(job: JobNode) -> dict[str, Any]:
    return {
        "name": job.simple_name,
        "namespace": job.id.namespace,
        "description": job.description[:TEXT_CHARACTERS],
        "owners": list(job.owners),
        "language": job.language,
        "path": job.source_path,
        "sql": job.sql[:SQL_CHARACTERS],
        "runs": [_run(run) for run in job.runs[:RUNS]],
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "id": run.run_id,
        "state": run.state,
        "started_at": _time(run.started_at),
        "ended_at": _time(run.ended_at),
        "duration": run.duration,
        "error": (run.error or "")[:TEXT_CHARACTERS],
        "dagster": run.dagster_run,
        "url": run.url if run.url and run.url.startswith(("http://", "https://")) else None,
        "rows": {short_name(dataset): volume.rows for dataset, volume in run.written.items()},
    }


def _layer(graph: Graph, node: DatasetNode) -> str:
    """As told; else its writer's, else from where it is."""
    told = node.layer or next((job.layer for job in graph.writers(node.id) if job.layer), "")
    if told:
        return told
    if node.id.namespace.startswith("exposure:"):
        return "exposure"
    return "other" if graph.writers(node.id) else "source"


def _domain(graph: Graph, node: DatasetNode) -> str:
    jobs = [*graph.writers(node.id), *graph.readers(node.id)]
    return node.domain or next((job.domain for job in jobs if job.domain), "shared")


def _layer_order(layer: str) -> tuple[int, str]:
    return (LAYERS.index(layer) * 2, "") if layer in LAYERS else (len(LAYERS) * 2 - 3, layer)


def _time(at: datetime | None) -> str | None:
    return at.isoformat() if at else None


def fragment(dataset: Dataset, column: str | None = None) -> str:
    """The part of the page's address after ``#`` that opens a dataset, or one of its columns."""
    from urllib.parse import urlencode

    return urlencode({"dataset": short_name(dataset), **({"column": column} if column else {})})
