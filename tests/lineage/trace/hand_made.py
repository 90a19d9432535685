"""Models made by hand over tables in memory, and a trace through them without dbt, Postgres or files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

from lakehouse.storage.local import LocalLake
from lineage.trace.files import RawFiles
from lineage.trace.models import Models
from lineage.trace.result import Step
from lineage.trace.walk import Walker


class HandMade:
    """A warehouse in memory: tables, and models with their SQL."""

    def __init__(self) -> None:
        self.connection = duckdb.connect()
        self.connection.execute("CREATE SCHEMA s")
        self.sql: dict[str, str] = {}
        self.nodes: dict[str, dict[str, Any]] = {}

    def table(self, name: str, columns: str, rows: list[tuple[Any, ...]]) -> None:
        """A relation that no model makes."""
        self.connection.execute(f"CREATE TABLE s.{name} ({columns})")
        if rows:
            marks = ", ".join("?" for _ in rows[0])
            self.connection.executemany(f"INSERT INTO s.{name} VALUES ({marks})", rows)

    def model(self, name: str, sql: str, *key: str, **config: Any) -> None:
        """A model, built at once."""
        self.connection.execute(f"CREATE TABLE s.{name} AS {config.pop('built_by', sql)}")
        self.sql[name] = sql
        self.nodes[f"model.lakehouse.{name}"] = {
            "resource_type": "model",
            "unique_id": f"model.lakehouse.{name}",
            "name": name,
            "schema": "s",
            "fqn": ["lakehouse", "curated", "d", name],
            "config": {"unique_key": list(key), **config},
            "depends_on": {"nodes": [], "macros": []},
            "columns": {},
        }

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Ask the warehouse."""
        return self.connection.execute(query).fetchall()

    def trace(self, name: str, **key: Any) -> Step:
        """Trace the rows of a model with these values (None: null)."""
        models = Models({"nodes": self.nodes, "sources": {}})
        walker = Walker(
            self.connection,
            models,
            self.sql,
            RawFiles(self.connection, LocalLake(Path("/nowhere")), None, models),
            sample=10_000,
        )
        where = " AND ".join(f"{column} IS NOT DISTINCT FROM ?" for column in key)
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE start AS SELECT * FROM s.{name} WHERE {where}", [*key.values()]
        )
        (count,) = self.connection.execute("SELECT count(*) FROM start").fetchone()
        assert count, f"{name} has no such row"
        step = Step(name, f"s.{name}", "curated", "start", "", count)
        walker.follow(models.named(name), step, "start")
        return step


def step_of(trace: Step, relation: str) -> Step:
    """The one step of a relation."""
    (found,) = [step for step in trace.walk() if step.relation == f"s.{relation}" and step.role != "start"]
    return found


def ids(step: Step, column: str = "id") -> list[Any]:
    """Values of a column of the rows found, sorted; a row found twice shows twice."""
    return sorted(row[step.columns.index(column)] for row in step.sample)
