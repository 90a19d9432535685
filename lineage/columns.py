"""Column lineage of a model from its compiled SQL: which input columns each output column is made of, and how.

What belongs here: the relations that compiled SQL names (``"lakehouse"."curated"."dim_batch"``, files through
``read_parquet``), and the result in OpenLineage's words. What does not: reading queries (:mod:`lineage.sql_queries`).
Relations that nobody declared give nothing: no dataset is ever made up. sqlglot is imported where it is used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse.errors import first_line
from lineage import naming
from lineage.catalog import Catalog, Job, Transformed
from lineage.names import Dataset, Field
from lineage.sql_text import without_lists

if TYPE_CHECKING:
    from sqlglot import exp

    from lineage.sql_values import Relation

_ESCAPED = re.compile(r"\[([*?\[])\]")


@dataclass(frozen=True)
class Upstream:
    """A dataset that a model may read.

    Attributes:
        dataset: its identity.
        columns: its columns as declared; empty where nobody declared them (then any name is one).
    """

    dataset: Dataset
    columns: tuple[str, ...]


def model_columns(sql: str, job: Job, catalog: Catalog) -> dict[str, tuple[Transformed, ...]]:
    """Column lineage of one asset.

    Args:
        sql: as dbt compiled it, full or incremental (both give the same).
        job: of the asset.
        catalog: for the columns of its inputs and its output.

    Raises:
        ValueError: the SQL does not parse; the text is the parser's.
    """
    upstream = {
        spelled(dataset): Upstream(dataset, tuple(column.name for column in catalog.datasets[dataset].columns))
        for dataset in job.inputs
    }
    output = [column.name for column in catalog.datasets[job.outputs[0]].columns]
    return column_lineage(sql, output, upstream)


def covers(job: Job, columns: Mapping[str, Iterable[Transformed]]) -> bool:
    """Whether column lineage speaks of every input: what was compiled while a source was empty does not."""
    return {source.field.dataset for sources in columns.values() for source in sources} >= set(job.inputs)


def spelled(dataset: Dataset) -> str:
    """How compiled SQL names a dataset: ``database.schema.identifier`` in lower case, or where its files are."""
    if dataset.namespace == "file":
        return dataset.name.replace("%23", "#")
    if dataset.namespace.startswith("s3://"):
        return f"{dataset.namespace}/{dataset.name.lstrip('/').replace('%23', '#')}"
    name = dataset.name.replace('"', "").lower()
    if dataset.namespace.startswith("postgres://"):
        return f"{naming.MARTS_ALIAS}.{name.split('.', 1)[1]}"
    return name


def column_lineage(
    sql: str, output_columns: Sequence[str], upstream: Mapping[str, Upstream], *, dialect: str = "duckdb"
) -> dict[str, tuple[Transformed, ...]]:
    """What each output column is made of.

    Args:
        sql: one SELECT statement.
        output_columns: the columns of the relation, as declared; empty: those of the statement.
        upstream: what can be read, by its spelling in SQL (:func:`spelled`).
        dialect: sqlglot's name of it.

    Returns:
        Output column → inputs: DIRECT ones (IDENTITY, TRANSFORMATION, AGGREGATION; the strongest per column) and
        INDIRECT ones. CONDITIONAL and WINDOW belong to the column; JOIN, FILTER, GROUP_BY and SORT decide on rows and
        stand on every column.

    Raises:
        ValueError: the SQL does not parse.
    """
    import sqlglot
    from sqlglot.errors import SqlglotError

    from lineage.sql_queries import Queries

    try:
        parsed = sqlglot.parse_one(without_lists(sql), dialect=dialect)
    except SqlglotError as error:
        raise ValueError(f"sqlglot cannot read it: {first_line(error)}") from error
    made = Queries(lambda table: _lookup(table, upstream)).read(parsed, {})
    wanted = output_columns or list(made.columns)
    found = {}
    for name in wanted:
        value = made.columns.get(name.lower())
        if value is not None and (sources := _strongest([*value.sources, *made.rows])):
            found[name] = sources
    return found


def _lookup(table: exp.Table, upstream: Mapping[str, Upstream]) -> Relation:
    from sqlglot import exp

    from lineage.sql_queries import UNKNOWN

    if isinstance(table.this, exp.Identifier):
        name = ".".join(part.name for part in table.parts).lower()
        found = [item for known, item in upstream.items() if known == name or known.endswith(f".{name}")]
        files = name if "/" in name else None  # from 'file.parquet'
    else:
        literal = next((item for item in table.this.find_all(exp.Literal) if item.is_string), None)
        found, files = [], literal.name if literal is not None else None
    if not found and files:
        path = _ESCAPED.sub(r"\1", files)
        found = [item for known, item in upstream.items() if path == known or path.startswith(f"{known}/")]
    return _relation(found[0]) if len(found) == 1 else UNKNOWN


def _relation(upstream: Upstream) -> Relation:
    from lineage.sql_values import Relation, Value

    def value(name: str) -> Value:
        return Value(frozenset({Transformed(Field(upstream.dataset, name), "DIRECT", "IDENTITY")}))

    return Relation(
        {name.lower(): value(name) for name in upstream.columns}, any_column=None if upstream.columns else value
    )


def _strongest(sources: Iterable[Transformed]) -> tuple[Transformed, ...]:
    """Sorted, direct ones first; of several direct uses of a column only the strongest."""
    from lineage.sql_values import STRENGTH

    direct: dict[Field, Transformed] = {}
    others: set[Transformed] = set()
    for source in sources:
        if source.kind == "INDIRECT":
            others.add(source)
        elif (known := direct.get(source.field)) is None or STRENGTH[known.subtype] < STRENGTH[source.subtype]:
            direct[source.field] = source
    by_field = sorted(direct.values(), key=lambda item: item.field)
    return (*by_field, *sorted(others, key=lambda item: (item.subtype, item.field)))
