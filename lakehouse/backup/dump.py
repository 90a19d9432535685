"""State and marts database into dump files, all showing the same moment.

What belongs here: which schemas are ours, what others built on the marts, and counting rows in the dumped snapshot.
What does not: the client programs (:mod:`lakehouse.backup.client`) and putting anything back.

A snapshot is exported first and kept open, so the rows that are counted are the rows that are dumped, whatever is
written meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lakehouse.backup.client import client
from lakehouse.backup.manifest import Part, part_of
from lakehouse.postgres import connect
from lakehouse.sql import identifier

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

STATE_SCHEMAS = ("data_platform", "public")
"""The platform's own tables, and Dagster's storage, which knows no schema of its own."""
MARTS_SCHEMAS = ("marts", "marts_build")

RELATIONS = {"marts_build.publications": "mart"}
"""Registers with a column ``relation`` that holds OIDs, and their keys (``versions`` names its tables)."""

# Relations of others that read ours, at any depth: a view's rewrite rule depends on what the view reads.
DEPENDENTS = """
    WITH RECURSIVE found (oid, depth) AS (
        SELECT c.oid, 0 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = ANY(%(schemas)s)
        UNION ALL
        SELECT r.ev_class, found.depth + 1 FROM found
        JOIN pg_depend d ON d.refobjid = found.oid AND d.refclassid = 'pg_class'::regclass
            AND d.classid = 'pg_rewrite'::regclass
        JOIN pg_rewrite r ON r.oid = d.objid AND r.ev_class <> found.oid
    )
    SELECT n.nspname, c.relname, max(found.depth) FROM found JOIN pg_class c ON c.oid = found.oid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT n.nspname = ANY(%(schemas)s) AND n.nspname NOT LIKE 'pg\\_%%' AND c.relkind IN ('v', 'm')
    GROUP BY 1, 2 ORDER BY 3, 1, 2
"""

# Whatever else would be lost with our tables: foreign keys, functions with a parsed body, tables that inherit.
OTHERS = """
    SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid)
    FROM pg_depend d JOIN pg_class c ON d.refclassid = 'pg_class'::regclass AND d.refobjid = c.oid
    JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = ANY(%(schemas)s)
    LEFT JOIN pg_constraint k ON d.classid = 'pg_constraint'::regclass AND k.oid = d.objid
    LEFT JOIN pg_proc f ON d.classid = 'pg_proc'::regclass AND f.oid = d.objid
    LEFT JOIN pg_class t ON d.classid = 'pg_class'::regclass AND t.oid = d.objid AND t.relkind IN ('r', 'p', 'f')
    WHERE d.deptype = 'n' AND NOT coalesce(k.connamespace, f.pronamespace, t.relnamespace) IN (
        SELECT oid FROM pg_namespace WHERE nspname = ANY(%(schemas)s))
    ORDER BY 1
"""

# Roles named by owners, grants and default privileges in the schemas.
ROLES = """
    WITH ours AS (SELECT oid, nspowner, nspacl FROM pg_namespace WHERE nspname = ANY(%(schemas)s)),
    relations AS (SELECT relowner, relacl FROM pg_class WHERE relnamespace IN (SELECT oid FROM ours)
        OR oid = ANY(%(dependents)s::regclass[])),
    acls AS (
        SELECT nspacl AS acl FROM ours UNION ALL SELECT relacl FROM relations
        UNION ALL SELECT attacl FROM pg_attribute WHERE attrelid IN (
            SELECT oid FROM pg_class WHERE relnamespace IN (SELECT oid FROM ours))
        UNION ALL SELECT proacl FROM pg_proc WHERE pronamespace IN (SELECT oid FROM ours)
        UNION ALL SELECT defaclacl FROM pg_default_acl WHERE defaclnamespace IN (SELECT oid FROM ours)
    ),
    used (oid) AS (
        SELECT nspowner FROM ours UNION SELECT relowner FROM relations
        UNION SELECT proowner FROM pg_proc WHERE pronamespace IN (SELECT oid FROM ours)
        UNION SELECT defaclrole FROM pg_default_acl WHERE defaclnamespace IN (SELECT oid FROM ours)
        UNION SELECT grantee FROM acls, aclexplode(acl) UNION SELECT grantor FROM acls, aclexplode(acl)
    )
    SELECT rolname, rolcanlogin FROM pg_roles JOIN used USING (oid) ORDER BY rolname
"""

# A dump of single views does not hold the schemas they are in.
SCHEMAS = """
    SELECT format('CREATE SCHEMA IF NOT EXISTS %%I AUTHORIZATION %%I', nspname, pg_get_userbyid(nspowner))
    FROM pg_namespace WHERE nspname = ANY(%(names)s)
    UNION ALL
    SELECT format('GRANT %%s ON SCHEMA %%I TO %%s', a.privilege_type, nspname,
                  CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END)
    FROM pg_namespace, aclexplode(nspacl) a WHERE nspname = ANY(%(names)s) AND a.grantee <> nspowner
"""


@dataclass(frozen=True)
class Snapshot:
    """One database at one moment, for as long as the connection lives."""

    url: str
    connection: Connection
    token: str

    def ask(self, query: str, values: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Rows of a query in the snapshot."""
        with self.connection.cursor() as cursor:
            cursor.execute(query, values or {})
            return cursor.fetchall()

    def write(self, target: Path, schemas: Sequence[str]) -> Part:
        """Dump whole schemas and count their rows.

        Raises:
            LakehouseError: ``pg_dump`` failed.
        """
        with client(self.url) as programs:
            options = [f"--schema={identifier(name)}" for name in schemas]
            programs.dump(target, f"--snapshot={self.token}", *options)
        return part_of(target, self.count(schemas))

    def write_views(self, target: Path, views: Sequence[tuple[str, str]]) -> Part:
        """Dump single views with their owners, grants and comments.

        Raises:
            LakehouseError: ``pg_dump`` failed.
        """
        with client(self.url) as programs:
            options = [f"--table={identifier(*view)}" for view in views]
            programs.dump(target, f"--snapshot={self.token}", *options)
        return part_of(target)

    def count(self, schemas: Sequence[str]) -> dict[str, int]:
        """Rows of every table of these schemas."""
        names = self.ask(
            "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind = 'r' AND n.nspname = ANY(%(schemas)s) ORDER BY 1, 2",
            {"schemas": list(schemas)},
        )
        return {".".join(name): self.ask(f"SELECT count(*) FROM {identifier(*name)}")[0][0] for name in names}

    def dependents(self) -> list[tuple[str, str]]:
        """Views of others on the marts (schema, name), each after those it reads."""
        return [(row[0], row[1]) for row in self.ask(DEPENDENTS, {"schemas": list(MARTS_SCHEMAS)})]

    def others(self) -> list[str]:
        """What else hangs on the marts, in PostgreSQL's words."""
        return [row[0] for row in self.ask(OTHERS, {"schemas": list(MARTS_SCHEMAS)})]

    def roles(self, dependents: Sequence[tuple[str, str]]) -> dict[str, bool]:
        """Roles that own or may use something, and whether they log in."""
        values = {"schemas": list(MARTS_SCHEMAS), "dependents": [identifier(*view) for view in dependents]}
        return dict(self.ask(ROLES, values))

    def members(self, roles: Sequence[str]) -> list[list[str]]:
        """Which of these roles is granted to which."""
        rows = self.ask(
            "SELECT g.rolname, m.rolname FROM pg_auth_members JOIN pg_roles g ON g.oid = roleid"
            " JOIN pg_roles m ON m.oid = member WHERE g.rolname = ANY(%(roles)s) AND m.rolname = ANY(%(roles)s)"
            " ORDER BY 1, 2",
            {"roles": list(roles)},
        )
        return [list(row) for row in rows]

    def relations(self) -> list[list[str]]:
        """What the register of publications names by OID: register, key column, key, ``schema.table``."""
        found = []
        for register, key in RELATIONS.items():
            rows = self.ask(
                f"SELECT {key}::text, format('%%I.%%I', n.nspname, c.relname) FROM {register} r JOIN pg_class c"
                " ON c.oid = r.relation JOIN pg_namespace n ON n.oid = c.relnamespace"
                " WHERE n.nspname = ANY(%(schemas)s) ORDER BY 1",
                {"schemas": list(MARTS_SCHEMAS)},
            )
            found += [[register, key, *row] for row in rows]
        return found

    def schemas_of(self, dependents: Sequence[tuple[str, str]]) -> list[str]:
        """Statements that make the schemas of these views."""
        return [row[0] for row in self.ask(SCHEMAS, {"names": sorted({schema for schema, _ in dependents})})]

    def version(self) -> str:
        """Of the server, e.g. ``18.4``."""
        return str(self.ask("SHOW server_version")[0][0]).split()[0]

    def migration(self, schema: str) -> str:
        """The newest applied migration; empty where there is none."""
        if self.ask("SELECT to_regclass(%(name)s)", {"name": f"{schema}.alembic_version"})[0][0] is None:
            return ""
        rows = self.ask(f"SELECT version_num FROM {identifier(schema)}.alembic_version")
        return str(rows[0][0]) if rows else ""


@contextlib.contextmanager
def snapshot(url: str, *, what: str) -> Iterator[Snapshot]:
    """Hold a database still, for us alone.

    Raises:
        UnavailableError: it cannot be reached.
    """
    connection = connect.connect(url, what=what)
    try:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_export_snapshot()")
            row = cursor.fetchone()
        yield Snapshot(url, connection, str(row[0]) if row else "")
    finally:
        connection.close()
