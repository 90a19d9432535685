"""The lineage outbox, which runs are mapped into it, and what is known of each model's SQL."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE data_platform.lineage_outbox (
            event_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            event_key text NOT NULL UNIQUE,
            order_key text NOT NULL,
            kind text NOT NULL CHECK (kind IN ('run', 'job', 'dataset')),
            type text NOT NULL,
            job text NOT NULL,
            event_time timestamptz NOT NULL,
            body jsonb NOT NULL,
            status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'delivered', 'dead')),
            attempts integer NOT NULL DEFAULT 0,
            next_attempt_at timestamptz NOT NULL DEFAULT now(),
            last_status integer,
            last_error text,
            created_at timestamptz NOT NULL DEFAULT now(),
            delivered_at timestamptz
        );
        COMMENT ON TABLE data_platform.lineage_outbox IS
            'OpenLineage events; event_id is the order in which those of one order_key are delivered';
        COMMENT ON COLUMN data_platform.lineage_outbox.order_key IS
            'Dagster''s run id, or sync for metadata: each event waits for the answer to the one before it';
        COMMENT ON COLUMN data_platform.lineage_outbox.status IS
            'pending: not delivered (for ever where no lineage server is set); dead: refused by the lineage server';
        COMMENT ON COLUMN data_platform.lineage_outbox.last_status IS 'HTTP status of the last answer; null: none came';
        CREATE INDEX lineage_outbox_in_order ON data_platform.lineage_outbox (order_key, event_id);
        CREATE INDEX lineage_outbox_pending ON data_platform.lineage_outbox (order_key, event_id)
            INCLUDE (next_attempt_at, created_at) WHERE status = 'pending';
        CREATE INDEX lineage_outbox_dead ON data_platform.lineage_outbox (event_id) WHERE status = 'dead';
        CREATE INDEX lineage_outbox_delivered ON data_platform.lineage_outbox (delivered_at)
            WHERE status = 'delivered';
        CREATE INDEX lineage_outbox_by_job ON data_platform.lineage_outbox (job, event_id);

        CREATE TABLE data_platform.lineage_runs (
            run_id text PRIMARY KEY,
            mapped_at timestamptz NOT NULL DEFAULT now(),
            events integer NOT NULL
        );
        COMMENT ON TABLE data_platform.lineage_runs IS 'Ended Dagster runs whose events are in the outbox';

        CREATE TABLE data_platform.lineage_models (
            asset_key text PRIMARY KEY,
            manifest_key text NOT NULL,
            compiled_sql text,
            columns jsonb,
            built_at timestamptz NOT NULL DEFAULT now()
        );
        COMMENT ON TABLE data_platform.lineage_models IS
            'SQL of each model''s last build, and the column lineage computed from it once per manifest';
    """)
