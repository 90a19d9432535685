"""Deletes everything the platform keeps outside the lake, but for the marts, which go on being served.

What belongs here: deleting. What does not: deciding that, or building anew (``lakehouse rebuild``).
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator

from psycopg2.extensions import cursor as Cursor

from lakehouse.backup import warehouse
from lakehouse.duckdb.lock import exclusive
from lakehouse.postgres import connect, embedded
from lakehouse.postgres.home import locate
from lakehouse.settings import Settings

DAGSTER_TABLES = (
    *("alembic_version", "asset_check_executions", "asset_check_partitions", "asset_daemon_asset_evaluations"),
    *("asset_event_tags", "asset_keys", "backfill_tags", "bulk_actions", "concurrency_limits", "concurrency_slots"),
    *("daemon_heartbeats", "dynamic_partitions", "event_logs", "instance_info", "instigators", "job_ticks", "jobs"),
    *("kvs", "pending_steps", "run_tags", "runs", "secondary_indexes", "snapshots"),
)
"""Dagster's storage, by name: it has no schema of its own, and others may use ``public`` too."""

LOCK_SECONDS = 5.0


def local_files(settings: Settings) -> None:
    """The warehouse, Dagster's home, dbt's artefacts, temporary files."""
    with exclusive(settings.warehouse, "rebuild", timeout=LOCK_SECONDS):
        warehouse.replace(settings, None)
    for folder in (settings.dagster_home, settings.dbt_dir, settings.data_path / "tmp"):
        shutil.rmtree(folder, ignore_errors=True)


def state(settings: Settings) -> None:
    """The platform's tables and Dagster's storage; damaged ones too, nothing of them is read.

    Raises:
        UnavailableError: the state database cannot be reached.
    """
    with _transaction(connect.state_url(settings), "the state database") as cursor:
        cursor.execute("DROP SCHEMA IF EXISTS data_platform CASCADE")
        for table in DAGSTER_TABLES:
            cursor.execute(f"DROP TABLE IF EXISTS public.{table} CASCADE")


def forget_publications(settings: Settings) -> None:
    """Have every mart published anew, whatever it holds; until then the old ones are served.

    Raises:
        UnavailableError: the marts database cannot be reached.
    """
    with _transaction(connect.marts_admin_url(settings), "the marts database") as cursor:
        cursor.execute("UPDATE marts_build.publications SET fingerprint = NULL, model_checksum = NULL")


def embedded_cluster(settings: Settings) -> None:
    """The embedded server with all its databases, the marts included. For one that does not start any more.

    Raises:
        BusyError: processes use it.
    """
    if not settings.embedded_postgres:
        return
    embedded.stop(settings)
    shutil.rmtree(locate(settings).cluster, ignore_errors=True)


@contextlib.contextmanager
def _transaction(url: str, what: str) -> Iterator[Cursor]:
    with (
        contextlib.closing(connect.connect(url, what=what)) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        yield cursor
