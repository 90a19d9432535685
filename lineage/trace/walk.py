"""From the rows of one relation to the rows of those above it, layer by layer, up to the raw files.

What belongs here: running the plans of :mod:`lineage.trace.reach` in DuckDB, and the tree that comes of it. What does
not: the first row (:mod:`lineage.trace.start`). Every table made here is temporary, the warehouse is open for reading.
"""

from __future__ import annotations

import datetime as dt
import decimal
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lakehouse.sql import literal
from lineage.trace.branches import FILES, read
from lineage.trace.expressions import text
from lineage.trace.files import RawFiles
from lineage.trace.models import Model, Models, Source
from lineage.trace.reach import Reach, demanded, followable, plans
from lineage.trace.result import FileRows, Step
from lineage.trace.rows import quoted, rows_sql, same_rows
from lineage.trace.values import Branch, Relation, Schemas

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MAX_LITERALS = 64
"""Up to so many values of a key stand in the filter itself, so that DuckDB can skip what cannot match."""
PLAIN = (str, int, float, decimal.Decimal, dt.datetime, dt.date)
WORDS = 3
"""So many values of a key are named in words."""


class Walker:
    """One trace.

    Args:
        connection: the warehouse, read-only.
        models: of the manifest.
        sql: model → its SQL.
        files: the raw zone.
        sample: rows to show of each relation.
        progress: called with the name of each relation.
    """

    def __init__(
        self,
        connection: DuckDBPyConnection,
        models: Models,
        sql: Mapping[str, str],
        files: RawFiles,
        *,
        sample: int = 0,
        progress: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._connection = connection
        self._models = models
        self._sql = sql
        self._files = files
        self._sample = sample
        self._progress = progress
        self._numbers = itertools.count(1)
        self._traced: set[Relation] = set()
        self.schemas: Schemas = _schemas(connection)

    def branches(self, model: Model) -> list[Branch] | None:
        """A model's SQL read backwards; None where its SQL is not known."""
        sql = self._sql.get(model.name)
        return None if sql is None else read(sql, self.schemas, incremental=model.incremental)

    def columns(self, model: Model) -> tuple[str, ...]:
        """Columns of a model's rows that the way up needs."""
        branches = self.branches(model)
        if branches is None:
            return model.key
        return demanded(branches, model.key or followable(branches))

    def follow(self, model: Model, step: Step, table: str, *, shared: bool = False) -> None:
        """Hang everything above some rows of a model under a step.

        Args:
            model: whose rows.
            step: where to.
            table: temporary table with (at least) the columns that :meth:`columns` names.
            shared: the traced row shares these rows with others: what was followed for its own is not followed again.
        """
        self._traced.add(model.relation)
        if model.ledger:
            step.notes.append("the list of accepted files, from the ledger")
            return
        if model.layer == "seed":
            step.notes.append(f"the seed {model.path}")
            return
        branches = self.branches(model)
        if branches is None:
            step.notes.append("its SQL is not known: build it, `lakehouse run`")
            return
        keys = model.key or followable(branches)
        demand = self._demand(table, demanded(branches, keys))
        if demand is None:
            step.notes.append("none of its columns can be followed")
            return
        groups: dict[Relation, list[Reach]] = {}
        for plan in plans(branches, keys):
            for reach in plan.reaches:
                groups.setdefault(reach.relation, []).append(reach)
        ordered = sorted(groups.items(), key=lambda item: all(reach.role == "joined" for reach in item[1]))
        for relation, reaches in ordered:
            if relation.name != FILES:
                self._upstream(model, step, relation, reaches, demand, shared=shared)

    # -- one relation ---------------------------------------------------------------------------------

    def _upstream(
        self, below: Model, step: Step, relation: Relation, reaches: list[Reach], demand: _Demand, *, shared: bool
    ) -> None:
        own = [reach for reach in reaches if reach.role == "own"]
        others = [reach for reach in reaches if reach.role == "joined"]
        model, chosen = self._models.of(relation), own or others
        shared = shared or not own
        again = shared and relation in self._traced
        source, files = quoted(relation), list[FileRows]()
        if model is not None and model.source is not None:
            if again:
                return
            self._traced.add(relation)
            source, files = self._raw(below, model, model.source, demand)
        name = model.name if model is not None else str(relation)
        self._progress(name)
        found = self._find(source, chosen, demand)
        (rows,) = self._one(f"SELECT count(*) FROM {found}")
        here = Step(
            name,
            str(relation),
            model.layer if model else "",
            "joined" if shared else "own",
            demand.words(chosen),
            rows,
            superset=list(dict.fromkeys(reason for reach in chosen for reason in reach.superset)),
        )
        step.above.append(here)
        if not any(reach.keys for reach in chosen):
            here.superset.append("nothing narrows its rows")
        self._mark_kept(here, found, chosen)
        self._show(here, found)
        if own and others:
            (wider,) = self._one(f"SELECT count(*) FROM ({self._rows(source, others, demand)})")
            here.notes.append(f"{wider:,} rows were read for values that are shared: {demand.words(others)}")
        if model is None:
            here.notes.append("not a model: what is above it is not known")
        elif model.source is not None:
            here.files = self._files.positions(found, files, kept=bool(here.kept_by))
        elif again:
            here.notes.append("followed to its files above, for the row's own part")
        else:
            self.follow(model, here, found, shared=shared)

    def _raw(self, below: Model, model: Model, source: Source, demand: _Demand) -> tuple[str, list[FileRows]]:
        batches = demand.values.get("batch_id") if below.register is not None else None
        if batches is None and below.register is not None and "batch_id" in demand.columns:
            batches = [row[0] for row in self._all(f"SELECT DISTINCT batch_id FROM {demand.table}")]
        files = self._files.choose(source, below.register, batches)
        if not any(item.read_key for item in files):
            return f"(SELECT * FROM {quoted(model.relation)} WHERE false)", files
        return self._files.sql(model, self._sql[model.name], files), files

    def _find(self, source: str, reaches: list[Reach], demand: _Demand) -> str:
        table = f"trace_{next(self._numbers)}"
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {table} AS {self._rows(source, reaches, demand)}", [])
        return table

    def _rows(self, source: str, reaches: list[Reach], demand: _Demand) -> str:
        return rows_sql(source, same_rows(reaches), demand.table, demand.literals)

    def _mark_kept(self, step: Step, table: str, reaches: list[Reach]) -> None:
        """Tell the rows that the layer below kept from those it passed over, where its SQL says how."""
        choices = {choice.text: (reach.leaf, choice) for reach in reaches for choice in reach.choices}
        if len(choices) > 1:
            step.superset += [f"one of several was kept: {text}" for text in choices]
        if len(choices) != 1:
            return
        ((leaf, choice),) = choices.values()
        partition = ", ".join(item.sql(dialect="duckdb") for item in choice.partition)
        order = ", ".join(item.sql(dialect="duckdb") for item in choice.order)
        over = f"{f'PARTITION BY {partition} ' if partition else ''}ORDER BY {order}"
        self._connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {table} AS"
            f" SELECT *, row_number() OVER ({over}) = 1 AS __kept FROM {table} AS {leaf}"
        )
        step.kept_by = choice.text
        (step.not_counted,) = self._one(f"SELECT count(*) FROM {table} WHERE NOT __kept")

    def _show(self, step: Step, table: str) -> None:
        if self._sample:
            left_out = "" if not step.kept_by else " EXCLUDE (__kept)"
            result = self._connection.execute(f"SELECT *{left_out} FROM {table} ORDER BY ALL LIMIT {self._sample}")
            step.columns = [column[0] for column in result.description or ()]
            step.sample = result.fetchall()

    # -- what is looked for ---------------------------------------------------------------------------

    def _demand(self, table: str, columns: Sequence[str]) -> _Demand | None:
        present = {row[0].lower() for row in self._all(f"DESCRIBE {table}")}
        wanted = [name for name in columns if name in present]
        if not wanted:
            return None
        name = f"demand_{next(self._numbers)}"
        listed = ", ".join(quoted(column) for column in wanted)
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT DISTINCT {listed} FROM {table}")
        values: dict[str, list[Any]] = {}
        counts: dict[str, int] = {}
        for column in wanted:
            (counts[column],) = self._one(f"SELECT count(*) FROM (SELECT DISTINCT {quoted(column)} FROM {name})")
            if counts[column] <= MAX_LITERALS:
                found = self._all(f"SELECT DISTINCT {quoted(column)} FROM {name} ORDER BY 1")
                values[column] = [row[0] for row in found]
        return _Demand(name, tuple(wanted), values, counts)

    def _one(self, query: str) -> tuple[Any, ...]:
        return self._connection.execute(query).fetchone() or (None,)

    def _all(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query).fetchall()


class _Demand:
    """The key values looked for, as a temporary table, and in full where they are few."""

    def __init__(
        self, table: str, columns: tuple[str, ...], values: Mapping[str, list[Any]], counts: Mapping[str, int]
    ) -> None:
        self.table = table
        self.columns = columns
        self.values = values
        self._counts = counts

    @property
    def literals(self) -> dict[str, list[Any]]:
        """Keys whose values can stand in a filter: few, plain, none of them null."""
        return {
            column: values
            for column, values in self.values.items()
            if all(isinstance(value, PLAIN) and not isinstance(value, bool) for value in values)
        }

    def words(self, reaches: Sequence[Reach]) -> str:
        """The filter for a person."""
        return " or ".join(dict.fromkeys(self._words(reach) for reach in reaches)) or "all rows"

    def _words(self, reach: Reach) -> str:
        parts = []
        for key, expr in reach.keys.items():
            values = self.values.get(key)
            if values is not None and len(values) == 1:
                value = "is null" if values[0] is None else f"= {_literal(values[0])}"
            elif values is not None and len(values) <= WORDS:
                value = f"in ({', '.join(map(_literal, values))})"
            else:
                value = f"in {self._counts.get(key, 0):,} values"
            parts.append(f"{text(expr)} {value}")
        parts += [text(condition) for condition in reach.conditions]
        parts += [f"joined with {joined.relation} on {' and '.join(map(text, joined.on))}" for joined in reach.joins]
        return " and ".join(parts)


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return literal(value)
    return "null" if value is None else str(value)


def _schemas(connection: DuckDBPyConnection) -> Schemas:
    rows = connection.execute(
        "SELECT lower(schema_name), lower(table_name), list(lower(column_name) ORDER BY column_index)"
        " FROM duckdb_columns() WHERE database_name = current_database() AND NOT internal GROUP BY ALL"
    ).fetchall()
    return {Relation(schema, table): tuple(columns) for schema, table, columns in rows}
