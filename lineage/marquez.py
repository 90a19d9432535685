"""The lineage graph as a Marquez server shows it, read over its REST API.

What belongs here: reading one job namespace with all datasets that its jobs touch into :class:`lineage.graph.Graph`.
What does not: sending events (:mod:`lineage.transport`), or the same graph from events (:mod:`lineage.reduce`).

Measured on Marquez 0.51.1. Which of its answers can be believed is not obvious, so each is named where it is used.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from lakehouse.errors import ConfigError, LakehouseError, UnavailableError
from lineage import facet_values as read
from lineage.facts import Volume
from lineage.graph import ColumnEdge, DatasetNode, Graph, JobId, JobNode, Run, Version
from lineage.names import Column, Dataset, Field
from lineage.openlineage_config import HttpTarget

if TYPE_CHECKING:
    from urllib3 import HTTPConnectionPool

Json = Mapping[str, Any]
PAGE = 100
CLIENTS = 4
"""Requests under way at once."""
TIMEOUT_SECONDS = 60.0
"""A list of jobs costs the server 0.15 s a job once it holds thousands of runs."""
_NEVER = datetime.min.replace(tzinfo=UTC)


def from_marquez(server: str | HttpTarget, namespace: str) -> Graph:
    """The graph of one job namespace.

    Datasets are those that a job of the namespace is joined to, or that one of its runs has read or written: Marquez
    has no other notion of whose a dataset is.

    Args:
        server: its address, e.g. ``http://localhost:5000``; or that with the key, headers and certificates that events
            are sent with.
        namespace: of the jobs.

    Raises:
        ConfigError: it does not let us read.
        UnavailableError: it does not answer, or with an error of its own.
        LakehouseError: it answers that the namespace is unknown.
    """
    api = _Api(HttpTarget(server) if isinstance(server, str) else server)
    with ThreadPoolExecutor(CLIENTS) as pool:
        listed = list(api.pages(f"/namespaces/{_q(namespace)}/jobs", "jobs"))
        jobs = {node.id: node for node in pool.map(lambda job: _job(api, job), listed)}
        runs = {run.run_id: run for job in jobs.values() for run in job.runs}
        touched = {name for job in jobs.values() for name in job.inputs | job.outputs}
        touched |= {name for run in runs.values() for name in run.inputs | run.outputs}
        names = sorted(touched)
        datasets = dict(zip(names, pool.map(lambda name: _dataset(api, name, runs), names), strict=True))
        edges = frozenset(edge for found in pool.map(lambda name: _columns(api, name), names) for edge in found)
    return Graph(jobs, datasets, edges)


def _job(api: _Api, listed: Json) -> JobNode:
    """A job; its edges are those that the lineage endpoint draws.

    ``inputs`` and ``outputs`` of the list are those of the run that *began* last, ``/jobs/{name}`` keeps edges that an
    event with empty lists has taken away: both differ from the picture a person sees.
    """
    job_id = JobId(listed["namespace"], listed["name"])
    path = f"/namespaces/{_q(job_id.namespace)}/jobs/{_q(job_id.name)}"
    runs = [_run(told) for told in api.pages(f"{path}/runs", "runs")]
    # After a job event a job has its facets nowhere but here; else this answer mixes those of all runs of a version.
    facets = listed["facets"] or api.get(path)["facets"] or {}
    drawn = api.get("/lineage", nodeId=f"job:{job_id.namespace}:{job_id.name}", depth="0")["graph"]
    node: Json = next((each for each in drawn if each["type"] == "JOB" and each["data"]["name"] == job_id.name), {})
    data = node.get("data") or {}
    parent = listed["parentJobName"]
    latest = (listed["latestRun"] or {}).get("id")
    platform = read.platform(facets)
    return JobNode(
        id=job_id,
        simple_name=job_id.name.removeprefix(f"{parent}.") if parent else job_id.name,
        parent=parent,
        inputs=frozenset(Dataset(each["namespace"], each["name"]) for each in data.get("inputs") or ()),
        outputs=frozenset(Dataset(each["namespace"], each["name"]) for each in data.get("outputs") or ()),
        latest=next((run for _, run in runs if run.run_id == latest), None),
        runs=tuple(run for _, run in sorted(runs, key=lambda pair: pair[0], reverse=True)),
        layer=platform.layer,
        domain=platform.domain,
        description=listed["description"] or "",
        owners=read.owners(facets),
        source_path=read.source_path(facets),
        sql=read.sql(facets),
        language=read.job_kind(facets),
    )


def _run(told: Json) -> tuple[tuple[datetime, datetime], Run]:
    """A run and when it changed last, which is what runs are sorted by."""
    facets = told["facets"]
    started, ended = _time(told["startedAt"]), _time(told["endedAt"])
    written: dict[Dataset, Volume] = {}
    for version in told["outputDatasetVersions"]:
        found = read.volume(version["facets"])
        if found != Volume() or _named(version) not in written:
            written[_named(version)] = found
    run = Run(
        run_id=told["id"],
        state=told["state"],
        started_at=started,
        ended_at=ended,
        duration=told["durationMs"] / 1000 if told["durationMs"] is not None else None,
        error=read.error(facets),
        inputs=frozenset(_named(version) for version in told["inputDatasetVersions"]),
        outputs=frozenset(written),
        written=written,
        dagster_run=read.dagster_run(facets),
        url=read.url(facets),
    )
    return (read.time(told["updatedAt"]), started or _NEVER), run


def _dataset(api: _Api, name: Dataset, runs: Mapping[str, Run]) -> DatasetNode:
    """A dataset; asked for by name, because a list of datasets carries the facets of its first ten only."""
    path = f"/namespaces/{_q(name.namespace)}/datasets/{_q(name.name)}"
    told = api.get(path)
    versions = list(api.pages(f"{path}/versions", "versions"))
    versions.sort(key=lambda version: read.time(version["createdAt"]), reverse=True)
    current = next((version for version in versions if version["version"] == told["currentVersion"]), None)
    facets = told["facets"] if current else (versions[0]["facets"] if versions else {})
    platform = read.platform(facets)
    run = runs.get((current["createdByRun"] or {}).get("id", "")) if current else None
    return DatasetNode(
        id=name,
        columns=_in_order(told["fields"], current),
        current=_version(current) if current else None,
        versions=tuple(_version(version) for version in versions),
        assertions=read.assertions(facets) if current else (),
        deleted=told["deleted"],
        kind=platform.kind,
        layer=platform.layer,
        domain=platform.domain,
        description=told["description"] or "",
        owners=read.owners(facets),
        source_uri=read.source_uri(facets),
        volume=run.written.get(name, Volume()) if run else Volume(),
    )


def _in_order(fields: list[Json], current: Json | None) -> tuple[Column, ...]:
    """The fields of a dataset, which come sorted by name, in the order in which the current version declares them."""
    declared = [(each["name"], each["type"]) for each in (current or {"fields": []})["fields"]]
    place = {key: index for index, key in reversed(list(enumerate(declared)))}
    return tuple(
        sorted((_column(each) for each in fields), key=lambda each: place.get((each.name, each.type), len(place)))
    )


def _version(told: Json) -> Version:
    run = told["createdByRun"]
    columns = tuple(_column(each) for each in told["fields"])
    return Version(run["id"] if run else None, read.time(told["createdAt"]), columns)


def _columns(api: _Api, name: Dataset) -> set[ColumnEdge]:
    """Column edges into one dataset.

    By the dataset, not the field: after a column has changed its type, its own node answers 500 for ever. By
    ``inEdges``, not ``inputFields``: those are of one version only. A dataset without column edges may answer 404.
    """
    graph = api.get("/column-lineage", missing={"graph": []}, nodeId=f"dataset:{name.namespace}:{name.name}", depth="1")
    fields = {node["id"]: _field(node["data"]) for node in graph["graph"]}
    edges = (edge for node in graph["graph"] for edge in node["inEdges"])
    found = (ColumnEdge(fields[edge["destination"]], fields[edge["origin"]]) for edge in edges)
    return {edge for edge in found if edge.target.dataset == name}


def _field(told: Json) -> Field:
    return Field(Dataset(told["namespace"], told["dataset"]), told["field"])


def _column(told: Json) -> Column:
    return Column(told["name"], told["type"] or "", told["description"] or "")


def _named(version: Json) -> Dataset:
    told = version["datasetVersionId"]
    return Dataset(told["namespace"], told["name"])


def _time(text: str | None) -> datetime | None:
    return read.time(text) if text else None


def _q(text: str) -> str:
    return quote(text, safe="")


class _Api:
    """GET requests to one server; used by several threads."""

    def __init__(self, server: HttpTarget) -> None:
        from lineage.transport import connections

        self.url = f"{server.url.rstrip('/').removesuffix('/api/v1')}/api/v1"
        self._pool: HTTPConnectionPool
        self._pool, self._path = connections(dataclasses.replace(server, url=self.url), CLIENTS)
        self._headers = {name: value for name, value in server.headers.items() if name.lower() != "content-type"}
        self._headers["Accept"] = "application/json"

    def get(self, path: str, *, missing: Json | None = None, **query: str) -> Json:
        """One answer.

        Args:
            path: below ``/api/v1``.
            missing: what to return for 404; None: that is an error.
            query: parameters.
        """
        import json

        import urllib3

        where = f"{path}?{urlencode(query)}" if query else path
        try:
            # Not redirected: the key is for this server.
            answer = self._pool.request(
                "GET",
                self._path + where,
                headers=self._headers,
                timeout=urllib3.Timeout(TIMEOUT_SECONDS),
                retries=False,
                redirect=False,
            )
        except urllib3.exceptions.HTTPError as error:
            raise UnavailableError(
                f"Marquez at {self.url} does not answer: {error}", remedy="Check the URL and that the server runs."
            ) from error
        if answer.status == 404 and missing is not None:
            return missing
        if answer.status in {401, 403, 407}:
            raise ConfigError(
                f"The lineage server at {self.url} does not let us read its graph ({answer.status}).",
                remedy="Correct OPENLINEAGE_API_KEY, or auth in openlineage.yml: the key is sent as with events.",
            )
        if 400 <= answer.status < 500:
            raise LakehouseError(
                f"Marquez has nothing at {where} ({answer.status}).",
                remedy="`lakehouse lineage status` says what was delivered, and into which namespace.",
            )
        if answer.status != 200:
            raise UnavailableError(f"Marquez answered {answer.status} to {where}.", remedy="Its log has the reason.")
        body: Json = json.loads(answer.data)
        return body

    def pages(self, path: str, key: str) -> Iterator[Json]:
        """All items of a list."""
        offset = 0
        while items := self.get(path, limit=str(PAGE), offset=str(offset))[key]:
            yield from items
            offset += len(items)
            if len(items) < PAGE:
                return
