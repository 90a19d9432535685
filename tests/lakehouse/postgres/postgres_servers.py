"""What the tests of the Postgres room share."""

from __future__ import annotations

import contextlib
from pathlib import Path

from lakehouse.postgres import ports
from lakehouse.settings import Settings


def make_settings(data: Path, **values: object) -> Settings:
    return Settings(_env_file=None, **{"data_dir": data, "postgres_port": ports.free_port(), **values})


def count(url: str, sql: str) -> object:
    """The first value of a query, in a connection of its own."""
    from lakehouse.postgres.connect import connect

    with contextlib.closing(connect(url, what="the test database")) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(sql)
            return cursor.fetchone()[0] if cursor.description else None
