"""``lakehouse query``: SQL on the warehouse and the marts, read-only."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from lakehouse.settings import Settings

MARTS = re.compile(r'\bmarts\s*\.|"marts"\s*\.', re.IGNORECASE)
DEFAULT_LIMIT = 1000
READER_WAIT_SECONDS = 60.0


@click.command(
    epilog="""\b
Examples:
  lakehouse query "select * from marts.mart_bioreactor_overview limit 5"
  lakehouse query "select count(*) from curated.dim_batch" --json
  lakehouse query --marts "select current_user" --csv
  echo "show tables" | lakehouse query -
"""
)
@click.argument("sql")
@click.option("--warehouse", "where", flag_value="warehouse", help="Ask DuckDB (staging, intermediate, curated).")
@click.option("--marts", "where", flag_value="marts", help="Ask Postgres, as the read-only role.")
@click.option("--json", "as_json", is_flag=True, help="An array of objects.")
@click.option("--csv", "as_csv", is_flag=True, help="CSV with a header.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    default=DEFAULT_LIMIT,
    show_default=True,
    help="Rows shown in a table; 0 shows all. --json and --csv are never cut.",
)
def command(sql: str, where: str | None, as_json: bool, as_csv: bool, limit: int) -> int:
    """Run one read-only SQL statement; `-` reads it from standard input.

    A query that names the schema `marts` goes to Postgres, every other to the DuckDB warehouse; --marts and
    --warehouse decide it by hand. While a run writes the warehouse, the query waits and says for whom.
    """
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other.")
    if sql == "-":
        sql = sys.stdin.read()
    from lakehouse.settings import load_settings

    settings = load_settings()
    ask = _ask_marts if (where or ("marts" if MARTS.search(sql) else "warehouse")) == "marts" else _ask_warehouse
    columns, rows = ask(settings, sql)
    if as_json:
        click.echo(json.dumps([dict(zip(columns, row, strict=True)) for row in rows], default=_plain, indent=2))
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)
    else:
        _show(columns, rows, limit)
    return 0


def _show(columns: Sequence[str], rows: Sequence[Sequence[Any]], limit: int) -> None:
    from lakehouse.cli.tables import print_table

    shown = rows[:limit] if limit else rows
    numbers = {name for index, name in enumerate(columns) if any(_is_number(row[index]) for row in shown)}
    print_table(columns, [[_cell(value) for value in row] for row in shown], right=numbers)
    more = f", {len(shown):,} shown (--limit 0 shows all)" if len(shown) < len(rows) else ""
    click.echo(click.style(f"{len(rows):,} row{'' if len(rows) == 1 else 's'}{more}", dim=True))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    from decimal import Decimal

    return float(value) if isinstance(value, Decimal) else str(value)


def _ask_marts(settings: Settings, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    import psycopg2

    from lakehouse.errors import DataError
    from lakehouse.postgres.connect import connect_bi
    from lakehouse.postgres.embedded import running

    with running(settings):
        connection = connect_bi(settings)
        try:
            connection.set_session(readonly=True, autocommit=True)
            with connection.cursor() as cursor:
                cursor.execute(sql)
                if cursor.description is None:
                    raise DataError("The statement returns no rows; only queries are answered.")
                return [column.name for column in cursor.description], cursor.fetchall()
        except psycopg2.Error as error:
            raise DataError(f"Postgres refused it: {str(error).strip()}", remedy=MARTS_HELP) from error
        finally:
            connection.close()


def _ask_warehouse(settings: Settings, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    import duckdb

    from lakehouse.duckdb.connect import connect
    from lakehouse.duckdb.lock import shared
    from lakehouse.errors import DataError

    if not settings.warehouse.exists():
        raise DataError(f"There is no warehouse yet at {settings.warehouse}.", remedy="Build it: `lakehouse run`.")

    def waiting(who: object) -> None:
        click.echo(f"Waiting for the warehouse: {who or 'another process'} writes it.", err=True)

    with shared(settings.warehouse, timeout=READER_WAIT_SECONDS, on_wait=waiting):
        try:
            with connect(settings, settings.warehouse, read_only=True) as connection:
                result = connection.execute(sql)
                columns = [column[0] for column in result.description or ()]
                return columns, result.fetchall()
        except duckdb.Error as error:
            raise DataError(f"DuckDB refused it: {error}", remedy=WAREHOUSE_HELP) from error


MARTS_HELP = "Marts: `lakehouse query --marts \"select tablename from pg_tables where schemaname = 'marts'\"`."
WAREHOUSE_HELP = (
    'Tables: `lakehouse query "select schema_name, table_name from duckdb_tables()"`; marts are asked with --marts.'
)
