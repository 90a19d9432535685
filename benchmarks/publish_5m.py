"""Publishing a mart of 5 million rows beside ``psql \\copy`` of the same rows from a file into an equal table.

Measured: the materialization ``published`` as dbt runs it, statement by statement (dbt's own events), in a warm
process. Ours is the whole of it but for three parts that are counted apart: computing the model (here a copy of a
table), building indexes, and the swap. It holds the check of the key, the fingerprint, the table, binary COPY,
statistics, the commit and the register for later upserts. The baseline is the whole psql process, reading a CSV file
that is in the page cache, in one transaction with the creation of its table (the same columns, NOT NULL alike). An
upsert of one row in a hundred is shown beside.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Limit, Outcome
from benchmarks.options import Options
from benchmarks.places import Place, a_place
from benchmarks.processes import BenchmarkError

ROWS = 5_000_000
REPEAT = 5
LIMIT = Limit("ratio", 1.25)
COLUMNS = {
    "id": "bigint",
    "batch_id": "varchar",
    "parameter": "varchar",
    "measured_at": "timestamp",
    "value": "double",
    "low": "double",
    "high": "double",
    "samples": "integer",
    "is_plausible": "boolean",
    "unit": "varchar",
}
ROWS_SQL = """
create or replace table readings as
select i as id, 'B' || lpad((i // 5000)::varchar, 5, '0') as batch_id, 'parameter_' || i % 8 as parameter,
    timestamp '2026-01-01' + to_seconds(i) as measured_at, sin(i) * 100 + {shift} * (i % 100 = 0)::int as value,
    cos(i) as low, cos(i) + 50 as high, (i % 300)::integer as samples, i % 17 <> 0 as is_plausible, 'rpm' as unit
from range({rows}) as r (i)
"""


@dataclass
class Statements:
    """Seconds by part, from dbt's events."""

    parts: dict[str, float] = field(default_factory=dict)
    began: float = 0.0
    sql: str = ""

    def __call__(self, event: Any) -> None:
        """Take note of a statement's beginning and end."""
        if event.info.name == "SQLQuery":
            self.began, self.sql = time.perf_counter(), event.data.sql
        elif event.info.name == "SQLQueryStatus" and self.sql:
            part = part_of(self.sql)
            self.parts[part] = self.parts.get(part, 0.0) + time.perf_counter() - self.began
            self.sql = ""


def part_of(sql: str) -> str:
    """Which part of a publication a statement of the materialization is."""
    for sign, part in (
        ('create or replace temporary table "published__', "compute"),
        ("create unique index", "indexes"),
        ("create index", "indexes"),
        ("marts_build.publish(", "swap"),
        ('insert into "marts"', "copy"),
        ("as row_hash", "fingerprint"),
        ("group by", "key"),
        (".published.", "register"),
        ("analyze marts_build", "statistics"),
    ):
        if sign in " ".join(sql.split()):
            return part
    return "other"


def measure(options: Options) -> Outcome:
    """Publications and ``\\copy`` in turn."""
    rows = ROWS
    repeat = options.repeat or REPEAT
    with a_place() as place:
        project = _project(place)
        file = place.home / "readings.csv"
        ours: list[float] = []
        copies: list[float] = []
        parts: list[Mapping[str, float]] = []
        for number in range(repeat + 1):
            _fill(place, rows, number, file)
            seconds, found = _publish(place, project, rows, "--full-refresh")
            copied = _copy(place, file)
            options.say(f"{number}/{repeat} publish {seconds:.2f} s {found}, \\copy {copied:.2f} s")
            if number == 0:
                continue  # warm-up: the server's and the disk's first files
            apart = sum(found.get(name, 0.0) for name in ("compute", "indexes", "swap"))
            ours.append(seconds - apart)
            copies.append(copied)
            parts.append(found)
        upserts = []
        for number in range(repeat):
            _fill(place, rows, repeat + 1 + number, None)
            seconds, found = _publish(place, project, rows)
            options.say(f"{number + 1}/{repeat} upsert of one row in a hundred: {seconds:.2f} s {found}")
            upserts.append(seconds - found.get("compute", 0.0))
    figures = [
        Figure("publish_5m", "s", ours, "psql \\copy", copies, LIMIT),
        *(
            Figure(f"publish_5m: {name}", "s", [found.get(name, 0.0) for found in parts])
            for name in ("key", "fingerprint", "copy", "statistics", "register", "indexes", "swap")
        ),
        Figure("publish_5m: upsert of 1 %", "s", upserts, "psql \\copy of all", copies),
    ]
    return Outcome(figures, {"rows": rows, "columns": len(COLUMNS), "indexes": 2})


def _project(place: Place) -> Path:
    from lakehouse.dbt.manifest import DBT_PROJECT

    folder = place.home / "project"
    (folder / "models").mkdir(parents=True)
    (folder / "dbt_project.yml").write_text(
        json.dumps(
            {
                "name": "lakehouse",
                "version": "1.0.0",
                "config-version": 2,
                "profile": "lakehouse",
                "macro-paths": [str(DBT_PROJECT / "macros")],
                "models": {"+database": "marts", "+schema": "marts", "+materialized": "published"},
            }
        )
    )
    (folder / "models" / "readings.sql").write_text(
        "{{ config(publish_mode='upsert', publish_key=['id'], indexes=[{'columns': ['batch_id', 'parameter']}]) }}\n"
        "select * from {{ target.database }}.main.readings\n"
    )
    columns = [
        {"name": name, "data_type": kind, "constraints": [{"type": "not_null", "warn_unsupported": False}]}
        for name, kind in COLUMNS.items()
    ]
    (folder / "models" / "readings.yml").write_text(json.dumps({"models": [{"name": "readings", "columns": columns}]}))
    return folder


def _fill(place: Place, rows: int, shift: int, file: Path | None) -> None:
    import duckdb

    place.settings.warehouse.parent.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(str(place.settings.warehouse)) as warehouse:
        warehouse.execute(ROWS_SQL.format(rows=rows, shift=shift))
        if file is not None:
            warehouse.execute(f"copy readings to '{file}' (header false)")


def _publish(place: Place, project: Path, rows: int, *options: str) -> tuple[float, dict[str, float]]:
    """Seconds of the model's node, and of its parts."""
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    from lakehouse.dbt.environment import dbt_environment
    from lakehouse.dbt.manifest import DBT_PROJECT

    os.environ.update(dbt_environment(place.settings))
    statements = Statements()
    args = ["run", "--target", "postgres", "--project-dir", str(project), "--profiles-dir", str(DBT_PROJECT)]
    args += ["--target-path", str(project / "target"), "--log-path", str(project / "logs"), "--log-level", "none"]
    listeners: list[Callable[[Any], None]] = [statements]
    try:
        result = dbtRunner(callbacks=listeners).invoke([*args, *options])
    finally:
        DuckDBConnectionManager.close_all_connections()
    if result.exception is not None or not result.success:
        raise BenchmarkError(f"dbt: {result.exception or result.result.results[0].message}")
    (outcome,) = result.result.results
    if not outcome.message.startswith(f"PUBLISHED {rows}"):
        raise BenchmarkError(f"{outcome.message} instead of {rows} rows published")
    return outcome.execution_time, {name: round(value, 3) for name, value in statements.parts.items()}


def _copy(place: Place, file: Path) -> float:
    """Seconds of ``psql`` creating a table and copying the file into it."""
    from lakehouse.postgres.binaries import find
    from lakehouse.postgres.connect import marts_dsn

    kinds = {"varchar": "text", "double": "double precision"}
    columns = ", ".join(f"{name} {kinds.get(kind, kind)} not null" for name, kind in COLUMNS.items())
    command = [str(find() / "psql"), marts_dsn(place.settings), "-X", "-q", "-1", "-v", "ON_ERROR_STOP=1"]
    copy = f"\\copy marts_build.copied from '{file}' csv"
    began = time.perf_counter()
    done = subprocess.run(
        [*command, "-c", f"create table marts_build.copied ({columns})", "-c", copy],
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - began
    if done.returncode:
        raise BenchmarkError(f"psql: {done.stderr}")
    place.marts("drop table marts_build.copied", "checkpoint")
    return seconds
