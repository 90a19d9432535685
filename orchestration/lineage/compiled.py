"""The SQL of each model's last build and the column lineage computed from it: ``data_platform.lineage_models``.

What belongs here: the rows of that table. What does not: compiling (dbt) or understanding SQL (:mod:`lineage.columns`).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg2.extensions import connection as Connection
from psycopg2.extras import Json, execute_values

LONGEST_LIST = 20
"""Literals of a list that are kept: staging names every file it reads, and there may be thousands."""
LITERAL = r"'(?:[^']|'')*+'"
LISTS = re.compile(rf"({LITERAL}(?:\s*,\s*{LITERAL}){{{LONGEST_LIST - 1}}})((?:\s*,\s*{LITERAL})++)")


@dataclass(frozen=True)
class Compiled:
    """The SQL of a model's last build.

    Attributes:
        manifest_key: of the manifest it was compiled from.
        sql: shortened.
        whole: its column lineage is kept and holds for whatever this manifest compiles the model to.
    """

    manifest_key: str
    sql: str
    whole: bool


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
            " columns = case when m.manifest_key = excluded.manifest_key and (m.columns->>'whole')::boolean"
            " then m.columns end"
            " where (m.manifest_key, m.compiled_sql) is distinct from (excluded.manifest_key, excluded.compiled_sql)",
            rows,
        )
        return int(cursor.rowcount)


def stored(connection: Connection) -> dict[str, Compiled]:
    """What is kept of each model's last build, by asset key."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select asset_key, manifest_key, coalesce(compiled_sql, ''), coalesce((columns->>'whole')::boolean, false)"
            " from data_platform.lineage_models"
        )
        return {row[0]: Compiled(*row[1:]) for row in cursor.fetchall()}


def columns(connection: Connection, asset_key: str) -> Any:
    """The column lineage of a model as it was kept; None where it has to be computed."""
    with connection, connection.cursor() as cursor:
        cursor.execute("select columns from data_platform.lineage_models where asset_key = %s", (asset_key,))
        return (cursor.fetchone() or (None,))[0]


def keep_columns(connection: Connection, asset_key: str, manifest_key: str, found: Any) -> None:
    """Store the column lineage of a model, unless it was built from another manifest meanwhile.

    Args:
        connection: to the state database.
        asset_key: the model.
        manifest_key: of the manifest the SQL was compiled from.
        found: JSON with a flag ``whole``: every input is spoken of, and SQL that differs in data alone gives the same.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "update data_platform.lineage_models set columns = %s where asset_key = %s and manifest_key = %s",
            (Json(found), asset_key, manifest_key),
        )
