"""Hand-made OpenLineage events, one call each, for tests that say what a graph is after them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from lineage.graph import Graph, JobId
from lineage.names import Dataset, Field
from lineage.reduce import reduce

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
RAW = Dataset("file", "/data/lake/raw/bioreactor")
STAGING = Dataset("duckdb://lakehouse", "lakehouse.staging.stg_bioreactor")
BATCH = Dataset("duckdb://lakehouse", "lakehouse.curated.dim_batch")
MART = Dataset("postgres://127.0.0.1:15432", "marts.marts.mart_bioreactor_overview")


def run_id(name: str) -> str:
    """A run id that a test can name."""
    return str(uuid5(NAMESPACE_URL, name))


def moment(seconds: float) -> datetime:
    """So many seconds after noon."""
    return NOON + timedelta(seconds=seconds)


def job(name: str) -> JobId:
    """A job of ours."""
    return JobId("lakehouse", name)


def dataset(of: Dataset, columns: str = "", **facets: Any) -> dict[str, Any]:
    """A dataset in an event.

    Args:
        of: its identity.
        columns: the schema facet as ``name:TYPE name:TYPE``; empty leaves the facet out.
        facets: further facets; ``output`` and ``input`` are outputFacets and inputFacets.
    """
    mention: dict[str, Any] = {"namespace": of.namespace, "name": of.name, "facets": {}}
    if columns:
        fields = [dict(zip(("name", "type"), each.split(":"), strict=True)) for each in columns.split()]
        mention["facets"]["schema"] = {"fields": fields}
    for name, facet in facets.items():
        if name in ("output", "input"):
            mention[f"{name}Facets"] = facet
        else:
            mention["facets"][name] = facet
    return mention


def comes_from(**columns: Field | list[Field]) -> dict[str, Any]:
    """A columnLineage facet: output column → where it comes from."""
    fields = {}
    for output, sources in columns.items():
        each = sources if isinstance(sources, list) else [sources]
        told = [{"namespace": s.dataset.namespace, "name": s.dataset.name, "field": s.column} for s in each]
        fields[output] = {"inputFields": told}
    return {"fields": fields}


def checks(**verdicts: bool) -> dict[str, Any]:
    """A dataQualityAssertions facet."""
    return {"assertions": [{"assertion": name, "success": passed} for name, passed in verdicts.items()]}


def event(
    kind: str,
    job_name: str,
    run: str,
    at: float,
    inputs: list[Any] | None = None,
    outputs: list[Any] | None = None,
    *,
    parent: str | None = None,
    run_facets: dict[str, Any] | None = None,
    job_facets: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """A run event, ``at`` seconds after noon; ``parent`` names a run of the job ``lakehouse``."""
    facets = dict(run_facets or {})
    if parent:
        facets["parent"] = {"run": {"runId": run_id(parent)}, "job": {"namespace": "lakehouse", "name": "lakehouse"}}
    return {
        "eventType": kind,
        "eventTime": moment(at).isoformat(),
        "run": {"runId": run_id(run), "facets": facets},
        "job": {"namespace": "lakehouse", "name": job_name, "facets": job_facets or {}},
        "inputs": [each if isinstance(each, dict) else dataset(each) for each in inputs or []],
        "outputs": [each if isinstance(each, dict) else dataset(each) for each in outputs or []],
    }


def pair(kind: str, job_name: str, run: str, at: float, *sides: Any, **more: Any) -> list[dict[str, Any]]:
    """START, and two seconds later the end, with the same inputs and outputs."""
    return [event("START", job_name, run, at, *sides, **more), event(kind, job_name, run, at + 2, *sides, **more)]


def metadata(job_name: str, at: float, inputs: list[Any], outputs: list[Any], **facets: Any) -> dict[str, Any]:
    """A job event."""
    made = event("", job_name, "", at, inputs, outputs, job_facets=facets)
    del made["run"], made["eventType"]
    return made


def dataset_event(of: dict[str, Any], at: float) -> dict[str, Any]:
    """A dataset event."""
    return {"eventTime": moment(at).isoformat(), "dataset": of}


def graph(*events: Any) -> Graph:
    """The graph after events, lists of events among them."""
    flat: list[dict[str, Any]] = []
    for each in events:
        flat.extend(each if isinstance(each, list) else [each])
    return reduce(flat)
