"""The SQL that finds the rows of one relation: a plan's keys, conditions and joins, rendered for DuckDB.

What belongs here: text. What does not: deciding what to look for (:mod:`lineage.trace.reach`) or running it.
Values never stand in the text: they are in a temporary table, and those that also stand in a filter, to let DuckDB
skip what cannot match, are rendered by the parser's own literals.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from lakehouse.sql import identifier
from lineage.trace.expressions import leaves_of
from lineage.trace.reach import Reach, unnests
from lineage.trace.values import Relation

if TYPE_CHECKING:
    from sqlglot.expressions import Expr

NUMBER = "__trace_row"


def quoted(name: Relation | str) -> str:
    """An identifier, or a relation's two, for SQL."""
    if isinstance(name, Relation):
        return identifier(name.schema, name.name)
    return identifier(name)


def rows_sql(source: str, reaches: Sequence[Reach], demand: str, literals: Mapping[str, Sequence[Any]]) -> str:
    """A query for the rows of one relation that any of these plans finds, each once.

    Args:
        source: the relation, or a query in brackets.
        reaches: plans for it.
        demand: table of the key values looked for.
        literals: keys whose values may stand in a filter.
    """
    if len(reaches) == 1 and not reaches[0].joins:
        return f"SELECT {reaches[0].leaf}.* FROM {source} AS {reaches[0].leaf}{_where(reaches[0], demand, literals)}"
    inside = f"SELECT * FROM {source}"
    if len(reaches) == 1:  # what its own columns say already narrows the rows that are joined
        alone = {key: expr for key, expr in reaches[0].keys.items() if leaves_of(expr) == {reaches[0].leaf}}
        inside = rows_sql(source, [replace(reaches[0], keys=alone, joins=())], demand, literals)
    numbered = f"WITH numbered AS MATERIALIZED (SELECT *, row_number() OVER () AS {NUMBER} FROM ({inside}))"
    found = " OR ".join(f"{NUMBER} IN ({_numbers(reach, demand, literals)})" for reach in reaches)
    return f"{numbered} SELECT * EXCLUDE ({NUMBER}) FROM numbered WHERE {found}"


def same_rows(reaches: Sequence[Reach]) -> list[Reach]:
    """Plans that find the same rows, once."""
    found: dict[str, Reach] = {}
    for reach in reaches:
        names = {reach.leaf: "u"} | {joined.leaf: f"j{index}" for index, joined in enumerate(reach.joins)}
        parts = [f"{key}={_renamed(expr, names)}" for key, expr in sorted(({**reach.keys, **reach.constants}).items())]
        parts += sorted(_renamed(expr, names) for expr in reach.conditions)
        for joined in reach.joins:
            parts += [f"{joined.relation} {joined.outer}", *(_renamed(expr, names) for expr in joined.on)]
        found.setdefault("\n".join(parts), reach)
    return list(found.values())


def _numbers(reach: Reach, demand: str, literals: Mapping[str, Sequence[Any]]) -> str:
    joins = "".join(
        f" {'LEFT' if joined.outer else 'INNER'} JOIN {quoted(joined.relation)} AS {joined.leaf}"
        f" ON {' AND '.join(map(_sql, joined.on)) or 'true'}"
        for joined in reach.joins
    )
    return f"SELECT {reach.leaf}.{NUMBER} FROM numbered AS {reach.leaf}{joins}{_where(reach, demand, literals)}"


def _where(reach: Reach, demand: str, literals: Mapping[str, Sequence[Any]]) -> str:
    condition = demand_condition(reach)
    joined = f" SEMI JOIN {demand} AS d ON {condition}" if condition else ""
    filters = [f"({_sql(expr)})" for expr in reach.conditions]
    for key, expr in reach.keys.items():
        if key in literals and not unnests(expr):
            filters.append(f"({_sql(expr)}) IN ({', '.join(map(_literal, literals[key]))})")
    return joined + (f" WHERE {' AND '.join(filters)}" if filters else "")


def demand_condition(reach: Reach) -> str:
    """The comparison of a plan's expressions with the values looked for (alias ``d``)."""
    parts = []
    for key, expr in ({**reach.keys, **reach.constants}).items():
        if unnests(expr):
            parts.append(f"list_contains({_listed(expr)}, d.{quoted(key)})")
        else:
            parts.append(f"({_sql(expr)}) IS NOT DISTINCT FROM d.{quoted(key)}")
    return " AND ".join(parts)


def _listed(expr: Expr) -> str:
    """``f(unnest(list))`` as the list of all f."""
    from sqlglot import exp

    copy = expr.copy()
    spread = copy.find(exp.Explode)
    if spread is None:
        return _sql(copy)
    items = _sql(spread.this)
    if spread is copy:
        return items
    spread.replace(exp.to_identifier("trace_item"))
    return f"list_transform({items}, lambda trace_item : {_sql(copy)})"


def _sql(expr: Expr) -> str:
    return expr.sql(dialect="duckdb", comments=False)


def _renamed(expr: Expr, names: Mapping[str, str]) -> str:
    from sqlglot import exp

    copy = expr.copy()
    for column in copy.find_all(exp.Column):
        if column.table in names:
            column.set("table", exp.to_identifier(names[column.table]))
    return _sql(copy)


def _literal(value: Any) -> str:
    from sqlglot import exp

    if isinstance(value, str):
        return exp.Literal.string(value).sql(dialect="duckdb")
    if isinstance(value, dt.datetime):
        kind = "TIMESTAMP" if value.tzinfo is None else "TIMESTAMPTZ"
        return f"{kind} '{value.isoformat(sep=' ')}'"
    if isinstance(value, dt.date):
        return f"DATE '{value.isoformat()}'"
    return repr(value) if isinstance(value, float) else str(value)
