"""PostgreSQL: the embedded server, connections and migrations.

What belongs here: reaching the state and the marts database and keeping their structure up to date.
What does not: the rows in them; those belong to ingestion, dbt and orchestration.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from dataclasses import dataclass

from lakehouse.errors import UnavailableError
from lakehouse.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ready:
    """What there is to work with.

    Attributes:
        marts_error: why the marts cannot be reached; None where they can.
    """

    marts_error: UnavailableError | None = None


@contextlib.contextmanager
def ready(settings: Settings) -> Iterator[Ready]:
    """Have both databases running and migrated for the length of the block.

    A marts server that cannot be reached is logged and told in the result, not raised: it stops neither staging nor
    curated (design decision 3). What needs the marts calls :func:`lakehouse.postgres.migrate.migrate_marts` first.

    Raises:
        UnavailableError: the state database cannot be reached.
        BusyError: a restore or rebuild is at work.
        LakehouseError: the embedded server does not start, a migration failed, or a restore was cut off.
    """
    from lakehouse import maintenance
    from lakehouse.postgres.embedded import running
    from lakehouse.postgres.migrate import migrate_marts, migrate_state

    with maintenance.using(settings), running(settings):
        migrate_state(settings)
        failure = None
        try:
            migrate_marts(settings)
        except UnavailableError as error:
            log.warning("%s", error)
            failure = error
        yield Ready(failure)
