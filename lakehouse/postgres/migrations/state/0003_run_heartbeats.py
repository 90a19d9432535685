"""Signs of life of the processes that execute runs; the reaper decides on them."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.execute("""
        CREATE TABLE data_platform.run_heartbeats (
            run_id text PRIMARY KEY,
            process text,
            beat_at timestamptz NOT NULL DEFAULT now()
        );
        COMMENT ON TABLE data_platform.run_heartbeats IS
            'One row per run in progress: who executes it, and when it last said so, by this database''s clock';
        COMMENT ON COLUMN data_platform.run_heartbeats.process IS
            'Host, boot, process namespace, process id, start time; null while nobody has taken the run up';
    """)
