"""What an SQL expression is made of: input columns with how they go into it.

What belongs here: value types of the column reader, and expressions (columns, functions, CASE, aggregates, windows,
structs, lambdas). What does not: queries (:mod:`lineage.sql_queries`). sqlglot parses; what it means is decided here:
sqlglot's own lineage neither knows DuckDB's ``UNION ALL BY NAME``, ``GROUP BY ALL`` and recursive ``unnest`` nor tells
how a column is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from sqlglot import exp

from lineage.catalog import Transformed

Sources = frozenset[Transformed]
NOTHING: Sources = frozenset()
STRENGTH = {"IDENTITY": 0, "TRANSFORMATION": 1, "AGGREGATION": 2}
AGGREGATES = frozenset((
    "arg_max_null", "arg_min_null", "arbitrary", "bit_and", "bit_or", "bit_xor",
    "bool_and", "bool_or", "fsum", "favg", "geomean", "histogram",
    "kahan_sum", "list", "mad", "max_by", "min_by", "mode",
    "product", "quantile_cont", "quantile_disc", "reservoir_quantile", "approx_quantile", "entropy",
    "kurtosis", "skewness", "sumkahan", "string_agg", "weighted_avg",
))  # fmt: skip
"""Aggregates of DuckDB that sqlglot knows as plain functions."""


@dataclass(frozen=True)
class Value:
    """What a value comes from.

    Attributes:
        sources: input columns with how they go into it.
        parts: fields of a struct, or of the structs of a list, where known.
    """

    sources: Sources = NOTHING
    parts: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Relation:
    """What a relation's columns come from.

    Attributes:
        columns: name in lower case → value.
        rows: what decided which rows there are (INDIRECT).
        any_column: makes the value of a column of a dataset whose columns nobody declared.
        known: False for a relation that is neither declared nor part of the statement.
    """

    columns: dict[str, Value] = field(default_factory=dict)
    rows: Sources = NOTHING
    any_column: Callable[[str], Value] | None = None
    known: bool = True


@dataclass
class Scope:
    """The relations that an expression sees, its own aliases, and the scope around it.

    Attributes:
        relations: alias in lower case → relation, in the order of FROM.
        aliases: values of the SELECT list by alias; DuckDB lets later expressions use them.
        bound: variables of lambdas and comprehensions, which hide columns.
        outer: the scope around, for correlated subqueries.
        query: reads a subquery in this scope.
        unknown_used: a relation that nobody knows was read by a subquery of the expression.
    """

    relations: dict[str, Relation]
    query: Callable[[exp.Expression, Scope], Relation]
    outer: Scope | None = None
    aliases: dict[str, Value] = field(default_factory=dict)
    bound: dict[str, Value] = field(default_factory=dict)
    unknown_used: bool = False

    def value(self, node: Any) -> Value:
        """What an expression comes from; nothing for what is no expression."""
        return _value(node, self) if isinstance(node, exp.Expression) else Value()

    def sources(self, nodes: Iterable[Any]) -> Sources:
        """What several expressions come from, together."""
        return frozenset().union(*(self.value(node).sources for node in nodes))

    def column(self, names: list[str]) -> Value:
        """A column by its dotted name: ``column``, ``table.column``, or fields of a struct behind either."""
        found = self._own(names)
        if found is None and self.outer is not None:
            return self.outer.column(names)
        return found if found is not None else Value()

    def _own(self, names: list[str]) -> Value | None:
        first, rest = names[0].lower(), names[1:]
        if first in self.bound:
            return _parts(self.bound[first], rest)
        if rest and (relation := self.relations.get(first)) is not None:
            found = _of(relation, rest[0])
            if found is not None:
                return _parts(found, rest[1:])
        for relation in self.relations.values():
            if first in relation.columns:
                return _parts(relation.columns[first], rest)
        if first in self.aliases:
            return _parts(self.aliases[first], rest)
        open_ones = [relation for relation in self.relations.values() if relation.any_column is not None]
        if len(open_ones) == 1 and len(self.relations) == 1:
            return _of(open_ones[0], first)
        return None


def through(value: Value, subtype: str) -> Value:
    """A value after a function: what went in directly now goes in by at least this much; parts likewise."""
    return Value(
        frozenset(
            replace(source, subtype=subtype)
            if source.kind == "DIRECT" and STRENGTH[source.subtype] < STRENGTH[subtype]
            else source
            for source in value.sources
        ),
        {name: through(part, subtype) for name, part in value.parts.items()},
    )


def influence(sources: Iterable[Transformed], subtype: str) -> Sources:
    """The same columns as an influence: they decide, their values do not go in."""
    return frozenset(Transformed(source.field, "INDIRECT", subtype) for source in sources)


def together(values: Iterable[Value]) -> Value:
    """One value that may be any of several."""
    values = list(values)
    names = dict.fromkeys(name for value in values for name in value.parts)
    return Value(
        frozenset().union(*(value.sources for value in values)),
        {name: together(value.parts[name] for value in values if name in value.parts) for name in names},
    )


def _of(relation: Relation, name: str) -> Value | None:
    found = relation.columns.get(name.lower())
    return relation.any_column(name) if found is None and relation.any_column is not None else found


def _parts(value: Value, names: list[str]) -> Value:
    for name in names:
        value = value.parts.get(name.lower()) or through(Value(value.sources), "TRANSFORMATION")
    return value


def _value(node: exp.Expression, scope: Scope) -> Value:
    if _has_lambda(node):
        return _with_lambda(node, scope)
    for kind, read in _READERS:
        if isinstance(node, kind):
            return read(node, scope)
    if isinstance(node, exp.AggFunc) or (isinstance(node, exp.Anonymous) and node.name.lower() in AGGREGATES):
        return _aggregate(node, scope)
    return through(together([scope.value(child) for child in node.iter_expressions()]), "TRANSFORMATION")


def _column(node: exp.Column, scope: Scope) -> Value:
    return scope.column([part.name for part in node.parts])


def _inside(node: exp.Expression, scope: Scope) -> Value:
    return scope.value(node.this)


def _cast(node: exp.Cast, scope: Scope) -> Value:
    return through(scope.value(node.this), "TRANSFORMATION")


def _case(node: exp.Case, scope: Scope) -> Value:
    branches = node.args.get("ifs") or []
    conditions = [*([node.this] if node.this else []), *(branch.this for branch in branches)]
    results = [*(branch.args["true"] for branch in branches), node.args.get("default")]
    return _chosen(conditions, results, scope)


def _if(node: exp.If, scope: Scope) -> Value:
    return _chosen([node.this], [node.args.get("true"), node.args.get("false")], scope)


def _chosen(conditions: Iterable[Any], results: Iterable[Any], scope: Scope) -> Value:
    value = through(together([scope.value(result) for result in results]), "TRANSFORMATION")
    return Value(value.sources | influence(scope.sources(conditions), "CONDITIONAL"), value.parts)


def _filter(node: exp.Filter, scope: Scope) -> Value:
    value = scope.value(node.this)
    return Value(value.sources | influence(scope.sources([node.expression.this]), "CONDITIONAL"), value.parts)


def _aggregate(node: exp.Expression, scope: Scope) -> Value:
    first = node.this if isinstance(node.this, exp.Expression) else None
    others = list(node.expressions)
    if isinstance(node, exp.Anonymous):
        first, others = (others[0] if others else None), others[1:]
    elif isinstance(node.args.get("expression"), exp.Expression):
        others.append(node.args["expression"])
    order: Sources = NOTHING
    if isinstance(first, exp.Order):
        order = influence(scope.sources(item.this for item in first.expressions), "SORT")
        first = first.this
    if isinstance(first, exp.Distinct):
        first, *more = first.expressions
        others += more
    value = through(scope.value(first), "AGGREGATION")
    deciding = influence(scope.sources(others), "CONDITIONAL")  # arg_max(value, by): which value it is
    return Value(value.sources | deciding | order, value.parts)


def _window(node: exp.Window, scope: Scope) -> Value:
    value = through(scope.value(node.this), "TRANSFORMATION")
    order = node.args.get("order")
    over = [*(node.args.get("partition_by") or []), *(item.this for item in (order.expressions if order else []))]
    return Value(value.sources | influence(scope.sources(over), "WINDOW"), value.parts)


def _subquery(node: exp.Expression, scope: Scope) -> Value:
    """A query as a value: its columns; where none of them is used as such (IN, EXISTS), the caller makes influences."""
    found = scope.query(node, scope)
    scope.unknown_used |= not found.known
    value = through(together(found.columns.values()), "TRANSFORMATION")
    return Value(value.sources | found.rows, value.parts)


def _in(node: exp.In, scope: Scope) -> Value:
    asked = node.args.get("query")
    children = [node.this, *node.expressions, *([asked] if asked else [])]
    return through(Value(scope.sources(children)), "TRANSFORMATION")


def _struct(node: exp.Struct, scope: Scope) -> Value:
    parts = {item.this.name.lower(): scope.value(item.expression) for item in node.find_all(exp.PropertyEQ)}
    parts |= {item.alias.lower(): scope.value(item.this) for item in node.expressions if isinstance(item, exp.Alias)}
    return Value(through(together([Value(part.sources) for part in parts.values()]), "TRANSFORMATION").sources, parts)


def _dot(node: exp.Dot, scope: Scope) -> Value:
    return _parts(scope.value(node.this), [node.expression.name])


def _bracket(node: exp.Bracket, scope: Scope) -> Value:
    value = scope.value(node.this)
    key = node.expressions[0] if len(node.expressions) == 1 else None
    if isinstance(key, exp.Literal) and key.is_string:
        return _parts(value, [key.name])
    return Value(through(value, "TRANSFORMATION").sources | scope.sources(node.expressions), value.parts)


def _list(node: exp.Expression, scope: Scope) -> Value:
    """A list: its elements' fields stay known."""
    return through(together([scope.value(item) for item in node.expressions]), "TRANSFORMATION")


def _comprehension(node: exp.Comprehension, scope: Scope) -> Value:
    over = through(scope.value(node.args["iterator"]), "TRANSFORMATION")
    inner = replace(scope, bound={**scope.bound, node.expression.name.lower(): over})
    value = through(together([inner.value(node.this), Value(over.sources)]), "TRANSFORMATION")
    return Value(value.sources | influence(inner.sources([node.args.get("condition")]), "CONDITIONAL"), value.parts)


def _with_lambda(node: exp.Expression, scope: Scope) -> Value:
    lists = [scope.value(child) for child in node.iter_expressions() if not isinstance(child, exp.Lambda)]
    over = together(lists)
    made = []
    for child in node.iter_expressions():
        if isinstance(child, exp.Lambda):
            names = {name.name.lower(): over for name in child.expressions}
            made.append(replace(scope, bound={**scope.bound, **names}).value(child.this))
    return through(together([*made, Value(over.sources)]), "TRANSFORMATION")


def _identifier(node: exp.Identifier, scope: Scope) -> Value:
    return scope.bound.get(node.name.lower(), Value())


def _named(node: exp.Expression, scope: Scope) -> Value:
    return scope.value(node.expression)  # name := value


def _nothing(node: exp.Expression, scope: Scope) -> Value:
    return Value()


def _has_lambda(node: exp.Expression) -> bool:
    return isinstance(node, exp.Func) and any(isinstance(child, exp.Lambda) for child in node.iter_expressions())


_READERS: tuple[tuple[Any, Callable[[Any, Scope], Value]], ...] = (
    (exp.Column, _column),
    ((exp.Literal, exp.Null, exp.Boolean, exp.Star, exp.DataType, exp.Interval, exp.Var), _nothing),
    ((exp.Alias, exp.Paren), _inside),
    (exp.Cast, _cast),
    (exp.Case, _case),
    (exp.If, _if),
    (exp.Filter, _filter),
    (exp.Window, _window),
    (exp.In, _in),
    ((exp.Query, exp.Subquery), _subquery),
    (exp.Struct, _struct),
    (exp.Dot, _dot),
    (exp.Bracket, _bracket),
    (exp.Array, _list),
    (exp.Comprehension, _comprehension),
    ((exp.PropertyEQ, exp.Kwarg), _named),
    (exp.Identifier, _identifier),
)
