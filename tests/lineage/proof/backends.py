"""From the events of runs to a graph: what the proof asks its questions of.

What belongs here: one class for each way. What does not: the questions. A back end is asked for growing lists, each of
which begins with the one before, as a server would get them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

from marquez_server import marquez_url, post

from lineage.graph import ColumnEdge, Graph, JobNode, Run
from lineage.marquez import from_marquez
from lineage.names import Dataset, Field
from lineage.reduce import reduce


class Backend(Protocol):
    """Keeps the graph of one job namespace."""

    def graph(self, bodies: Sequence[Mapping[str, Any]]) -> Graph:
        """The graph after these events."""
        ...


class Outbox:
    """The reducer over the outbox, which the page, ``show`` and ``verify`` use."""

    def graph(self, bodies: Sequence[Mapping[str, Any]]) -> Graph:
        """The graph after these events."""
        return reduce(bodies)


class Marquez:
    """A real server. It may know the exposures and ports of other platforms: ours get a prefix on the way there."""

    def __init__(self) -> None:
        self._url = marquez_url()
        self._sent = 0

    def graph(self, bodies: Sequence[Mapping[str, Any]]) -> Graph:
        """The graph that the server shows after these events."""
        [namespace] = {body["job"]["namespace"] for body in bodies if "job" in body}
        post(self._url, (_apart(body, f"://{namespace}-") for body in bodies[self._sent :]))
        self._sent = len(bodies)
        return _together(from_marquez(self._url, namespace), f"://{namespace}-")


BACKENDS: dict[str, Callable[[], Backend]] = {"outbox": Outbox, "marquez": Marquez}
"""Name → makes one."""


def _apart(told: Any, prefix: str) -> Any:
    """The same with every dataset namespace that is no plain word changed."""
    if isinstance(told, Mapping):
        return {
            key: value.replace("://", prefix) if key == "namespace" else _apart(value, prefix)
            for key, value in told.items()
        }
    return [_apart(each, prefix) for each in told] if isinstance(told, list) else told


def _together(graph: Graph, prefix: str) -> Graph:
    """The graph with the names that the events had."""

    def name(of: Dataset) -> Dataset:
        return Dataset(of.namespace.replace(prefix, "://"), of.name)

    def names(of: Iterable[Dataset]) -> frozenset[Dataset]:
        return frozenset(map(name, of))

    def run(told: Run) -> Run:
        written = {name(each): volume for each, volume in told.written.items()}
        return replace(told, inputs=names(told.inputs), outputs=names(told.outputs), written=written)

    def job(told: JobNode) -> JobNode:
        latest = run(told.latest) if told.latest else None
        runs = tuple(map(run, told.runs))
        return replace(told, inputs=names(told.inputs), outputs=names(told.outputs), latest=latest, runs=runs)

    return Graph(
        {key: job(told) for key, told in graph.jobs.items()},
        {name(key): replace(told, id=name(key)) for key, told in graph.datasets.items()},
        frozenset(
            ColumnEdge(*(Field(name(end.dataset), end.column) for end in (edge.source, edge.target)))
            for edge in graph.columns
        ),
    )
