"""All values of a platform, for comparing: warehouse, served marts with what hangs on them, and the ledger."""

from __future__ import annotations

import contextlib
import math
from typing import Any

from lakehouse.backup.dump import RELATIONS
from lakehouse.duckdb.connect import connect as open_duckdb
from lakehouse.postgres import connect
from lakehouse.settings import Settings
from lakehouse.sql import identifier

OBJECTS = """
    SELECT format('%%s %%I.%%I', CASE relkind WHEN 'v' THEN 'view' ELSE 'table' END, nspname, relname),
        pg_get_userbyid(relowner), coalesce(relacl, acldefault('r', relowner))::text[],
        obj_description(c.oid, 'pg_class'),
        CASE relkind WHEN 'v' THEN pg_get_viewdef(c.oid) END,
        ARRAY(SELECT attname || ' ' || format_type(atttypid, atttypmod) || ' ' || attnotnull
              || coalesce(' ' || col_description(c.oid, attnum), '') FROM pg_attribute
              WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped ORDER BY attnum),
        ARRAY(SELECT pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = c.oid ORDER BY 1)
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE relkind IN ('r', 'v') AND nspname = ANY(%s) ORDER BY 1
"""
NAMED = "(SELECT relname FROM pg_class WHERE oid = t.relation)"
LEDGER = "ingestion_runs", "schema_history"


def everything(settings: Settings, *, runs: bool = True) -> dict[str, Any]:
    """Name → content; equal dictionaries are equal platforms.

    Args:
        settings: of the platform; its Postgres must run.
        runs: also what tells of runs instead of data (their ids, when something was published).
    """
    return warehouse(settings) | marts(settings, runs=runs) | ledger(settings, runs=runs)


def warehouse(settings: Settings) -> dict[str, Any]:
    """Rows and columns of every table and view in DuckDB."""
    found: dict[str, Any] = {}
    with open_duckdb(settings, settings.warehouse, read_only=True) as connection:
        names = connection.execute(
            "select table_schema, table_name from information_schema.tables where table_catalog = current_database()"
        ).fetchall()
        for schema, table in names:
            result = connection.execute(f'select * from "{schema}"."{table}"')
            columns = [column[0] for column in result.description]
            found[f"warehouse {schema}.{table}"] = (columns, sorted(result.fetchall(), key=repr))
    return found


def marts(settings: Settings, *, runs: bool) -> dict[str, Any]:
    """Rows, shape, owners, grants, comments and indexes of what is served and of what others made of it."""
    found: dict[str, Any] = {}
    url = connect.marts_admin_url(settings)
    with contextlib.closing(connect.connect(url, what="marts")) as connection, connection.cursor() as cursor:
        schemas = ["marts", "reports"] + (["marts_build"] if runs else [])
        cursor.execute(OBJECTS, (schemas,))
        for name, *rest in cursor.fetchall():
            found[name] = rest
        for name in list(found):
            relation = name.partition(" ")[2]
            if relation in RELATIONS:  # these name tables by OID, which differ; a file number says nothing at all
                query = f"SELECT to_jsonb(t) - 'filenode' || jsonb_build_object('relation', {NAMED}) FROM {relation} t"
            else:
                query = f"SELECT * FROM {relation}"
            cursor.execute(query)
            found[name].append(sorted(cursor.fetchall(), key=repr))
        cursor.execute(
            "SELECT nspname, pg_get_userbyid(nspowner), nspacl::text[] FROM pg_namespace WHERE nspname = ANY(%s)"
            " ORDER BY 1",
            (["marts", "reports", "marts_build"],),
        )
        found["schemas"] = cursor.fetchall()
        cursor.execute(
            "SELECT pg_get_userbyid(defaclrole), defaclnamespace::regnamespace::text, defaclobjtype, defaclacl::text[]"
            " FROM pg_default_acl ORDER BY 1, 2, 3"
        )
        found["default privileges"] = cursor.fetchall()
        cursor.execute(
            "SELECT p.proname, pg_get_functiondef(p.oid), pg_get_userbyid(p.proowner), p.proacl::text[] FROM pg_proc p"
            " WHERE pronamespace = 'marts_build'::regnamespace ORDER BY 1, 2"
        )
        found["functions"] = cursor.fetchall()
    return found


def ledger(settings: Settings, *, runs: bool) -> dict[str, Any]:
    """The ledger and schema history; with ``runs`` everything of the platform's and Dagster's state that is data."""
    found: dict[str, Any] = {}
    url = connect.state_url(settings)
    with contextlib.closing(connect.connect(url, what="state")) as connection, connection.cursor() as cursor:
        tables = [("data_platform", table) for table in LEDGER]
        if runs:
            cursor.execute(
                "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('data_platform', 'public')"
            )
            tables = cursor.fetchall()
        for name in sorted(tables):
            cursor.execute(f"SELECT to_jsonb(t) FROM {identifier(*name)} t")
            rows = [row[0] for row in cursor.fetchall()]
            rows = [row for row in rows if not str(row.get("watermark_column", "")).startswith("_")]
            found[".".join(name)] = sorted(rows, key=repr)
    return found


def differences(found: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """What two platforms differ in; numbers of floating point may in their last digits.

    DuckDB sums in parallel, in an order that differs from build to build: also two full refreshes differ there.
    """
    names = sorted(found.keys() | wanted.keys())
    return [
        f"{name}: {found.get(name)} instead of {wanted.get(name)}"
        for name in names
        if not _same(found.get(name), wanted.get(name))
    ]


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(_same(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    return bool(one == other)
