"""Former versions of marts, which publication is served, and whether a mart is held after a rollback."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE marts_build.publications
            ADD COLUMN IF NOT EXISTS relation oid,
            ADD COLUMN publication_id uuid NOT NULL DEFAULT gen_random_uuid(),
            ADD COLUMN model text,
            ADD COLUMN key text[],
            ADD COLUMN changes bigint,
            ADD COLUMN filenode oid,
            ADD COLUMN held_at timestamptz,
            ADD COLUMN held_reason text;
        COMMENT ON COLUMN marts_build.publications.relation IS
            'OID of the table that was published; another one is not ours';
        COMMENT ON COLUMN marts_build.publications.publication_id IS
            'Also stands in the warehouse beside the row hashes of an upserted mart: equal means they belong together';
        COMMENT ON COLUMN marts_build.publications.changes IS
            'Rows inserted, updated and deleted by us, as pg_stat counts them: more means that somebody else wrote';
        COMMENT ON COLUMN marts_build.publications.held_at IS 'Set by a rollback: runs leave the mart alone';

        CREATE SEQUENCE marts_build.version_numbers;
        CREATE TABLE marts_build.versions (
            number bigint PRIMARY KEY,
            publication_id uuid NOT NULL UNIQUE,
            mart text NOT NULL,
            kind text NOT NULL CHECK (kind IN ('table', 'undo')),
            relation text NOT NULL,
            base uuid,
            run_id text,
            published_at timestamptz NOT NULL,
            replaced_at timestamptz NOT NULL DEFAULT now(),
            rows bigint,
            fingerprint text,
            model_checksum text,
            model text,
            key text[],
            changes bigint,
            CHECK ((kind = 'undo') = (base IS NOT NULL))
        );
        COMMENT ON TABLE marts_build.versions IS
            'Former versions of marts: a whole table, or the rows that lead from publication `base` back to it';
        COMMENT ON COLUMN marts_build.versions.relation IS
            'Its table in marts_build; by name, because a restored backup has other OIDs';
        DO $$
        BEGIN
            EXECUTE format('GRANT SELECT ON marts_build.versions TO %I', current_setting('lakehouse.writer'));
            IF current_setting('lakehouse.bi') <> '' THEN
                EXECUTE format('REVOKE ALL ON marts_build.versions FROM %I', current_setting('lakehouse.bi'));
            END IF;
        END
        $$;

        -- Their parameters or results change; sql/*.sql creates them anew.
        DROP FUNCTION IF EXISTS marts_build.publication_of(text);
        DROP FUNCTION IF EXISTS marts_build.publish(text, text, text, text, bigint, text, double precision);
    """)
