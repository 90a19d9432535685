"""Schemas marts (served) and marts_build (being loaded), who may do what in them, and what is published.

Runs as the role that owns both schemas. The names of the roles differ between servers and come as settings of the
session: lakehouse.owner, lakehouse.writer, lakehouse.bi (empty where there is none).
"""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE marts_build.publications (
            mart text PRIMARY KEY,
            fingerprint text,
            model_checksum text,
            rows bigint,
            published_at timestamptz NOT NULL DEFAULT now(),
            run_id text,
            columns jsonb
        );
        COMMENT ON TABLE marts_build.publications IS 'What each mart holds now: content, model version, since when'
    """)
    # A table keeps its grants when it moves from marts_build to marts, and default privileges count only where it is
    # created: so the reader gets SELECT in both, and no USAGE on marts_build, which is what keeps it out of there.
    op.execute("""
        DO $$
        DECLARE
            owner text := current_setting('lakehouse.owner');
            writer text := current_setting('lakehouse.writer');
            bi text := current_setting('lakehouse.bi');
            creator text;
        BEGIN
            REVOKE ALL ON SCHEMA marts, marts_build FROM PUBLIC;
            EXECUTE format('GRANT USAGE ON SCHEMA marts TO %I', writer);
            EXECUTE format('GRANT USAGE, CREATE ON SCHEMA marts_build TO %I', writer);
            EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA marts TO %I', writer);
            EXECUTE format('GRANT SELECT ON marts_build.alembic_version TO %I', writer);
            EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON marts_build.publications TO %I', writer);
            EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA marts GRANT SELECT ON TABLES TO %I',
                           owner, writer);
            IF bi <> '' THEN
                EXECUTE format('GRANT USAGE ON SCHEMA marts TO %I', bi);
                EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA marts TO %I', bi);
                FOREACH creator IN ARRAY ARRAY[owner, writer] LOOP
                    EXECUTE format('ALTER DEFAULT PRIVILEGES FOR ROLE %I IN SCHEMA marts, marts_build '
                                   'GRANT SELECT ON TABLES TO %I', creator, bi);
                END LOOP;
            END IF;
        END
        $$
    """)
