"""Columns that others come from or go into, however many layers away, read off a graph's direct edges."""

from __future__ import annotations

from collections.abc import Callable

from lineage.graph import Graph
from lineage.names import Field


def above(graph: Graph, column: Field) -> set[Field]:
    """All columns that a column comes from; itself left out."""
    return _reached(column, graph.column_sources)


def below(graph: Graph, column: Field) -> set[Field]:
    """All columns that come from a column; itself left out."""
    return _reached(column, graph.column_targets)


def _reached(start: Field, neighbours: Callable[[Field], tuple[Field, ...]]) -> set[Field]:
    seen, waiting = {start}, [start]
    while waiting:
        new = set(neighbours(waiting.pop())) - seen
        seen |= new
        waiting += new
    return seen - {start}
