"""Which roles own, write and read the marts, on our own server and on one that others administer.

The embedded server has all three. Elsewhere we create what we may and use what exists.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lakehouse.errors import ConfigError
from lakehouse.postgres.passfile import BI, OWNER

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MartRoles:
    """Names of roles.

    Attributes:
        owner: owns the schemas, the served tables and the publish functions; may act as the writer.
        writer: the pipeline, i.e. the role of the marts URL.
        bi: reads what is served; None where it does not exist and may not be created.
    """

    owner: str
    writer: str
    bi: str | None


def resolve(cursor: Cursor, writer: str) -> MartRoles:
    """Find out, and create what is missing where the connected role may.

    Args:
        cursor: of the role that migrates.
        writer: the role of the marts URL.

    Raises:
        ConfigError: the connected role can neither act as the writer nor create an owner that can.
    """
    cursor.execute(
        "SELECT current_user, rolsuper, rolcreaterole OR rolsuper FROM pg_roles WHERE rolname = current_user"
    )
    admin, superuser, creates = _row(cursor)
    owner = _owner(cursor, str(admin), writer, bool(superuser))
    bi = BI
    if not _exists(cursor, BI):
        if not creates:
            log.warning(
                "Role %s may not create roles: there is no %s, and who reads the marts is for the administrator "
                "of the server to grant.",
                admin,
                BI,
            )
            return MartRoles(owner, writer, None)
        cursor.execute(f"CREATE ROLE {BI} NOLOGIN")
        superuser = True  # of this role: who creates one administers it
        log.info("Created role %s; grant it to those who read the marts.", BI)
    cursor.execute(
        "SELECT has_database_privilege(%s, current_database(), 'CONNECT'), quote_ident(current_database())", (bi,)
    )
    connects, database = _row(cursor)
    if not connects:
        cursor.execute(f"GRANT CONNECT ON DATABASE {database} TO {BI}")
    if owner != writer and superuser and not _member(cursor, writer, BI):
        # A table that changes its owner takes the former one's rights away; as a reader the writer still sees it.
        cursor.execute("SELECT quote_ident(%s)", (writer,))
        cursor.execute(f"GRANT {BI} TO {_row(cursor)[0]}")
    return MartRoles(owner, writer, bi)


def ensure_schema(cursor: Cursor, schema: str, owner: str | None = None) -> None:
    """Create ``schema`` unless it exists (asking first: ``IF NOT EXISTS`` needs the right to create in any case).

    Raises:
        ConfigError: it exists and ``owner`` may not create in it.
    """
    cursor.execute("SELECT quote_ident(coalesce(%s, current_user::text)), coalesce(%s, current_user)", (owner, owner))
    quoted, name = _row(cursor)
    cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname = %s", (schema,))
    if cursor.fetchone() is None:
        cursor.execute(f"CREATE SCHEMA {schema} AUTHORIZATION {quoted}")
        return
    cursor.execute("SELECT pg_has_role(%s, nspowner, 'USAGE') FROM pg_namespace WHERE nspname = %s", (name, schema))
    if not _row(cursor)[0]:
        raise ConfigError(
            f"Schema {schema} exists already, and role {name} does not own it.",
            remedy=f"As its owner: ALTER SCHEMA {schema} OWNER TO {quoted};",
        )


def _owner(cursor: Cursor, admin: str, writer: str, superuser: bool) -> str:
    if admin == writer and not (superuser and _exists(cursor, OWNER)):
        return writer  # one role does it all
    if superuser and not _exists(cursor, OWNER):
        cursor.execute(f"CREATE ROLE {OWNER} NOLOGIN")
        log.info("Created role %s, which owns the marts.", OWNER)
    if superuser and not _member(cursor, OWNER, writer):
        cursor.execute("SELECT quote_ident(%s)", (writer,))
        cursor.execute(f"GRANT {_row(cursor)[0]} TO {OWNER}")
    for role in (OWNER, admin, writer):
        if _exists(cursor, role) and _member(cursor, admin, role) and _member(cursor, role, writer):
            return role
    raise ConfigError(
        f"Role {admin} of LAKEHOUSE_MARTS_ADMIN_URL can neither act as {writer} nor create a role that can.",
        remedy=f'As an administrator of the server: GRANT "{writer}" TO "{admin}";',
    )


def _exists(cursor: Cursor, role: str) -> bool:
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,))
    return cursor.fetchone() is not None


def _member(cursor: Cursor, role: str, of: str) -> bool:
    cursor.execute("SELECT pg_has_role(%s, %s, 'USAGE')", (role, of))
    return bool(_row(cursor)[0])


def _row(cursor: Cursor) -> tuple[object, ...]:
    row = cursor.fetchone()
    if row is None:
        raise LookupError("the query gave no row")
    return tuple(row)
