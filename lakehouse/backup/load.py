"""Dump files back into the databases, each in one transaction.

What belongs here: the scripts around what ``pg_restore`` prints. What does not: deciding whether to restore
(:mod:`lakehouse.backup.restore`).

Readers of the marts see the old tables until the last moment: the old schemas are renamed, which nobody outside the
transaction sees, the new ones are filled beside them, and only then are the old ones locked and dropped.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from lakehouse.backup.client import client, listing
from lakehouse.backup.dump import MARTS_SCHEMAS, snapshot
from lakehouse.backup.manifest import Manifest
from lakehouse.errors import ConfigError
from lakehouse.postgres import connect
from lakehouse.settings import Settings
from lakehouse.sql import identifier, literal

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

REPLACED = "__replaced"
# A change to the same owner changes nothing but takes the exclusive lock, on a view without what it reads.
TAKE = (
    "DO $$ BEGIN EXECUTE (SELECT format('ALTER TABLE %s OWNER TO %I', oid::regclass, pg_get_userbyid(relowner))"
    " FROM pg_class WHERE oid = {}::regclass); END $$"
)
# The schema public is the database's, not ours: only what is in it is replaced.
NOT_OURS = ("SCHEMA - public", "COMMENT - SCHEMA public", "ACL - SCHEMA public")


def load_state(settings: Settings, folder: Path) -> None:
    """Replace the platform's tables and Dagster's storage.

    Raises:
        UnavailableError: the database cannot be reached.
        LakehouseError: nothing was changed; quotes why.
    """
    dump = folder / "state.dump"
    wanted = [line for line in listing(dump) if not any(entry in line for entry in NOT_OURS)]
    with client(connect.state_url(settings)) as programs, tempfile.NamedTemporaryFile("w", suffix=".list") as chosen:
        chosen.write("\n".join(wanted) + "\n")
        chosen.flush()

        def write(into: IO[bytes]) -> None:
            into.write(b"DROP SCHEMA IF EXISTS data_platform CASCADE;\n")
            programs.script(dump, into, "--clean", "--if-exists", f"--use-list={chosen.name}")

        programs.replace(write)


def load_marts(settings: Settings, folder: Path, manifest: Manifest) -> None:
    """Replace the served schemas, and the views of others on them.

    A view of others that the backup does not know is kept, if it fits the tables that come back.

    Raises:
        UnavailableError: the database cannot be reached.
        LakehouseError: nothing was changed; quotes why, e.g. a view that does not fit.
    """
    url = connect.marts_admin_url(settings)
    with contextlib.ExitStack() as stack:
        programs = stack.enter_context(client(url))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lakehouse-")))
        with snapshot(url, what="the marts database") as present:
            views = present.dependents()
            tables = present.ask(
                "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE n.nspname = ANY(%(schemas)s) AND c.relkind IN ('r', 'v', 'm') ORDER BY c.relkind DESC, 1, 2",
                {"schemas": list(MARTS_SCHEMAS)},
            )
            schemas = [
                row[0]
                for row in present.ask(
                    "SELECT nspname FROM pg_namespace WHERE nspname = ANY(%(schemas)s)",
                    {"schemas": list(MARTS_SCHEMAS)},
                )
            ]
            newer = [view for view in views if ".".join(view) not in manifest.dependents]
            if newer:
                present.write_views(scratch / "newer.dump", newer)

        def write(into: IO[bytes]) -> None:
            _send(into, [f"ALTER SCHEMA {name} RENAME TO {name}{REPLACED}" for name in schemas])
            programs.script(folder / "marts.dump", into)
            for register, key, value, table in manifest.relations:
                change = f"SET relation = {literal(table)}::regclass WHERE {key} = {literal(value)}"
                _send(into, [f"UPDATE {register} {change}"])
            # Views first, as a reader does: the other order would wait for each other for good.
            old = [(f"{schema}{REPLACED}", table) for schema, table in tables]
            _send(into, [TAKE.format(literal(identifier(*name))) for name in [*reversed(views), *old]])
            _send(into, [f"DROP SCHEMA {name}{REPLACED} CASCADE" for name in schemas])
            _send(into, manifest.schemas)
            for name in reversed(manifest.dependents):
                schema, _, view = name.partition(".")
                _send(into, [f"DROP VIEW IF EXISTS {identifier(schema, view)}"])
            if "dependents" in manifest.parts:
                programs.script(folder / manifest.parts["dependents"].file, into)
            if newer:
                programs.script(scratch / "newer.dump", into)

        programs.replace(write)


def require_roles(settings: Settings, manifest: Manifest) -> list[str]:
    """Make sure that every role which the marts name is there; create what is missing, where we may, without login.

    Passwords are never in a backup. A role of our own name for the pipeline is given to the role that publishes now,
    so that it may do what the former one did.

    Returns:
        The roles created.

    Raises:
        ConfigError: roles are missing and may not be created; the remedy holds the statements.
    """
    url = connect.marts_admin_url(settings)
    with contextlib.closing(connect.connect_marts(settings)) as own, own.cursor() as cursor:
        writer = str(_one(cursor, "SELECT current_user"))
    with (
        contextlib.closing(connect.connect(url, what="the marts database")) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute("SELECT rolname FROM pg_roles")
        present = {row[0] for row in cursor.fetchall()}
        missing = [role for role in manifest.roles if role not in present and not role.startswith("pg_")]
        if not missing:
            return []
        statements = [f"CREATE ROLE {identifier(role)} NOLOGIN" for role in missing]
        statements += [
            f"GRANT {identifier(role)} TO {identifier(member)}"
            for role, member in manifest.members
            if role in missing or member in missing
        ]
        if "lakehouse_writer" in missing:
            statements.append(f"GRANT lakehouse_writer TO {identifier(writer)}")
        if "lakehouse_owner" in missing:  # the publish functions take over what the pipeline has loaded
            statements.append(f"GRANT {identifier(writer)} TO lakehouse_owner")
        if not _one(cursor, "SELECT rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = current_user"):
            raise ConfigError(
                f"The marts in the backup name roles that are not on {connect.server_of(url)}: {', '.join(missing)}.",
                remedy="As an administrator of the server: " + "; ".join(statements) + ";",
            )
        for statement in statements:
            cursor.execute(statement)
    return missing


def _one(cursor: Cursor, query: str) -> object:
    cursor.execute(query)
    row = cursor.fetchone()
    return row[0] if row else None


def _send(into: IO[bytes], statements: Sequence[str]) -> None:
    into.write("".join(f"{statement};\n" for statement in statements).encode())
