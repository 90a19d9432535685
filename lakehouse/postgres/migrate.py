"""Brings the state and the marts database to the newest version.

What belongs here: running migrations. What does not: their content (``migrations/state``, ``migrations/marts``).

A database at its newest version costs one SELECT; Alembic and SQLAlchemy are imported only when there is work. Each
upgrade is one transaction under an advisory lock: concurrent callers wait, and a failure leaves the old version.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.errors import ConfigError, LakehouseError
from lakehouse.postgres import connect
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from psycopg2.extensions import cursor as Cursor
    from sqlalchemy import Connection as SQLAlchemyConnection

log = logging.getLogger(__name__)
MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True)
class Tree:
    """The migrations of one database.

    Attributes:
        name: for messages, ``state`` or ``marts``.
        folder: holds ``NNNN_*.py`` and, optionally, ``sql/*.sql``, scripts that run again when they change.
        schema: where the version table is.
    """

    name: str
    folder: Path
    schema: str

    @property
    def head(self) -> str:
        """The newest version, from the file names."""
        return max(path.name[:4] for path in self.folder.glob("[0-9][0-9][0-9][0-9]_*.py"))

    @property
    def scripts(self) -> dict[str, str]:
        """SQL text of each script by name, in order."""
        return {path.name: path.read_text(encoding="utf-8") for path in sorted((self.folder / "sql").glob("*.sql"))}


STATE = Tree("state", MIGRATIONS / "state", "data_platform")
MARTS = Tree("marts", MIGRATIONS / "marts", "marts_build")


def migrate_state(settings: Settings) -> bool:
    """Bring the state database up to date. The server must run.

    Returns:
        Whether anything was applied.

    Raises:
        UnavailableError: the server cannot be reached.
        ConfigError: the database is newer than this checkout, or rights are missing.
        LakehouseError: a migration failed; the database stays at its old version.
    """
    with contextlib.closing(connect.connect_state(settings)) as connection:
        return _up_to_head(connection, STATE, None)


def migrate_marts(settings: Settings) -> bool:
    """Bring the marts database up to date, its roles and publish functions included. The server must run.

    Returns:
        Whether anything was applied.

    Raises:
        UnavailableError: the server cannot be reached.
        ConfigError: the database is newer than this checkout, or rights are missing.
        LakehouseError: a migration failed; the database stays at its old version.
    """
    with contextlib.closing(connect.connect_marts(settings)) as connection:
        if _at_head(connection, MARTS):
            return False
        with connection.cursor() as cursor:
            cursor.execute("SELECT current_user")
            writer = str((cursor.fetchone() or [""])[0])
    url = connect.marts_admin_url(settings)
    with contextlib.closing(connect.connect(url, what="the marts database (migrations)")) as connection:
        return _up_to_head(connection, MARTS, writer)


def _at_head(connection: Connection, tree: Tree) -> bool:
    import psycopg2

    query = f"SELECT version_num, '{{}}'::json FROM {tree.schema}.alembic_version"
    if scripts := tree.scripts:
        query = (
            f"SELECT version_num, (SELECT coalesce(json_object_agg(name, checksum), '{{}}') FROM {tree.schema}.scripts)"
            f" FROM {tree.schema}.alembic_version"
        )
    try:
        with connection.cursor() as cursor:
            cursor.execute(query)
            row = cursor.fetchone()
    except (psycopg2.errors.UndefinedTable, psycopg2.errors.InvalidSchemaName, psycopg2.errors.InsufficientPrivilege):
        return False
    finally:
        connection.rollback()
    if row is None:
        return False
    if row[0] > tree.head:
        raise ConfigError(
            f"The {tree.name} database is at version {row[0]}, newer than this checkout knows ({tree.head}).",
            remedy="Update the checkout; an older one must not write to it.",
        )
    return bool(row[0] == tree.head and all(row[1].get(name) == _checksum(text) for name, text in scripts.items()))


def _up_to_head(connection: Connection, tree: Tree, writer: str | None) -> bool:
    """Migrate in one transaction; ``writer`` is the role of the marts URL, None for the state."""
    if _at_head(connection, tree):
        return False
    import psycopg2
    from sqlalchemy import create_engine
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.pool import StaticPool

    applied: list[str] = []
    engine = create_engine("postgresql+psycopg2://", creator=lambda: connection, poolclass=StaticPool)
    try:
        # SQLAlchemy rolls back while it connects: only what follows is in the transaction, so the lock comes after it.
        with engine.connect() as wrapped, wrapped.begin():
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"lakehouse {tree.name}",))
                _prepare(cursor, tree, writer)
            _alembic(wrapped, tree, applied)
            if writer is not None:
                applied += _run_scripts(connection, tree)
    except (psycopg2.Error, DBAPIError) as error:
        text = str(getattr(error, "orig", None) or error).strip()
        raise LakehouseError(
            f"Migrating the {tree.name} database at {_server(connection)} failed after "
            f"{applied[-1] if applied else 'no step'}: {text}",
            remedy="Nothing was changed: the database is as before. Mend what the message names and run again.",
        ) from error
    log.info("Migrated the %s database: %s", tree.name, ", ".join(applied) or "already done by another process")
    return bool(applied)


def _prepare(cursor: Cursor, tree: Tree, writer: str | None) -> None:
    from lakehouse.postgres.roles import ensure_schema, resolve

    if writer is None:
        ensure_schema(cursor, tree.schema)
        return
    roles = resolve(cursor, writer)
    for schema in ("marts", tree.schema):
        ensure_schema(cursor, schema, roles.owner)
    for name, value in (("owner", roles.owner), ("writer", roles.writer), ("bi", roles.bi or "")):
        cursor.execute("SELECT set_config(%s, %s, true)", (f"lakehouse.{name}", value))
    # From here on as the owner, so that everything belongs to it.
    cursor.execute("SELECT set_config('role', %s, true)", (roles.owner,))


def _alembic(wrapped: SQLAlchemyConnection, tree: Tree, applied: list[str]) -> None:
    from alembic import command
    from alembic.config import Config

    def note(*, step: Any, **_: object) -> None:  # Alembic keeps its type private
        applied.append(str(step.up_revision_id))

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("version_locations", str(tree.folder).replace("%", "%%"))
    config.set_main_option("path_separator", "newline")  # a folder name may hold any other separator
    config.attributes.update(connection=wrapped, schema=tree.schema, on_version_apply=note)
    command.upgrade(config, "head")


def _run_scripts(connection: Connection, tree: Tree) -> list[str]:
    ran = []
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT name, checksum FROM {tree.schema}.scripts")
        known = dict(cursor.fetchall())
        for name, text in tree.scripts.items():
            if known.get(name) == _checksum(text):
                continue
            cursor.execute(text)
            cursor.execute(
                f"INSERT INTO {tree.schema}.scripts (name, checksum) VALUES (%s, %s) ON CONFLICT (name) "
                "DO UPDATE SET checksum = excluded.checksum, applied_at = now()",
                (name, _checksum(text)),
            )
            ran.append(name)
        cursor.execute("SELECT quote_ident(current_setting('lakehouse.writer'))")
        writer = (cursor.fetchone() or [""])[0]
        cursor.execute(f"REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA {tree.schema} FROM PUBLIC")
        cursor.execute(f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA {tree.schema} TO {writer}")
    return ran


@functools.cache
def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _server(connection: Connection) -> str:
    facts = connection.info
    return f"{facts.host}:{facts.port}/{facts.dbname}"
