"""The same SQL with nothing around it: ``python -m benchmarks.drivers.bare COMPILED DATABASE TABLE``.

A plain DuckDB process with the platform's memory limit, threads and insertion-order setting creates every view and
table from the SQL that dbt compiled, then copies the mart's rows into an attached Postgres (DuckDB's CREATE TABLE AS,
which is a binary COPY). No contracts, indexes, fingerprints, comments or swap.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import duckdb


def main(compiled: Path, database: Path, table: str) -> None:
    """Build all models into ``database`` and the mart into ``table`` of the attached Postgres."""
    seconds: dict[str, float] = {}
    connection = duckdb.connect(
        str(database),
        config={
            "extension_directory": os.environ["LAKEHOUSE_DUCKDB_EXTENSION_DIR"],
            "memory_limit": os.environ["LAKEHOUSE_DUCKDB_MEMORY_LIMIT"],
            "threads": os.environ["LAKEHOUSE_DUCKDB_THREADS"],
            "preserve_insertion_order": False,
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    for model in json.loads(compiled.read_text(encoding="utf-8")):
        began = time.perf_counter()
        if model["materialized"] == "published":
            connection.execute(f"ATTACH '{os.environ['LAKEHOUSE_MARTS_DSN']}' AS marts (TYPE postgres)")
            connection.execute(f"CREATE TABLE marts.{table} AS {model['sql']}")
        else:
            kind = "VIEW" if model["materialized"] == "view" else "TABLE"
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {model['schema']}")
            connection.execute(f"CREATE {kind} {model['schema']}.{model['name']} AS {model['sql']}")
        seconds[model["name"]] = round(time.perf_counter() - began, 3)
    connection.close()
    print(json.dumps(seconds))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
