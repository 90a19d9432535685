"""Marks of mapped runs say when the run ended and, where it could not be mapped, why."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.execute("""
        ALTER TABLE data_platform.lineage_runs ADD COLUMN ended_at timestamptz, ADD COLUMN error text;
        COMMENT ON COLUMN data_platform.lineage_runs.ended_at IS
            'When the run ended; the highest is how far ended runs have been looked through';
        COMMENT ON COLUMN data_platform.lineage_runs.error IS 'Why this run has no events; it is not tried again';
        CREATE INDEX lineage_runs_by_end ON data_platform.lineage_runs (ended_at);
    """)
