"""The SQL of each model's last build and the column lineage computed from it: ``data_platform.lineage_models``.

What belongs here: the rows of that table. What does not: compiling (dbt) or understanding SQL (:mod:`lineage.columns`).
"""

import re
from collections.abc import Mapping
from typing import Any

from psycopg2.extensions import connection as Connection
from psycopg2.extras import Json, execute_values

LONGEST_LIST = 20
"""Literals of a list that are kept: staging names every file it reads, and there may be thousands."""
LITERAL = r"'(?:[^']|'')*+'"
LISTS = re.compile(rf"({LITERAL}(?:\s*,\s*{LITERAL}){{{LONGEST_LIST - 1}}})((?:\s*,\s*{LITERAL})++)")


def shortened(sql: str) -> str:
    """The same statement with long lists of literals cut; it says how many are left out, and still parses."""
    return LISTS.sub(lambda found: f"{found[1]} /* and {len(re.findall(LITERAL, found[2])):,} more */", sql.strip())


def keep_sql(connection: Connection, manifest_key: str, compiled: Mapping[str, str]) -> int:
    """Store the SQL of models that were built; a row is written only where manifest or text have changed.

    Args:
        connection: to the state database.
        manifest_key: of the manifest they were built from; under another one the column lineage is computed anew.
        compiled: asset key → SQL.

    Returns:
        How many rows were written.
    """
    rows = [(asset, manifest_key, shortened(sql)) for asset, sql in sorted(compiled.items())]
    if not rows:
        return 0
    with connection, connection.cursor() as cursor:
        execute_values(
            cursor,
            "insert into data_platform.lineage_models as m (asset_key, manifest_key, compiled_sql) values %s"
            " on conflict (asset_key) do update set manifest_key = excluded.manifest_key,"
            " compiled_sql = excluded.compiled_sql, built_at = now(),"
            " columns = case when m.manifest_key = excluded.manifest_key then m.columns end"
            " where (m.manifest_key, m.compiled_sql) is distinct from (excluded.manifest_key, excluded.compiled_sql)",
            rows,
        )
        return int(cursor.rowcount)


def stored(connection: Connection) -> dict[str, tuple[str, str, Any]]:
    """Asset key → manifest key, SQL, column lineage as it was kept (None where it is not computed yet)."""
    with connection, connection.cursor() as cursor:
        cursor.execute("select asset_key, manifest_key, compiled_sql, columns from data_platform.lineage_models")
        return {row[0]: (row[1], row[2] or "", row[3]) for row in cursor.fetchall()}


def keep_columns(connection: Connection, asset_key: str, manifest_key: str, columns: Any) -> None:
    """Store the column lineage of a model, unless it was built from another manifest meanwhile."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "update data_platform.lineage_models set columns = %s where asset_key = %s and manifest_key = %s",
            (Json(columns), asset_key, manifest_key),
        )
