"""From the events of runs to a graph: what the proof asks its questions of.

What belongs here: one class for each way. What does not: the questions. A back end is asked for growing lists, each of
which begins with the one before, as a server would get them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from lineage.graph import Graph
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


BACKENDS: dict[str, Callable[[], Backend]] = {"outbox": Outbox}
"""Name → makes one."""
