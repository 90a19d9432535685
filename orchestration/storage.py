"""Dagster's Postgres storage, which keeps its connections open in the processes that are told to.

Dagster's own opens one for every question, and its daemon asks eight questions a second while nothing happens: Postgres
spent more on greeting it than on answering. Runs do without: a new connection each time survives a Postgres restart.
"""

import os
from typing import Any, Self

from dagster_postgres import DagsterPostgresStorage

KEEP_VARIABLE = "LAKEHOUSE_KEEP_CONNECTIONS"
STATEMENT_TIMEOUT_MS = 300_000
RECYCLE_SECONDS = 3600
MAX_CONNECTIONS = 20


class KeptPostgresStorage(DagsterPostgresStorage):
    """What ``dagster.yaml`` names; configured like ``storage: postgres``."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if os.environ.get(KEEP_VARIABLE):
            for storage in (self.run_storage, self.event_log_storage, self.schedule_storage):
                storage.optimize_for_webserver(
                    statement_timeout=STATEMENT_TIMEOUT_MS, pool_recycle=RECYCLE_SECONDS, max_overflow=MAX_CONNECTIONS
                )

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> Self:
        """Called by Dagster with the section of ``dagster.yaml``."""
        return cls(postgres_url=config_value["postgres_url"], inst_data=inst_data)
