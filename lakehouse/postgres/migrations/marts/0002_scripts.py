"""The register of sql/*.sql, the functions that publish marts.

The runner runs a script whenever its content changes (each replaces what it defines), so a mended function reaches a
database that is already at the newest version.
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE marts_build.scripts (
            name text PRIMARY KEY,
            checksum text NOT NULL,
            applied_at timestamptz NOT NULL DEFAULT now()
        );
        COMMENT ON TABLE marts_build.scripts IS 'Which content of each script in migrations/marts/sql is in force';
        DO $$
        BEGIN
            EXECUTE format('GRANT SELECT ON marts_build.scripts TO %I', current_setting('lakehouse.writer'));
            IF current_setting('lakehouse.bi') <> '' THEN
                EXECUTE format('REVOKE ALL ON marts_build.scripts FROM %I', current_setting('lakehouse.bi'));
            END IF;
        END
        $$
    """)
