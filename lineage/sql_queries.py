"""What a query's columns are made of: FROM, joins, CTEs, set operations, grouping, sorting, stars.

What belongs here: queries. What does not: expressions (:mod:`lineage.sql_values`), and which relations there are
(:mod:`lineage.columns`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from sqlglot import exp

from lineage.sql_values import (
    NOTHING,
    Relation,
    Scope,
    Sources,
    Value,
    influence,
    through,
    together,
)

UNKNOWN = Relation(known=False)
Lookup = Callable[[exp.Table], Relation]
"""A table or table function that is no CTE → what is known of it; :data:`UNKNOWN` where nothing is."""


class Queries:
    """Reads queries.

    Args:
        lookup: relations from outside the statement.
    """

    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup

    def read(self, node: Any, named: Mapping[str, Relation], outer: Scope | None = None) -> Relation:
        """What a query gives.

        Args:
            node: a SELECT, set operation, VALUES, or any of them in brackets.
            named: CTEs in sight, by name in lower case.
            outer: the scope around a subquery.
        """
        named = {**named, **self._named(node, named, outer)}
        if isinstance(node, exp.Subquery):
            inside = self.read(node.this, named, outer)
            return self._sorted(node, self._aliased(inside, node), Scope({"": inside}, self._within(named), outer))
        if isinstance(node, exp.SetOperation):
            return self._set_operation(node, named, outer)
        if isinstance(node, exp.Select):
            return self._select(node, named, outer)
        if isinstance(node, exp.Table):
            return self._table(node, named)
        if isinstance(node, exp.Values):
            names = [column.name.lower() for column in (node.args["alias"].columns if node.args.get("alias") else [])]
            return Relation({name: Value() for name in names})
        return UNKNOWN

    def _named(self, node: Any, named: Mapping[str, Relation], outer: Scope | None) -> dict[str, Relation]:
        found: dict[str, Relation] = {}
        if not isinstance(node, exp.Query) or not (clause := node.args.get("with_")):
            return found
        for cte in clause.expressions:
            name = cte.alias.lower()
            seen = {**named, **found}
            if clause.args.get("recursive") and isinstance(cte.this, exp.SetOperation):
                seen[name] = self._aliased(self.read(cte.this.left, seen, outer), cte)
            found[name] = self._aliased(self.read(cte.this, seen, outer), cte)
        return found

    def _within(self, named: Mapping[str, Relation]) -> Callable[[exp.Expression, Scope], Relation]:
        return lambda node, scope: self.read(node, named, scope)

    def _select(self, node: exp.Select, named: Mapping[str, Relation], outer: Scope | None) -> Relation:
        scope = Scope({}, self._within(named), outer)
        rows = self._from(node, named, scope)
        columns, computed = self._projections(node, scope)
        scope.aliases = columns
        rows |= self._condition(node.args.get("where"), scope)
        rows |= self._condition(node.args.get("having"), scope)
        rows |= self._condition(node.args.get("qualify"), scope)
        if group := node.args.get("group"):
            rows |= influence(self._grouping(group, computed, scope), "GROUP_BY")
        if distinct := node.args.get("distinct"):
            on = distinct.args.get("on")
            keys = scope.sources(on.expressions) if on else together(columns.values()).sources
            rows |= influence(keys, "GROUP_BY")
        known = all(relation.known for relation in scope.relations.values())
        return self._sorted(node, Relation(columns, rows, known=known), scope)

    def _from(self, node: exp.Select, named: Mapping[str, Relation], scope: Scope) -> Sources:
        rows: Sources = NOTHING
        sources: list[tuple[Any, exp.Join | None]] = []
        if (start := node.args.get("from_")) is not None:
            sources.append((start.this, None))
            sources += [(join.this, join) for join in start.this.args.get("joins") or []]
        sources += [(lateral, None) for lateral in node.args.get("laterals") or []]
        sources += [(join.this, join) for join in node.args.get("joins") or []]
        for source, join in sources:
            relation = self._source(source, named, scope)
            rows |= relation.rows
            alias = (source.alias_or_name or f"#{len(scope.relations)}").lower()
            for key in join.args.get("using") or [] if join else []:
                both = [*scope.relations.values(), relation]
                values = [side.columns[key.name.lower()] for side in both if key.name.lower() in side.columns]
                rows |= influence(together(values).sources, "JOIN")
            scope.relations[alias] = relation
            if join and join.args.get("on") is not None:
                rows |= influence(scope.sources([join.args["on"]]), "JOIN")
        return rows

    def _source(self, node: Any, named: Mapping[str, Relation], scope: Scope) -> Relation:
        if isinstance(node, exp.Lateral):
            return self._source(node.this, named, scope)
        if isinstance(node, exp.Table):
            return self._aliased(self._table(node, named), node)
        if isinstance(node, exp.Unnest | exp.Explode):
            return _unnested(together([scope.value(item) for item in node.expressions or [node.this]]), node)
        return self.read(node, named, scope)

    def _table(self, node: exp.Table, named: Mapping[str, Relation]) -> Relation:
        if isinstance(node.this, exp.Identifier) and not node.args.get("db") and node.name.lower() in named:
            return named[node.name.lower()]
        return self._lookup(node)

    def _aliased(self, relation: Relation, node: Any) -> Relation:
        alias = node.args.get("alias")
        names = [column.name.lower() for column in alias.args.get("columns") or []] if alias else []
        if not names:
            return relation
        values = list(relation.columns.values())
        renamed = dict(zip(names, values, strict=False)) | dict(list(relation.columns.items())[len(names) :])
        return replace(relation, columns=renamed)

    def _projections(self, node: exp.Select, scope: Scope) -> tuple[dict[str, Value], list[tuple[bool, Value]]]:
        """Columns by name, and in order whether each aggregates."""
        columns: dict[str, Value] = {}
        computed: list[tuple[bool, Value]] = []
        for item in node.expressions:
            scope.aliases = columns  # an expression may use the aliases before it
            for name, value in self._projection(item, scope):
                columns[name] = value
                computed.append((_aggregates(item), value))
        return columns, computed

    def _projection(self, item: exp.Expression, scope: Scope) -> Iterable[tuple[str, Value]]:
        star = item.this if isinstance(item, exp.Column) and isinstance(item.this, exp.Star) else item
        if isinstance(star, exp.Star):
            table = item.table.lower() if isinstance(item, exp.Column) else None
            yield from self._star(star, table, scope)
            return
        inner = item.unalias()
        if isinstance(inner, exp.Explode | exp.Unnest):
            value = scope.value(inner.this if isinstance(inner, exp.Explode) else inner.expressions[0])
            recursive = any(part.name.lower() == "recursive" for part in inner.find_all(exp.PropertyEQ))
            recursive = recursive or "recursive" in inner.sql("duckdb").lower()
            if recursive and value.parts:
                yield from value.parts.items()
                return
            yield item.alias_or_name.lower() or inner.sql("duckdb"), through(value, "TRANSFORMATION")
            return
        yield (item.alias_or_name or item.output_name or item.sql("duckdb")).lower(), scope.value(item)

    def _star(self, star: exp.Star, table: str | None, scope: Scope) -> Iterable[tuple[str, Value]]:
        left_out = {part.name.lower() for part in star.args.get("except_") or []}
        replaced = {part.alias.lower(): scope.value(part.this) for part in star.args.get("replace") or []}
        renamed = {part.this.name.lower(): part.alias.lower() for part in star.args.get("rename") or []}
        for alias, relation in scope.relations.items():
            if table in (None, alias):
                for name, value in relation.columns.items():
                    if name not in left_out:
                        yield renamed.get(name, name), replaced.get(name, value)

    def _condition(self, clause: Any, scope: Scope) -> Sources:
        """Columns of a WHERE, HAVING or QUALIFY.

        One that asks a relation nobody declared (an incremental run's temporary table) says what this run rebuilds, not
        what the relation holds: it is left out, so that a full and an incremental run tell the same.
        """
        if clause is None:
            return NOTHING
        asked = replace(scope, unknown_used=False)
        found = asked.sources([clause.this])
        return NOTHING if asked.unknown_used else influence(found, "FILTER")

    def _grouping(self, group: exp.Group, computed: list[tuple[bool, Value]], scope: Scope) -> Sources:
        if group.args.get("all"):
            return frozenset().union(*(value.sources for aggregates, value in computed if not aggregates))
        keys: list[Any] = list(group.expressions)
        for name in ("cube", "rollup", "grouping_sets"):
            keys += group.args.get(name) or []
        return frozenset().union(*(self._key(key, computed, scope) for key in keys))

    def _key(self, key: exp.Expression, computed: list[tuple[bool, Value]], scope: Scope) -> Sources:
        if isinstance(key, exp.Literal) and not key.is_string:  # by the place in the SELECT list
            place = int(key.this) - 1
            return computed[place][1].sources if 0 <= place < len(computed) else NOTHING
        return scope.value(key).sources

    def _sorted(self, node: exp.Expression, made: Relation, scope: Scope) -> Relation:
        order = node.args.get("order")
        if order is None:
            return made
        scope = replace(scope, aliases={**scope.aliases, **made.columns})
        columns = [(False, value) for value in made.columns.values()]
        found: Sources = NOTHING
        for item in order.expressions:
            key = item.this if isinstance(item, exp.Ordered) else item
            if isinstance(key, exp.Var) and key.name.upper() == "ALL":
                found |= together(made.columns.values()).sources
            else:
                found |= self._key(key, columns, scope)
        return replace(made, rows=made.rows | influence(found, "SORT"))

    def _set_operation(self, node: exp.SetOperation, named: Mapping[str, Relation], outer: Scope | None) -> Relation:
        left, right = self.read(node.left, named, outer), self.read(node.right, named, outer)
        if node.args.get("by_name"):
            names = dict.fromkeys([*left.columns, *right.columns])
            sides = (left.columns, right.columns)
            columns = {name: together(side[name] for side in sides if name in side) for name in names}
        else:
            others = [*right.columns.values()]
            pairs = enumerate(left.columns.items())
            columns = {name: together([value, *others[place : place + 1]]) for place, (name, value) in pairs}
        rows = left.rows | right.rows
        if not isinstance(node, exp.Union) or node.args.get("distinct"):
            rows |= influence(together(columns.values()).sources, "GROUP_BY")
        made = Relation(columns, rows, known=left.known and right.known)
        return self._sorted(node, made, Scope({"": made}, self._within(named), outer))


def _unnested(value: Value, node: Any) -> Relation:
    alias = node.args.get("alias")
    names = [column.name.lower() for column in alias.args.get("columns") or []] if alias else []
    name = names[0] if names else (alias.name.lower() if alias else "unnest")
    return Relation({name: through(value, "TRANSFORMATION")})


def _aggregates(node: exp.Expression) -> bool:
    from lineage.sql_values import AGGREGATES

    for found in node.find_all(exp.AggFunc, exp.Anonymous):
        windowed = isinstance(found.parent, exp.Window) or isinstance(found.parent and found.parent.parent, exp.Window)
        named = isinstance(found, exp.AggFunc) or found.name.lower() in AGGREGATES
        if named and not windowed:
            return True
    return False
