"""Roles, passwords and databases on the stack's two Postgres servers, made or brought up to date.

What belongs here: what needs a superuser. What does not: schemas, tables and grants on them (migrations).
Every statement may run again: a changed password in ``.env`` is given to the server by running it once more.
The embedded server's counterpart is :mod:`lakehouse.postgres.cluster`.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from lakehouse.errors import ConfigError
from lakehouse.postgres.connect import connect
from lakehouse.postgres.passfile import BI, OWNER

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.sql import Composable


def login(url: str) -> tuple[str, str, str]:
    """Role, password and database of a URL."""
    parts = urlsplit(url)
    return unquote(parts.username or ""), unquote(parts.password or ""), unquote(parts.path.lstrip("/"))


def prepare_state(superuser_url: str, state_url: str) -> list[str]:
    """One role that owns one database, nobody else connects.

    Args:
        superuser_url: of any database of the server, for a role that may create roles and databases.
        state_url: LAKEHOUSE_STATE_URL.

    Returns:
        What was created.
    """
    role, password, database = login(state_url)
    with contextlib.closing(connect(superuser_url, what="the state server (set-up)")) as connection:
        connection.autocommit = True  # CREATE DATABASE does not run in a transaction
        made = _role(connection, role, password)
        made += _database(connection, database, owner=role)
    return made


def prepare_marts(superuser_url: str, marts_url: str, admin_url: str, bi_password: str) -> list[str]:
    """Owner, admin, writer and reader of the marts, with passwords of their own, and the database.

    The owner cannot log in; the admin may act as the owner, the owner as the writer, never the reverse.

    Args:
        superuser_url: of any database of the server, for a role that may create roles and databases.
        marts_url: LAKEHOUSE_MARTS_URL, the writer.
        admin_url: LAKEHOUSE_MARTS_ADMIN_URL, for migrations.
        bi_password: of the role that reads.

    Returns:
        What was created.

    Raises:
        ConfigError: the two URLs name different databases, or the same role.
    """
    writer, writer_password, database = login(marts_url)
    admin, admin_password, admin_database = login(admin_url)
    if admin_database != database or admin == writer:
        raise ConfigError(
            "LAKEHOUSE_MARTS_URL and LAKEHOUSE_MARTS_ADMIN_URL must name one database and two roles.",
            remedy="Mend them in the environment of the service.",
        )
    with contextlib.closing(connect(superuser_url, what="the marts server (set-up)")) as connection:
        connection.autocommit = True
        made = _role(connection, OWNER, None)
        for role, password in ((writer, writer_password), (admin, admin_password), (BI, bi_password)):
            made += _role(connection, role, password)
        # The writer is a reader too: a published table changes its owner, which takes the former one's rights away.
        for role, of in ((OWNER, writer), (admin, OWNER), (writer, BI)):
            _execute(connection, "GRANT {} TO {}", of, role)
        _execute(connection, "ALTER ROLE {} SET default_transaction_read_only = on", BI)
        made += _database(connection, database, owner=OWNER)
        _execute(connection, "GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}", database, writer)
        _execute(connection, "GRANT CONNECT ON DATABASE {} TO {}", database, BI)
    return made


def _role(connection: Connection, role: str, password: str | None) -> list[str]:
    """Create a role unless it exists; with a password it logs in."""
    from psycopg2 import sql
    from psycopg2.extensions import encrypt_password

    created = not _exists(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", role)
    if created:
        _execute(connection, "CREATE ROLE {} NOLOGIN", role)
    if password is not None:
        # Hashed here: neither the wire nor the server's log ever has the password itself.
        hashed = encrypt_password(password, role, scope=connection, algorithm="scram-sha-256")
        _execute(connection, "ALTER ROLE {} LOGIN PASSWORD {}", role, literal=sql.Literal(hashed))
    return [f"role {role}"] if created else []


def _database(connection: Connection, database: str, *, owner: str) -> list[str]:
    created = not _exists(connection, "SELECT 1 FROM pg_database WHERE datname = %s", database)
    if created:
        _execute(connection, "CREATE DATABASE {} OWNER {}", database, owner)
    for name in (database, "postgres", "template1"):
        _execute(connection, "REVOKE ALL ON DATABASE {} FROM PUBLIC", name)
    return [f"database {database}"] if created else []


def _exists(connection: Connection, query: str, name: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(query, (name,))
        return cursor.fetchone() is not None


def _execute(connection: Connection, statement: str, *names: str, literal: Composable | None = None) -> None:
    from psycopg2 import sql

    parts: list[Composable] = [sql.Identifier(name) for name in names]
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(statement).format(*parts, *([literal] if literal is not None else [])))
