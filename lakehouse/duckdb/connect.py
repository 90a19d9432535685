"""Connections to DuckDB with the platform's memory, threads, extensions and lake credentials.

What belongs here: opening. What does not: waiting for the writer (see :mod:`lakehouse.duckdb.lock`) or any SQL that
names a table.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from lakehouse.duckdb.extensions import extension_directory
from lakehouse.scratch import process_folder
from lakehouse.settings import Settings
from lakehouse.sql import literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def connect(settings: Settings, path: Path | str = ":memory:", *, read_only: bool = False) -> DuckDBPyConnection:
    """Open DuckDB in UTC with the configured limits; the lake's S3 secret is set when the lake is on S3.

    Args:
        settings: the platform's settings.
        path: a DuckDB file, or ``:memory:`` (temporary data then spills under the data folder).
        read_only: open the file for reading only.

    Raises:
        ConfigError: an extension wheel is missing.
        duckdb.IOException: the file is held by a writer that does not use our lock.
    """
    import duckdb

    spill = process_folder(settings.data_path / "tmp")
    connection = duckdb.connect(
        str(path),
        read_only=read_only,
        config={
            "extension_directory": str(extension_directory(settings.data_path)),
            "memory_limit": settings.memory_limit,
            "threads": settings.threads,
            "temp_directory": str(spill),
        },
    )
    connection.execute("SET TimeZone = 'UTC'")
    if settings.lake_root.startswith("s3://"):
        connection.execute("LOAD httpfs")
        connection.execute(f"CREATE OR REPLACE TEMPORARY SECRET lake ({', '.join(s3_secret(settings))})")
    return connection


def s3_secret(settings: Settings) -> list[str]:
    """The parts of DuckDB's ``CREATE SECRET`` for the lake."""
    parts = ["TYPE s3", f"REGION {literal(settings.s3_region)}"]
    if key := settings.s3_access_key.get_secret_value():
        parts += [f"KEY_ID {literal(key)}", f"SECRET {literal(settings.s3_secret_key.get_secret_value())}"]
    if settings.s3_endpoint:
        endpoint = urlsplit(settings.s3_endpoint)
        parts += [
            f"ENDPOINT {literal(endpoint.netloc)}",
            "URL_STYLE 'path'",
            f"USE_SSL {str(endpoint.scheme == 'https').lower()}",
        ]
    return parts
