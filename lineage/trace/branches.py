"""A model's SQL read backwards: each output column as a scalar expression of upstream columns, where it is one.

What belongs here: queries, joins, unions, common table expressions. What does not: single expressions
(:mod:`lineage.trace.expressions`), what follows for given key values (:mod:`lineage.trace.reach`) and running anything.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from lakehouse.errors import DataError, first_line
from lineage.trace.expressions import (
    META_COLUMNS,
    Names,
    aggregate_kind,
    chosen_by_window,
    conjuncts,
    group_of,
    kept_one_of_group,
    leaf_column,
    leaves_of,
    project,
    resolve,
    text,
)
from lineage.trace.values import Branch, Choice, Condition, Dropped, Relation, Schemas, Value

if TYPE_CHECKING:
    from sqlglot.expressions import Expr, Join, Select, SetOperation

FILES = "files"
"""Name of the relation that stands for what `read_parquet` and its like read."""
MAX_BRANCHES = 64
"""More combinations of unions than this are not followed one by one."""


def read(sql: str, schemas: Schemas, *, incremental: bool = False) -> list[Branch]:
    """Read a query backwards.

    Args:
        sql: a SELECT in DuckDB's dialect.
        schemas: columns of every relation that exists; others (temporary tables of one build) count as unknown.
        incremental: conditions that say which rows one build looked at are left out.

    Raises:
        DataError: it is not SQL that can be read.
    """
    from sqlglot import exp, parse_one
    from sqlglot.errors import SqlglotError

    try:
        tree = parse_one(sql, dialect="duckdb")
    except SqlglotError as error:
        raise DataError(f"This SQL cannot be read: {first_line(error)}", remedy=_REPORT) from error
    if not isinstance(tree, exp.Query):
        raise DataError(f"This SQL is not a query: {text(tree)[:200]}", remedy=_REPORT)
    return _Reader(schemas, incremental).query(tree, {})


_REPORT = "The layers below can be traced: start at one of them, e.g. `lakehouse trace <model> --key …`."


@dataclass(frozen=True)
class _Cte:
    query: Expr
    visible: Mapping[str, _Cte]
    columns: tuple[str, ...]


@dataclass(frozen=True)
class _Source:
    alias: str
    branches: list[Branch]
    join: Join | None = None


class _Reader:
    def __init__(self, schemas: Schemas, incremental: bool) -> None:
        self._schemas = schemas
        self._incremental = incremental
        self._numbers = itertools.count(1)
        self._common: frozenset[str] = frozenset()

    # -- queries --------------------------------------------------------------------------------------

    def query(self, tree: Expr, ctes: Mapping[str, _Cte]) -> list[Branch]:
        from sqlglot import exp

        visible = dict(ctes)
        with_ = tree.args.get("with_")
        if with_ is not None:
            if with_.args.get("recursive"):
                return [_opaque("a recursive query")]
            for cte in with_.expressions:
                names = tuple(column.name.lower() for column in cte.args["alias"].args.get("columns") or ())
                visible[cte.alias.lower()] = _Cte(cte.this, dict(visible), names)
        self._common |= frozenset(visible)
        if isinstance(tree, exp.Subquery):
            return self.query(tree.this, visible)
        if isinstance(tree, exp.SetOperation):
            return self._set_operation(tree, visible)
        if isinstance(tree, exp.Select):
            return self._select(tree, visible)
        return [_opaque(text(tree)[:80])]

    def _set_operation(self, tree: SetOperation, ctes: Mapping[str, _Cte]) -> list[Branch]:
        from sqlglot import exp

        left = self.query(tree.this, ctes)
        if isinstance(tree, exp.Except | exp.Intersect):
            for branch in left:
                branch.dropped.append(Dropped(f"{tree.key} {text(tree.expression)[:80]}", "unclear"))
            return left
        right = self.query(tree.expression, ctes)
        names = list(left[0].columns)
        for branch in right:
            if tree.args.get("by_name"):
                missing = {name: Value(exp.null()) for name in names if name not in branch.columns}
                branch.columns = {**branch.columns, **missing}
            else:
                branch.columns = dict(zip(names, branch.columns.values(), strict=False))
        return left + right

    def _select(self, tree: Select, ctes: Mapping[str, _Cte]) -> list[Branch]:
        sources = list(self._sources(tree, ctes))
        combinations = list(itertools.product(*(source.branches for source in sources)))
        if len(combinations) > MAX_BRANCHES:
            return [_opaque(f"{len(combinations)} combinations of unions")]
        return [self._combine(tree, sources, list(parts)) for parts in combinations]

    # -- FROM -----------------------------------------------------------------------------------------

    def _sources(self, tree: Select, ctes: Mapping[str, _Cte]) -> Iterator[_Source]:
        first = tree.args.get("from_")
        if first is None:
            return
        yield from self._source(first.this, None, ctes)
        for join in tree.args.get("joins") or ():
            yield from self._source(join.this, join, ctes)
        for lateral in tree.args.get("laterals") or ():
            yield _Source(lateral.alias.lower(), [_opaque("a lateral join")])

    def _source(self, item: Expr, join: Join | None, ctes: Mapping[str, _Cte]) -> Iterator[_Source]:
        yield _Source(item.alias_or_name.lower(), self._branches_of(item, ctes), join)
        for nested in item.args.get("joins") or ():  # (a join b on …) in brackets
            yield from self._source(nested.this, nested, ctes)

    def _branches_of(self, item: Expr, ctes: Mapping[str, _Cte]) -> list[Branch]:
        from sqlglot import exp

        if item.args.get("pivots") or item.args.get("sample"):
            return [_opaque(text(item)[:80])]
        if isinstance(item, exp.Table) and isinstance(item.this, exp.Identifier):
            name = item.name.lower()
            if not item.db and name in ctes:
                cte = ctes[name]
                return [_named(branch, cte.columns) for branch in self._folded(self.query(cte.query, cte.visible))]
            return [self._leaf(Relation(item.db.lower(), name))]
        if isinstance(item, exp.Table):
            function = item.this.name if isinstance(item.this, exp.Anonymous) else item.this.sql_name()
            if not function.lower().startswith("read_"):
                return [_opaque(function.lower())]
            leaf = f"leaf{next(self._numbers)}"
            return [Branch(leaves={leaf: Relation("", FILES)}, opens=f"leaf:{leaf}", reads_files=True)]
        if isinstance(item, exp.Subquery):
            columns = tuple(name.lower() for name in item.alias_column_names)
            if isinstance(item.this, exp.Table):  # (a join b): its first table; joins follow
                return self._branches_of(item.this, ctes)
            return [_named(branch, columns) for branch in self._folded(self.query(item, ctes))]
        return [_opaque(text(item)[:80])]

    @staticmethod
    def _folded(branches: list[Branch]) -> list[Branch]:
        """Lists of constants are one branch, whose columns cannot be followed (nor need to be)."""
        if len(branches) < 2 or any(branch.leaves or branch.opens for branch in branches):
            return branches
        return [
            Branch({name: Value(None, "a list of constants", "constant", depends=()) for name in branches[0].columns})
        ]

    def _leaf(self, relation: Relation) -> Branch:
        if relation not in self._schemas:
            return _opaque(str(relation).removeprefix("."))
        leaf = f"leaf{next(self._numbers)}"
        columns = {name.lower(): Value(leaf_column(leaf, name)) for name in self._schemas[relation]}
        return Branch(columns, {leaf: relation}, opens="" if columns else f"leaf:{leaf}")

    # -- one SELECT over one branch of each source ----------------------------------------------------

    def _combine(self, tree: Select, sources: Sequence[_Source], parts: list[Branch]) -> Branch:
        result = Branch(reads_files=any(part.reads_files for part in parts))
        given = {source.alias: part for source, part in zip(sources, parts, strict=True)}
        names = Names(given, self._schemas, self._common)
        for source, part in zip(sources, parts, strict=True):
            if source.join is not None and (source.join.args.get("kind") or "").upper() == "ANTI":
                result.dropped.append(Dropped(f"anti join {source.alias}", "unclear"))
                continue
            for kept in part.dropped:
                if kept not in result.dropped:
                    result.dropped.append(kept)
            result.conditions += part.conditions
            result.choices += part.choices
            before = frozenset(result.leaves)
            result.leaves |= part.leaves
            if source.join is not None:
                self._join(source, names, before, frozenset(part.leaves), result)
        if (where := tree.args.get("where")) is not None:
            self._where(where.this, names, result)
        names.group = group_of(tree, names)
        result.columns, values = project(tree, names)
        if (qualify := tree.args.get("qualify")) is not None:
            names.projected = values
            self._where(qualify.this, names, result)
        if tree.args.get("limit") is not None or tree.args.get("offset") is not None:
            result.dropped.append(Dropped("limit", "unclear"))
        distinct = tree.args.get("distinct")
        if distinct is not None and distinct.args.get("on") is not None:
            self._distinct_on(tree, distinct.args["on"], names, result)
        if aggregate_kind(tree) and (choice := kept_one_of_group(tree, names)) is not None:
            result.choices.append(choice)
        if tree.args.get("having") is not None:
            result.dropped.append(Dropped(text(tree.args["having"].this), "unclear", names.group))
        if any(item.is_star for item in tree.expressions):
            result.opens = next((part.opens for part in parts if part.opens), "")
        return result

    def _join(self, source: _Source, names: Names, before: frozenset[str], own: frozenset[str], result: Branch) -> None:
        from sqlglot import exp

        join = source.join
        if join is None:
            return
        side = (join.args.get("side") or "").upper()
        method = (join.args.get("method") or "").upper()
        into = {"LEFT": own, "RIGHT": before, "FULL": frozenset[str]()}.get(side, before | own)
        if method in {"POSITIONAL", "NATURAL"}:
            result.dropped.append(Dropped(f"{method.lower()} join {source.alias}", "unclear"))
            return
        if method == "ASOF":
            result.dropped.append(Dropped(f"asof join {source.alias}", "choice"))
        parts = list(conjuncts(join.args["on"])) if join.args.get("on") is not None else []
        for column in join.args.get("using") or ():
            left = next(
                (a for a, b in names.sources.items() if a != source.alias and column.name.lower() in b.columns), ""
            )
            parts.append(exp.EQ(this=exp.column(column.name, left), expression=exp.column(column.name, source.alias)))
        for part in parts:
            value = resolve(part, names)
            if value.expr is None and side == "LEFT" and not own:
                continue  # constants beside rows that all stay
            if value.expr is None:
                self._drop(part, value, result)
            else:
                result.conditions.append(Condition(value.expr, into & leaves_of(value.expr)))

    def _where(self, tree: Expr, names: Names, result: Branch) -> None:
        from sqlglot import exp

        parts = list(conjuncts(tree))
        for part in parts:
            if self._of_one_build(part, names):
                result.dropped.append(Dropped(text(part)[:200], "incremental"))
                continue
            value = resolve(part, names)
            if value.expr is not None:
                result.conditions.append(Condition(value.expr, leaves_of(value.expr)))
                continue
            choice = chosen_by_window(part, names)
            if choice is not None:
                result.choices.append(choice)
            elif isinstance(part, exp.Boolean):
                continue
            else:
                self._drop(part, value, result)

    def _of_one_build(self, part: Expr, names: Names) -> bool:
        """Whether a condition only says which rows one incremental build looked at."""
        from sqlglot import exp

        tables = [table for table in part.find_all(exp.Table) if isinstance(table.this, exp.Identifier)]
        if any(
            Relation(table.db.lower(), table.name.lower()) not in self._schemas and not table.db for table in tables
        ):
            return not any(table.name.lower() in names.common for table in tables)
        if not self._incremental:
            return False
        columns = {column.name.lower() for column in part.find_all(exp.Column)}
        return bool(columns) and columns <= META_COLUMNS

    @staticmethod
    def _drop(part: Expr, value: Value, result: Branch) -> None:
        why: Literal["choice", "unclear"] = "choice" if value.kind == "window" else "unclear"
        result.dropped.append(Dropped(text(part)[:200], why, value.depends))

    @staticmethod
    def _distinct_on(tree: Select, on: Expr, names: Names, result: Branch) -> None:
        from sqlglot import exp

        keys = [resolve(item, names).expr for item in (on.expressions if isinstance(on, exp.Tuple) else [on])]
        order = tree.args.get("order")
        ordered = [resolve(item, names).expr for item in order.expressions] if order is not None else []
        found = [item for item in (*keys, *ordered) if item is not None]
        if ordered and len(found) == len(keys) + len(ordered) and len(frozenset.union(*map(leaves_of, found))) == 1:
            partition = tuple(item for item in keys if item is not None)
            result.choices.append(
                Choice(
                    partition,
                    tuple(item for item in ordered if item is not None),
                    f"distinct on ({text(on)}) keeps one",
                )
            )
        else:
            result.dropped.append(Dropped(f"distinct on ({text(on)})", "choice"))


def _opaque(why: str) -> Branch:
    return Branch(opens=why)


def _named(branch: Branch, columns: tuple[str, ...]) -> Branch:
    if not columns:
        return branch
    return replace(branch, columns=dict(zip(columns, branch.columns.values(), strict=False)))
