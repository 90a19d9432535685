"""The ledger of files, watermarks, schema history, alerts, health, and the status of assets and checks."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.execute("""
        CREATE TABLE data_platform.ingestion_runs (
            ingestion_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            source_name text NOT NULL,
            stream text NOT NULL,
            batch_key text NOT NULL,
            file_key text NOT NULL,
            fingerprint text,
            object_version text,
            size_bytes bigint,
            status text NOT NULL CHECK (status IN ('accepted', 'quarantined', 'superseded', 'missing')),
            row_count bigint,
            rejected_rows bigint NOT NULL DEFAULT 0,
            min_time timestamptz,
            max_time timestamptz,
            batch_ids text[],
            facts jsonb NOT NULL DEFAULT '{}',
            reason text,
            run_id text,
            ingested_at timestamptz NOT NULL DEFAULT now(),
            UNIQUE (source_name, stream, batch_key)
        );
        COMMENT ON TABLE data_platform.ingestion_runs IS
            'The ledger: one row per file version ever looked at; ingestion_id is the order of arrival';
        CREATE INDEX ingestion_runs_by_file ON data_platform.ingestion_runs (source_name, stream, file_key);
        CREATE INDEX ingestion_runs_by_status ON data_platform.ingestion_runs (source_name, status, ingestion_id);

        CREATE TABLE data_platform.watermarks (
            source_name text NOT NULL,
            watermark_column text NOT NULL,
            watermark_value text,
            updated_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (source_name, watermark_column)
        );
        COMMENT ON TABLE data_platform.watermarks IS 'How far each source has been read';

        CREATE TABLE data_platform.schema_history (
            source_name text NOT NULL,
            stream text NOT NULL,
            version integer NOT NULL,
            columns jsonb NOT NULL,
            first_seen_at timestamptz NOT NULL DEFAULT now(),
            first_file text,
            PRIMARY KEY (source_name, stream, version)
        );
        COMMENT ON TABLE data_platform.schema_history IS 'Every set of columns a source has ever had';

        CREATE TABLE data_platform.alert_history (
            alert_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            raised_at timestamptz NOT NULL DEFAULT now(),
            severity text NOT NULL,
            kind text NOT NULL,
            subject text NOT NULL,
            message text NOT NULL,
            remedy text,
            details jsonb NOT NULL DEFAULT '{}',
            run_id text,
            resolved_at timestamptz
        );
        COMMENT ON TABLE data_platform.alert_history IS 'Every alert, open (resolved_at is null) or resolved';
        CREATE INDEX alert_history_open ON data_platform.alert_history (kind, subject) WHERE resolved_at IS NULL;
        CREATE INDEX alert_history_by_time ON data_platform.alert_history (raised_at);

        CREATE TABLE data_platform.platform_health_metrics (
            measured_at timestamptz NOT NULL DEFAULT now(),
            metric text NOT NULL,
            value double precision,
            labels jsonb NOT NULL DEFAULT '{}'
        );
        COMMENT ON TABLE data_platform.platform_health_metrics IS 'Measurements of the platform itself over time';
        CREATE INDEX platform_health_metrics_by_time ON data_platform.platform_health_metrics (metric, measured_at);

        CREATE TABLE data_platform.asset_status (
            asset_key text PRIMARY KEY,
            status text NOT NULL CHECK (status IN ('building', 'ok', 'failed')),
            run_id text,
            started_at timestamptz,
            finished_at timestamptz,
            last_ok_at timestamptz,
            rows bigint,
            reason text,
            failing_since timestamptz,
            built_from text,
            checked_arrival bigint
        );
        COMMENT ON COLUMN data_platform.asset_status.built_from IS
            'Digest of code and inputs of the latest good build: equal means that building again would change nothing';
        COMMENT ON COLUMN data_platform.asset_status.checked_arrival IS
            'Arrival sequence up to which every blocking check of a staging model has passed';
        COMMENT ON TABLE data_platform.asset_status IS 'How the latest build of each asset ended';

        CREATE TABLE data_platform.check_status (
            asset_key text NOT NULL,
            check_name text NOT NULL,
            passed boolean NOT NULL,
            severity text NOT NULL CHECK (severity IN ('error', 'warn')),
            blocking boolean NOT NULL,
            message text,
            metadata jsonb NOT NULL DEFAULT '{}',
            run_id text,
            checked_at timestamptz NOT NULL DEFAULT now(),
            PRIMARY KEY (asset_key, check_name)
        );
        COMMENT ON TABLE data_platform.check_status IS
            'The latest result of each check; a failed blocking one keeps what depends on it from being published'
    """)
