"""The row to begin with: finding it by its key in Postgres or in the warehouse, and helping where it is not found.

What belongs here: reading ``--key`` texts by the column's type, and suggestions. What does not: the way up
(:mod:`lineage.trace.walk`).
"""

from __future__ import annotations

import abc
import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.errors import ConfigError, DataError, first_line
from lineage.trace.models import Model
from lineage.trace.rows import quoted

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from psycopg2.extensions import connection as Connection

SHOWN = 5
"""So many rows or values a message names."""
TEXT_TYPES = ("text", "character", "varchar", "char")


class Table(abc.ABC):
    """The relation that a trace begins with.

    Attributes:
        model: its model.
        columns: its columns with their types, in order; empty where it does not exist.
    """

    model: Model
    columns: dict[str, str]

    @abc.abstractmethod
    def fetch(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Ask it; ``?`` stands for a value.

        Raises:
            ValueError: a value is not one of the type it is cast to.
        """


class MartTable(Table):
    """A table in Postgres."""

    def __init__(self, connection: Connection, model: Model) -> None:
        self._connection = connection
        self.model = model
        rows = self.fetch(
            "SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = to_regclass(?)"
            " AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            (quoted(model.relation),),
        )
        self.columns = dict(rows)

    def fetch(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See :meth:`Table.fetch`."""
        import psycopg2

        try:
            with self._connection, self._connection.cursor() as cursor:
                cursor.execute(query.replace("%", "%%").replace("?", "%s"), tuple(values))
                return cursor.fetchall()
        except psycopg2.DataError as error:
            raise ValueError(first_line(error)) from error


class WarehouseTable(Table):
    """A table or view of the warehouse."""

    def __init__(self, connection: DuckDBPyConnection, model: Model) -> None:
        self._connection = connection
        self.model = model
        rows = self.fetch(
            "SELECT column_name, data_type FROM duckdb_columns() WHERE database_name = current_database()"
            " AND lower(schema_name) = ? AND lower(table_name) = ? ORDER BY column_index",
            (model.relation.schema, model.relation.name),
        )
        self.columns = dict(rows)

    def fetch(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """See :meth:`Table.fetch`."""
        import duckdb

        try:
            return self._connection.execute(query, list(values)).fetchall()
        except duckdb.ConversionException as error:
            raise ValueError(first_line(error)) from error


@dataclass(frozen=True)
class Given:
    """One ``--key``: a column and the text of its value; None for null."""

    column: str
    text: str | None

    def __str__(self) -> str:
        """For messages."""
        return f"{self.column}:null" if self.text is None else f"{self.column}={self.text}"


def parse(keys: Iterable[str], table: Table) -> list[Given]:
    """Read ``column=value`` (an empty value is the empty text) and ``column:null``.

    Raises:
        ConfigError: one is neither, names no column of the table, or a column comes twice.
    """
    found: dict[str, Given] = {}
    spelled = {name.lower(): name for name in table.columns}
    for key in keys:
        name, sign, value = key.partition("=")
        if not sign and key.endswith(":null"):
            name = key.removesuffix(":null")
        elif not sign:
            raise ConfigError(f"--key {key} is neither column=value nor column:null.", remedy=_example(table))
        column = spelled.get(name.strip().lower())
        if column is None:
            close = difflib.get_close_matches(name.strip().lower(), spelled, n=3, cutoff=0.5)
            raise ConfigError(
                f"{table.model.relation} has no column {name}.",
                remedy=(f"Did you mean {' or '.join(close)}? " if close else "") + _example(table),
            )
        if column in found:
            raise ConfigError(f"--key {column} is given twice.", remedy=_example(table))
        if sign and not value and not table.columns[column].lower().startswith(TEXT_TYPES):
            raise ConfigError(
                f"--key {column}= is empty, and {column} is a {table.columns[column]}.",
                remedy=f"For rows where it is null: --key {column}:null.",
            )
        found[column] = Given(column, value if sign else None)
    return list(found.values())


def find(table: Table, keys: Sequence[Given], columns: Sequence[str], *, several: bool) -> list[dict[str, Any]]:
    """Rows of the table with these keys.

    Args:
        table: where to look.
        keys: as given; none: every row.
        columns: wanted of each row.
        several: whether more than one may be found.

    Raises:
        ConfigError: the table does not exist, a value is not of its column's type, or several rows answer.
        DataError: no row answers; says which values come near.
    """
    if not table.columns:
        raise DataError(f"{table.model.relation} does not exist yet.", remedy="Build it: `lakehouse run`.")
    if not keys and not several:
        raise ConfigError(f"Which row of {table.model.relation}?", remedy=_example(table))
    spelled = {name.lower(): name for name in table.columns}
    wanted = [spelled[name] for name in columns if name in spelled] or list(table.columns)
    where, values = _where(table, keys)
    try:
        rows = table.fetch(
            f"SELECT {', '.join(map(quoted, wanted))} FROM {quoted(table.model.relation)}{where}", values
        )
    except ValueError as error:
        raise ConfigError(f"A key is not of its column's type: {error}.", remedy=_types(table, keys)) from error
    if not rows:
        raise DataError(f"No row of {table.model.relation} has {_and(keys)}.", remedy=_nearest(table, keys))
    if len(rows) > 1 and not several:
        rest = [name for name in table.model.key if name not in {key.column.lower() for key in keys}]
        first = "; ".join(
            ", ".join(f"{name}={value}" for name, value in zip(wanted, row, strict=True) if name.lower() in rest)
            for row in rows[:SHOWN]
        )
        raise ConfigError(
            f"{len(rows):,} rows of {table.model.relation} have {_and(keys)}.",
            remedy=(f"Name one by its {', '.join(rest)}: {first}{'; …' if len(rows) > SHOWN else ''}. " if rest else "")
            + "Or trace all of them together: --all.",
        )
    return [dict(zip((name.lower() for name in wanted), row, strict=True)) for row in rows]


def load(connection: DuckDBPyConnection, table: Table, rows: Sequence[Mapping[str, Any]], name: str) -> None:
    """Put rows into a temporary table of the warehouse's connection, in the declared types."""
    kinds = {column.lower(): kind for column, kind in table.columns.items()}
    columns = list(rows[0])
    typed = ", ".join(f"{quoted(column)} {table.model.types.get(column) or kinds[column]}" for column in columns)
    connection.execute(f"CREATE TEMP TABLE {name} ({typed})")
    connection.executemany(
        f"INSERT INTO {name} VALUES ({', '.join('?' for _ in columns)})",
        [[row[key] for key in columns] for row in rows],
    )


def _where(table: Table, keys: Sequence[Given]) -> tuple[str, list[Any]]:
    parts, values = [], []
    for key in keys:
        if key.text is None:
            parts.append(f"{quoted(key.column)} IS NULL")
        else:
            parts.append(f"{quoted(key.column)} = CAST(? AS {table.columns[key.column]})")
            values.append(key.text)
    return (f" WHERE {' AND '.join(parts)}" if parts else ""), values


def _nearest(table: Table, keys: Sequence[Given]) -> str:
    """Values of the rows that have all keys but one."""
    told = []
    for key in keys:
        where, values = _where(table, [other for other in keys if other is not key])
        column = quoted(key.column)
        rows = table.fetch(
            f"SELECT DISTINCT {column} FROM {quoted(table.model.relation)}{where} ORDER BY 1 LIMIT 1000", values
        )
        present = ["null" if row[0] is None else str(row[0]) for row in rows]
        if present:
            close = difflib.get_close_matches(key.text or "null", present, n=SHOWN, cutoff=0.3) or present[:SHOWN]
            others = f" where {_and([other for other in keys if other is not key])}" if len(keys) > 1 else ""
            told.append(f"{key.column}{others} is {' or '.join(repr(value) for value in close)}")
    return f"Near it: {'; '.join(told)}." if told else f"{_example(table)} No row has any of these values."


def _types(table: Table, keys: Sequence[Given]) -> str:
    return f"{', '.join(f'{key.column} is a {table.columns[key.column]}' for key in keys)}; null is --key column:null."


def _example(table: Table) -> str:
    model = table.model
    columns = model.key or tuple(table.columns)[:2]
    grain = f"{model.grain[:1].upper()}{model.grain[1:]}: " if model.grain else "Name a row: "
    return grain + " ".join(f"--key {name}=…" for name in columns)


def _and(keys: Sequence[Given]) -> str:
    return " and ".join(map(str, keys)) or "no key"
