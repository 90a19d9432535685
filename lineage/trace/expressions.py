"""Single expressions read backwards: columns replaced by what they are made of, and what cannot be replaced named.

What belongs here: projections, conditions, and the two ways to keep one row of several (a window's first row, and
``arg_max`` over a group). What does not: queries and joins (:mod:`lineage.trace.branches`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lineage.trace.functions import AGGREGATES, KEEPS_LARGEST
from lineage.trace.values import Branch, Choice, Kind, Relation, Schemas, Value

if TYPE_CHECKING:
    from sqlglot.expressions import Column, Expr, Select

META_COLUMNS = frozenset({"_source_file", "_file_row_number", "_arrival_seq", "_ingested_at", "_batch_id"})
"""Columns that say where a row came from; an incremental model filters on them to read what arrived."""


@dataclass
class Names:
    """What names mean inside one SELECT.

    Attributes:
        sources: alias → what it gives.
        schemas: relations that exist.
        common: names of common table expressions.
        group: what one row of the SELECT is determined by, where it has aggregates; None where that is not known.
        projected: the SELECT's own output columns, which DuckDB lets later expressions use.
    """

    sources: dict[str, Branch]
    schemas: Schemas
    common: frozenset[str] = frozenset()
    group: tuple[Expr, ...] | None = None
    projected: dict[str, Value] = field(default_factory=dict)

    def column(self, name: str, table: str = "") -> Value | None:
        """What a column holds; None where there is no such column."""
        name, table = name.lower(), table.lower()
        if table:
            branch = self.sources.get(table)
            return _of_branch(branch, name) if branch is not None else None
        for branch in self.sources.values():
            if name in branch.columns:
                return branch.columns[name]
        if name in self.projected:
            return self.projected[name]
        return next((_of_branch(branch, name) for branch in self.sources.values() if branch.opens), None)


def _of_branch(branch: Branch, name: str) -> Value | None:
    if name in branch.columns:
        return branch.columns[name]
    if branch.opens.startswith("leaf:"):
        return Value(leaf_column(branch.opens.removeprefix("leaf:"), name))
    return Value(None, branch.opens, "unknown") if branch.opens else None


def leaf_column(leaf: str, name: str) -> Column:
    """A column of a leaf."""
    from sqlglot import exp

    return exp.column(exp.to_identifier(name.lower(), quoted=True), exp.to_identifier(leaf))


def leaves_of(expr: Expr) -> frozenset[str]:
    """Ids of the leaves that an expression names."""
    from sqlglot import exp

    return frozenset(column.table for column in expr.find_all(exp.Column) if column.table)


def text(expr: Expr) -> str:
    """An expression as a person would write it, without its leaves' ids."""
    from sqlglot import exp

    copy = expr.copy()
    for column in list(copy.find_all(exp.Column)):
        if column.table.startswith("leaf"):
            column.set("table", None)
        if isinstance(column.this, exp.Identifier) and column.name.isidentifier():
            column.this.set("quoted", False)
    return " ".join(copy.sql(dialect="duckdb", normalize_functions="lower", comments=False).split())


def conjuncts(tree: Expr) -> Iterator[Expr]:
    """The parts of ``a and b and c``."""
    from sqlglot import exp

    tree = tree.unnest()
    if isinstance(tree, exp.And):
        yield from conjuncts(tree.this)
        yield from conjuncts(tree.expression)
    else:
        yield tree


def aggregate_kind(tree: Expr) -> Kind | None:
    """What stands in the way of following an expression: a window, an aggregate, a query; None: nothing.

    Looks into an expression, not into a query inside it; of a SELECT at its own projections.
    """
    from sqlglot import exp

    found: Kind | None = None
    queue = list(tree.expressions) if isinstance(tree, exp.Select) else [tree]
    while queue:
        node = queue.pop()
        if isinstance(node, exp.Window):
            return "window"
        if isinstance(node, exp.Query):
            found = found or "subquery"
            continue
        if isinstance(node, exp.AggFunc) or (isinstance(node, exp.Anonymous) and node.name.lower() in AGGREGATES):
            found = "aggregate"
        queue += list(node.iter_expressions())
    return found


def resolve(tree: Expr, names: Names) -> Value:
    """What an expression is in terms of leaves' columns."""
    from sqlglot import exp

    kind = aggregate_kind(tree)
    if kind == "window":
        inner = tree.find(exp.Window)
        replaced = _replaced(inner, names) if inner is not None and inner is tree else None
        return Value(None, text(tree), "window", window=replaced.expr if replaced is not None else None)
    if kind == "aggregate":
        elements = None
        if isinstance(tree, exp.ArrayAgg) and not isinstance(tree.this, exp.Order | exp.Distinct):
            elements = _replaced(tree.this, names).expr
        return Value(None, text(tree), "aggregate", elements=elements, depends=names.group)
    if kind == "subquery":
        return _membership(tree, names)
    return _replaced(tree, names)


def _replaced(tree: Expr, names: Names) -> Value:
    """Columns replaced by their values; where one has none, what the whole follows from is gathered."""
    from sqlglot import exp

    copy = tree.copy()
    if isinstance(copy, exp.Column):
        return _column(copy, names)
    found: list[tuple[Column, Value]] = []
    for column in list(copy.find_all(exp.Column)):
        if _is_local(column):
            continue
        found.append((column, _column(column, names)))
    lost = [(column, value) for column, value in found if value.expr is None]
    if not lost:
        for column, value in found:
            if value.expr is not None:
                column.replace(_bracketed(value.expr))
        return Value(copy)
    column, first = next((item for item in lost if item[1].kind == "window"), lost[0])
    depends: list[Expr] | None = []
    for _, value in found:
        parts = (value.expr,) if value.expr is not None else value.depends
        depends = None if parts is None or depends is None else [*depends, *parts]
    return Value(
        None,
        first.why,
        first.kind,
        elements=first.elements if _only_passes_on(copy, column) else None,
        depends=None if depends is None else tuple(depends),
    )


def _column(column: Column, names: Names) -> Value:
    from sqlglot import exp

    parts = [part.name for part in column.parts]
    # a.b is a column of a, or a field of the column a; longer names go on with fields.
    ways = (
        [(parts[0], "", parts[1:])]
        if len(parts) == 1
        else [
            (parts[1], parts[0], parts[2:]),
            (parts[0], "", parts[1:]),
        ]
    )
    for name, table, fields in ways:
        value = names.column(name, table)
        if value is None:
            continue
        if value.expr is None or not fields:
            return value if not fields else Value(None, value.why, value.kind)
        whole = _bracketed(value.expr)
        for part in fields:
            whole = exp.Dot(this=whole, expression=exp.to_identifier(part, quoted=True))
        return Value(whole)
    return Value(None, text(column), "unknown")


def _bracketed(expr: Expr) -> Expr:
    from sqlglot import exp

    copy = expr.copy()
    return (
        copy if isinstance(copy, exp.Column | exp.Literal | exp.Func | exp.Paren | exp.Null) else exp.Paren(this=copy)
    )


def _is_local(column: Column) -> bool:
    """Whether a name is the variable of a list comprehension around it."""
    from sqlglot import exp

    node = column.find_ancestor(exp.Comprehension)
    while node is not None:
        if node.expression.name in {column.table, column.name}:
            return True
        node = node.find_ancestor(exp.Comprehension)
    return False


def _only_passes_on(tree: Expr, column: Column) -> bool:
    """Whether ``case when … then column end``: the column or null."""
    from sqlglot import exp

    if not isinstance(tree, exp.Case) or tree.args.get("default") is not None:
        return False
    results = [branch.args["true"] for branch in tree.args["ifs"]]
    return len(results) == 1 and isinstance(results[0], exp.Column) and results[0].name == column.name


def _membership(tree: Expr, names: Names) -> Value:
    """``column in (select … from relations that exist)`` stays as it is; other queries cannot be followed."""
    from sqlglot import exp

    query = tree.args.get("query") if isinstance(tree, exp.In) else None
    if query is not None and aggregate_kind(tree.this) is None:
        tables = list(query.find_all(exp.Table))
        known = all(Relation(table.db.lower(), table.name.lower()) in names.schemas for table in tables)
        if known and not query.find(exp.CTE):
            value = _replaced(tree.this, names)
            if value.expr is not None:
                return Value(exp.In(this=_bracketed(value.expr), query=query.copy()))
            return value
    return Value(None, text(tree)[:200], "subquery")


# -- projections --------------------------------------------------------------------------------------


def project(tree: Select, names: Names) -> tuple[dict[str, Value], dict[str, Value]]:
    """Output columns of a SELECT, twice: as a mapping for its readers, and for its own later expressions."""
    from sqlglot import exp

    columns: dict[str, Value] = {}
    for item in tree.expressions:
        inner = item.this if isinstance(item, exp.Alias) else item
        if inner.is_star:
            for name, value in _star(inner, names):
                columns.setdefault(name, value)
        elif isinstance(inner, exp.Explode):
            for name, value in _unnested(inner, names):
                columns[item.alias.lower() or name] = value
        else:
            columns[item.alias_or_name.lower() or text(item)] = resolve(inner, names)
        names.projected = columns
    return columns, columns


def group_of(tree: Select, names: Names) -> tuple[Expr, ...] | None:
    """What a row of a SELECT with aggregates is determined by; None where it has none, or that cannot be followed."""
    from sqlglot import exp

    group = tree.args.get("group")
    if group is None:
        return () if aggregate_kind(tree) == "aggregate" else None
    if any(group.args.get(name) for name in ("cube", "rollup", "grouping_sets", "totals")):
        return None
    outputs = [item.unalias() for item in tree.expressions]
    named = {item.alias.lower(): item.unalias() for item in tree.expressions if item.alias}
    if group.args.get("all"):
        keys = [item for item in outputs if aggregate_kind(item) is None]
    else:
        keys = []
        for item in group.expressions:
            if isinstance(item, exp.Literal) and not item.is_string:
                keys.append(outputs[int(item.this) - 1])
            elif isinstance(item, exp.Column) and not item.table and names.column(item.name) is None:
                keys.append(named.get(item.name.lower(), item))
            else:
                keys.append(item)
    for alias, item in named.items():  # DuckDB lets an expression name an output column that stands before it
        if aggregate_kind(item) is None:
            names.projected.setdefault(alias, resolve(item, names))
    values = [resolve(item, names).expr for item in keys]
    return None if any(value is None for value in values) else tuple(value for value in values if value is not None)


def _star(star: Expr, names: Names) -> Iterator[tuple[str, Value]]:
    from sqlglot import exp

    table = star.table.lower() if isinstance(star, exp.Column) else ""
    plain = star.this if isinstance(star, exp.Column) else star
    left_out = {item.name.lower() for item in plain.args.get("except_") or ()}
    replaced = {item.alias.lower(): resolve(item.this, names) for item in plain.args.get("replace") or ()}
    renamed = {item.this.name.lower(): item.alias.lower() for item in plain.args.get("rename") or ()}
    for alias, branch in names.sources.items():
        if table and alias != table:
            continue
        for name, value in branch.columns.items():
            if name not in left_out:
                yield renamed.get(name, name), replaced.get(name, value)


def _unnested(tree: Expr, names: Names) -> Iterator[tuple[str, Value]]:
    """``unnest(list(x))`` leads back to x, with a struct spread into its fields; any other list is searched."""
    from sqlglot import exp

    value = resolve(tree.this, names)
    if value.elements is not None:
        spread = any(option.this.name.lower() == "recursive" for option in tree.expressions)
        if spread and isinstance(value.elements, exp.Struct):
            for part in value.elements.expressions:
                yield part.this.name.lower(), Value(part.expression.copy())
        else:
            yield "unnest", Value(value.elements)
    elif value.expr is None:
        yield "unnest", value
    else:
        yield "unnest", Value(exp.Explode(this=value.expr, expressions=tree.expressions))


# -- one row kept of several --------------------------------------------------------------------------


def chosen_by_window(part: Expr, names: Names) -> Choice | None:
    """``row_number() over (partition by … order by …) = 1``, inline or through a column."""
    from sqlglot import exp

    if not isinstance(part, exp.EQ) or part.expression.name != "1":
        return None
    value = resolve(part.this, names)
    window = value.window
    if not isinstance(window, exp.Window) or not isinstance(window.this, exp.RowNumber) or not window.args.get("order"):
        return None
    partition, order = tuple(window.args.get("partition_by") or ()), tuple(window.args["order"].expressions)
    if len(leaves_of(window)) != 1:
        return None
    return Choice(partition, order, f"{text(window)} = 1 is kept")


def kept_one_of_group(tree: Select, names: Names) -> Choice | None:
    """A group of which ``arg_max`` keeps one row, and only counts the others."""
    from sqlglot import exp

    if tree.args.get("group") is None:
        return None
    keys: list[Expr] = []
    orders: dict[str, tuple[Expr, bool]] = {}
    for item in tree.expressions:
        inner = item.unalias()
        if aggregate_kind(inner) is None:
            value = resolve(inner, names)
            if value.expr is None:
                return None
            keys.append(value.expr)
            continue
        name = inner.name.lower() if isinstance(inner, exp.Anonymous) else inner.key.replace("arg", "arg_")
        if name in KEEPS_LARGEST:
            arguments = inner.expressions if isinstance(inner, exp.Anonymous) else [inner.this, inner.expression]
            order = _replaced(arguments[1], names).expr
            if order is None:
                return None
            orders[text(order)] = (order, KEEPS_LARGEST[name])
        elif not _counts_rows(inner):
            return None
    if len(orders) != 1 or not keys:
        return None
    ((by, largest),) = orders.values()
    if len(frozenset.union(leaves_of(by), *map(leaves_of, keys))) != 1:
        return None
    return Choice(
        tuple(keys),
        (exp.Ordered(this=by, desc=largest),),
        f"the one with the {'largest' if largest else 'smallest'} {text(by.unnest())} is kept",
    )


def _counts_rows(tree: Expr) -> bool:
    from sqlglot import exp

    inner = tree.this if isinstance(tree, exp.Sub | exp.Add | exp.Cast) else tree
    return isinstance(inner, exp.Count) and isinstance(inner.this, exp.Star)
