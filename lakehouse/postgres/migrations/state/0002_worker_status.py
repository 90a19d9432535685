"""The heartbeat of the resident worker."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE data_platform.worker_status (
            worker_id text PRIMARY KEY,
            host text NOT NULL,
            process text NOT NULL,
            started_at timestamptz NOT NULL DEFAULT now(),
            beat_at timestamptz NOT NULL DEFAULT now(),
            state text NOT NULL CHECK (state IN ('starting', 'idle', 'running', 'troubled', 'stopped')),
            doing text NOT NULL DEFAULT '',
            run_id text,
            runs bigint NOT NULL DEFAULT 0,
            failed_runs bigint NOT NULL DEFAULT 0,
            files bigint NOT NULL DEFAULT 0,
            memory_bytes bigint
        );
        COMMENT ON TABLE data_platform.worker_status IS
            'Resident workers: what each does, and when it last said so by this database''s clock';
        COMMENT ON COLUMN data_platform.worker_status.process IS 'Host, boot id, namespace, process id, start time';
    """)
