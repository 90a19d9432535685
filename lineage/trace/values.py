"""The value types of a model's SQL read backwards.

What belongs here: what an output column is made of, which rows a condition narrows, and one reading of a whole query.
What does not: making them from SQL (:mod:`lineage.trace.branches`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

Kind = Literal["aggregate", "window", "subquery", "constant", "unknown"]


@dataclass(frozen=True, order=True)
class Relation:
    """A table or view by schema and name, in lower case: DuckDB does not tell cases apart."""

    schema: str
    name: str

    def __str__(self) -> str:
        """For messages."""
        return f"{self.schema}.{self.name}"


Schemas = Mapping[Relation, tuple[str, ...]]
"""Columns of each relation that exists, in order."""


@dataclass(frozen=True)
class Value:
    """What a column holds, in terms of the upstream relations' columns.

    Attributes:
        expr: a scalar expression whose columns are those of leaves; None where its way cannot be followed.
        why: the expression that cannot be followed, as SQL.
        kind: what stands in the way.
        elements: for ``list(x)``: x, so that unnesting it leads back to the rows.
        window: for a window function: itself, over leaves' columns.
        depends: where ``expr`` is None: what its value follows from, e.g. the keys of its group; None: not known.
    """

    expr: Expr | None
    why: str = ""
    kind: Kind = "unknown"
    elements: Expr | None = None
    window: Expr | None = None
    depends: tuple[Expr, ...] | None = None


@dataclass(frozen=True)
class Condition:
    """A condition that holds for the rows that go into the result.

    Attributes:
        expr: over leaves' columns.
        into: leaves whose rows it may narrow: the outer side of an outer join keeps its rows whatever the condition.
    """

    expr: Expr
    into: frozenset[str]


@dataclass(frozen=True)
class Dropped:
    """A condition of the model that the trace does not apply.

    Attributes:
        text: as SQL.
        why: ``incremental`` (which rows one build looked at), ``choice`` (one row of several was kept) or ``unclear``.
        depends: what it follows from, see :class:`Value`: where the traced key says all of that, the condition held
            for everything found, as it did for the traced row.
    """

    text: str
    why: Literal["incremental", "choice", "unclear"]
    depends: tuple[Expr, ...] | None = None


@dataclass(frozen=True)
class Choice:
    """Of the rows that agree in ``partition`` the first in ``order`` was kept, over one leaf's columns."""

    partition: tuple[Expr, ...]
    order: tuple[Expr, ...]
    text: str


@dataclass
class Branch:
    """One way in which rows come into a query's result; a union has several.

    Attributes:
        columns: output column → value, in order.
        leaves: id → relation; a relation read twice is two leaves.
        conditions, dropped, choices: see their types.
        opens: why columns that are not in ``columns`` exist all the same (``leaf:<id>`` or a function's name); empty:
            they do not.
        reads_files: a function such as ``read_parquet`` stands in it.
    """

    columns: dict[str, Value] = field(default_factory=dict)
    leaves: dict[str, Relation] = field(default_factory=dict)
    conditions: list[Condition] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    opens: str = ""
    reads_files: bool = False
