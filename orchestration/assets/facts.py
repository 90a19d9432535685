"""What a relation holds after a build: rows and columns, read where it lives; and why a test failed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dagster import TableColumn, TableSchema

from lakehouse.dbt.runner import NodeOutcome
from lakehouse.postgres.connect import connect_marts
from lakehouse.settings import Settings
from lakehouse.sql import literal
from orchestration import names
from orchestration.assets.dbt_graph import Model

MAX_EXAMPLES = 5
BLOCK_BYTES = 262_144
MEASURED_ROWS = 100_000_000
"""Looking through the blocks of a table takes 1.5 ms per million rows; a larger one is not measured."""


@dataclass(frozen=True)
class RelationFacts:
    """Rows (None where counting would cost a scan), columns as (name, type), bytes on disk (None for a view)."""

    relation: str
    rows: int | None
    columns: tuple[tuple[str, str], ...]
    bytes: int | None = None

    def metadata(self) -> dict[str, Any]:
        """As Dagster's standard table metadata."""
        schema = TableSchema(columns=[TableColumn(name=name, type=kind) for name, kind in self.columns])
        metadata: dict[str, Any] = {
            names.META_COLUMNS: schema,
            names.META_RELATION: self.relation,
        }
        if self.rows is not None:
            metadata[names.META_ROWS] = self.rows
        return metadata


@dataclass(frozen=True)
class LedgerPosition:
    """What the ledger holds per source.

    Attributes:
        rows: rows accepted, by source.
        arrival: highest arrival sequence among all; None without sources.
        digests: digest over the accepted file versions, by source; equal digests mean the same files.
    """

    rows: dict[str, int]
    arrival: int | None
    digests: dict[str, str]


def ledger_position(connection: Any, sources: Sequence[str]) -> LedgerPosition:
    """Read the ledger's sums for these sources."""
    if not sources:
        return LedgerPosition({}, None, {})
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select source_name, sum(row_count), max(ingestion_id), md5(string_agg(batch_key, ',' order by batch_key))"
            " from data_platform.ingestion_runs where status = 'accepted' and source_name = any(%s)"
            " group by source_name",
            (list(sources),),
        )
        found = cursor.fetchall()
    return LedgerPosition(
        {row[0]: int(row[1] or 0) for row in found},
        max((row[2] for row in found), default=0),
        {row[0]: row[3] for row in found},
    )


def duckdb_facts(settings: Settings, models: Sequence[Model], position: LedgerPosition) -> dict[str, RelationFacts]:
    """Rows and columns of relations in the warehouse. A staging view is not counted, the ledger knows its rows."""
    if not models or not settings.warehouse.exists():
        return {}
    from lakehouse.duckdb.connect import connect as open_duckdb

    facts = {}
    with open_duckdb(settings, settings.warehouse, read_only=True) as warehouse:
        columns: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for schema, table, name, kind in warehouse.execute(
            "select schema_name, table_name, column_name, data_type from duckdb_columns()"
            " where not internal order by schema_name, table_name, column_index"
        ).fetchall():
            columns.setdefault((schema, table), []).append((name, kind))
        for model in models:
            found = columns.get((model.schema, model.identifier))
            if found is None:
                continue
            rows, size = position.rows.get(model.source or ""), None
            if model.materialized != "view":
                counted = warehouse.execute(f'select count(*) from "{model.schema}"."{model.identifier}"').fetchone()
                rows = int(counted[0]) if counted else None
                size = _table_bytes(warehouse, model) if (rows or 0) <= MEASURED_ROWS else None
            facts[model.asset_key] = RelationFacts(f"{model.schema}.{model.identifier}", rows, tuple(found), size)
    return facts


def _table_bytes(warehouse: Any, model: Model) -> int:
    # From the file's own directory of blocks; several small tables may share one.
    found = warehouse.execute(
        "select count(distinct block_id) from pragma_storage_info(?) where block_id >= 0",
        [f'"{model.schema}"."{model.identifier}"'],
    ).fetchone()
    return int(found[0]) * BLOCK_BYTES if found else 0


def mart_facts(settings: Settings, models: Sequence[Model]) -> dict[str, RelationFacts]:
    """Rows and columns of published marts."""
    if not models:
        return {}
    facts = {}
    connection = connect_marts(settings)
    try:
        with connection, connection.cursor() as cursor:
            for model in models:
                cursor.execute(
                    "select rows, pg_total_relation_size(to_regclass(%s)) from marts_build.publications"
                    " where mart = %s",
                    (f'"{model.schema}"."{model.identifier}"', model.identifier),
                )
                publication = cursor.fetchone()
                cursor.execute(
                    "select column_name, data_type from information_schema.columns"
                    " where table_schema = %s and table_name = %s order by ordinal_position",
                    (model.schema, model.identifier),
                )
                columns = tuple((name, kind) for name, kind in cursor.fetchall())
                if publication and columns:
                    facts[model.asset_key] = RelationFacts(
                        f"{model.schema}.{model.identifier}", publication[0], columns, publication[1]
                    )
    finally:
        connection.close()
    return facts


def failing_rows(settings: Settings, target: str, outcomes: Sequence[NodeOutcome]) -> dict[str, list[dict[str, Any]]]:
    """Up to five failing rows of each failed or warned test, by running its compiled SQL once more.

    Only tests on the warehouse: their SQL is plain DuckDB. Tests on marts are few and small; theirs attach Postgres.
    """
    failed = [item for item in outcomes if item.status in {"fail", "warn"} and item.compiled_code]
    if not failed:
        return {}
    from lakehouse.duckdb.connect import connect as open_duckdb
    from lakehouse.postgres.connect import marts_dsn

    examples: dict[str, list[dict[str, Any]]] = {}
    with open_duckdb(settings, settings.warehouse, read_only=True) as warehouse:
        if target == "postgres":
            warehouse.execute(f"attach {literal(marts_dsn(settings))} as marts (type postgres, read_only)")
        for item in failed:
            result = warehouse.execute(f"select * from ({item.compiled_code}) limit {MAX_EXAMPLES}")
            columns = [column[0] for column in result.description]
            examples[item.unique_id] = [
                {name: _plain(value) for name, value in zip(columns, row, strict=True)} for row in result.fetchall()
            ]
    return examples


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
