"""A dbt project of one mart over the real macros and the real Postgres, driven in process."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lakehouse.dbt.environment import dbt_environment
from lakehouse.dbt.manifest import DBT_PROJECT
from lakehouse.postgres.connect import bi_url, connect, marts_admin_url
from lakehouse.settings import Settings

MART = "marts.orders"
PROJECT = f"""
name: lakehouse
version: "1.0.0"
config-version: 2
profile: lakehouse
model-paths: [models]
macro-paths: ["{DBT_PROJECT / "macros"}"]
flags: {{send_anonymous_usage_stats: false}}
models:
  lakehouse:
    +database: marts
    +schema: marts
    +materialized: published
    +persist_docs: {{relation: true, columns: true}}
vars: {{run_id: null, version: 0}}
"""


class MartProject:
    """One mart, ``marts.orders``, whose model a test writes; every publication is a real ``dbt run``."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings
        self.manifest: Any = None
        (folder / "models").mkdir(parents=True, exist_ok=True)
        (folder / "dbt_project.yml").write_text(PROJECT)

    def model(self, sql: str, *, key: str = "id", mode: str = "upsert", more: str = "", not_null: str = "") -> None:
        """Write the model; ``key`` and ``not_null`` are column names separated by commas."""
        keys = ", ".join(f"'{name}'" for name in key.split(",") if name)
        self.manifest = None
        config = f"publish_mode='{mode}', publish_key=[{keys}]{', ' + more if more else ''}"
        (self.folder / "models" / "orders.sql").write_text(f"{{{{ config({config}) }}}}\n{sql}\n")
        columns = [
            f"{{name: {name}, constraints: [{{type: not_null, warn_unsupported: false}}]}}"
            for name in not_null.split(",")
            if name
        ]
        (self.folder / "models" / "orders.yml").write_text(
            f"models: [{{name: orders, description: Orders., columns: [{', '.join(columns)}]}}]\n"
        )

    def rows(self, *rows: tuple[int, str, float | None], **options: Any) -> None:
        """Write the model as literal rows (id, customer, amount)."""
        values = ", ".join(f"({i}, '{name}', {'null' if n is None else n})" for i, name, n in rows)
        sql = f"select * from (values {values or '(null, null, null)'}) as t (id, customer, amount)"
        sql = f"select id::bigint as id, customer::varchar as customer, amount::double as amount from ({sql})"
        self.model(sql + ("" if rows else " where false"), **options)

    def publish(self, run_id: str | None = None, *, full_refresh: bool = False, **variables: Any) -> str:
        """``dbt run``; its message, e.g. ``PUBLISHED 3 (1 written, 0 deleted)``.

        Raises:
            AssertionError: the run failed; carries dbt's message.
        """
        # Parsed without variables: others than last time would have dbt parse everything again.
        if self.manifest is None:
            self.manifest = self._dbt("parse").result
            self.manifest.build_flat_graph()
        args = ["--vars", json.dumps({"run_id": run_id, **variables}), *(["--full-refresh"] if full_refresh else [])]
        (outcome,) = self._dbt("run", *args).result.results
        if outcome.status != "success":
            raise AssertionError(outcome.message)
        return str(outcome.message)

    def _dbt(self, command: str, *args: str) -> Any:
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager
        from dbt.cli.main import dbtRunner

        self.settings.warehouse.parent.mkdir(parents=True, exist_ok=True)
        os.environ.update(dbt_environment(self.settings))
        common = ["--target", "postgres", "--project-dir", str(self.folder), "--profiles-dir", str(DBT_PROJECT)]
        common += ["--target-path", str(self.folder / "target"), "--log-path", str(self.folder / "logs")]
        common += ["--log-level", "none", "--no-write-json"]
        try:
            result = dbtRunner(manifest=self.manifest).invoke([command, *common, *args])
        finally:
            DuckDBConnectionManager.close_all_connections()
        assert result.exception is None, str(result.exception)
        return result

    @contextlib.contextmanager
    def session(self, *, reader: bool = False) -> Iterator[Any]:
        """A cursor in the marts database, each statement its own transaction."""
        url = bi_url(self.settings) if reader else marts_admin_url(self.settings)
        with contextlib.closing(connect(url, what="the test marts")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                yield cursor

    def sql(self, *statements: str) -> list[tuple[Any, ...]]:
        """Run statements in the marts database as its superuser; rows of the last one."""
        with self.session() as cursor:
            for statement in statements:
                cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def content(self) -> list[tuple[Any, ...]]:
        """What is served, by key."""
        return self.sql(f"select * from {MART} order by id")

    def left_behind(self) -> list[str]:
        """Tables beside the mart, kept versions and our own registers; nobody else's locks on any of them."""
        found = self.sql(
            "select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where c.relkind in ('r', 'v') and (n.nspname in ('marts', 'marts_build') or n.nspname like 'pg_temp%')"
            " and c.relname not in (select relation from marts_build.versions) and n.nspname || '.' || c.relname not in"
            f" ('{MART}', 'marts_build.publications', 'marts_build.versions', 'marts_build.scripts',"
            " 'marts_build.alembic_version')"
        )
        found += self.sql("select 'prepared: ' || gid from pg_prepared_xacts")
        found += self.sql(
            "select 'lock: ' || relation::regclass from pg_locks l join pg_class c on c.oid = l.relation"
            " join pg_stat_activity a on a.pid = l.pid and a.backend_type = 'client backend'"  # the server may vacuum
            " join pg_namespace n on n.oid = c.relnamespace where n.nspname in ('marts', 'marts_build')"
        )
        return [name for (name,) in found]
