"""Two lineage graphs side by side: what one says and the other does not, in words a test can print.

What belongs here: the comparison. What does not: making either graph.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from lineage.graph import Graph


def differences(left: Graph, right: Graph) -> list[str]:
    """What differs, one line each; empty where both graphs say the same.

    The order of a dataset's columns is not compared: where the current version declares none, a server has none.
    """
    return [
        *_nodes("job", left.jobs, right.jobs),
        *_nodes("dataset", _sorted(left), _sorted(right)),
        *(f"column edge only on the left: {edge}" for edge in sorted(left.columns - right.columns)),
        *(f"column edge only on the right: {edge}" for edge in sorted(right.columns - left.columns)),
    ]


def _sorted(graph: Graph) -> dict[Any, Any]:
    return {
        name: replace(node, columns=tuple(sorted(node.columns, key=lambda column: (column.name, column.type))))
        for name, node in graph.datasets.items()
    }


def _nodes(kind: str, left: Any, right: Any) -> list[str]:
    found = [f"{kind} {key} only on the left" for key in sorted(left.keys() - right.keys())]
    found += [f"{kind} {key} only on the right" for key in sorted(right.keys() - left.keys())]
    for key in sorted(left.keys() & right.keys()):
        for part in fields(left[key]):
            one, other = getattr(left[key], part.name), getattr(right[key], part.name)
            if one != other:
                found.append(f"{kind} {key}, {part.name}:\n    {_shown(one)}\n    {_shown(other)}")
    return found


def _shown(value: Any) -> str:
    return "\n    ".join(map(str, sorted(value))) if isinstance(value, frozenset) else str(value)
