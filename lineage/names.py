"""The names that two tools must agree on to the letter: datasets as (namespace, name), jobs, columns.

What belongs here: the value types. What does not: making them from settings (:mod:`lineage.naming`).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Dataset:
    """A physical dataset as the OpenLineage naming specification spells it.

    Attributes:
        namespace: e.g. ``s3://lake``, ``file``, ``duckdb://lakehouse``, ``postgres://127.0.0.1:15432``.
        name: e.g. ``raw/bioreactor``, ``lakehouse.staging.stg_bioreactor``, ``marts.marts.mart_bioreactor_overview``.
    """

    namespace: str
    name: str

    def __str__(self) -> str:
        """For messages."""
        return f"{self.namespace} {self.name}"


@dataclass(frozen=True, order=True)
class Field:
    """One column of a dataset."""

    dataset: Dataset
    column: str


@dataclass(frozen=True)
class Column:
    """A column as declared or found.

    Attributes:
        name: as the relation spells it.
        type: DuckDB's, Parquet's declared or Postgres's type name; never empty.
        description: from the declaration, may be empty.
    """

    name: str
    type: str
    description: str = ""
