"""Second chances: delivered and refused events that become pending again, and refused ones that are given up.

What belongs here: changing states on a person's word. What does not: what the drainer decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from lineage.drainer_claims import REPLAYS
from lineage.outgoing import SYNC

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

ALONE = f"select pg_advisory_xact_lock({REPLAYS})"
"""First, so that what a drainer notes meanwhile is either seen here or sees what is done here."""
AGAIN = (
    "update data_platform.lineage_outbox set status = 'pending', attempts = 0, next_attempt_at = now(),"
    " delivered_at = null, created_at = now() where status <> 'pending'"
)
"""The age of a backlog counts from now: an old event that is replayed is no old backlog."""
HARMLESS = "(order_key <> %s or status = 'dead' or kind = 'run')"
"""What may be told again whatever was told since; the value is ``sync``."""


def replay_dead(connection: Connection) -> int:
    """Have dead letters delivered again, with everything that follows them in their runs; return how many events.

    What follows was delivered before: if only the dead START came now, the server would take the run for running. Of
    metadata only dead letters and runs come again: what was told of a model before its first run would grey its node.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(ALONE)
        cursor.execute(
            f"{AGAIN} and event_id >= (select min(d.event_id) from data_platform.lineage_outbox d"
            " where d.status = 'dead' and d.order_key = lineage_outbox.order_key)"
            f" and {HARMLESS}",
            (SYNC,),
        )
        return cursor.rowcount


def replay_runs(connection: Connection, order_keys: Sequence[str]) -> int:
    """Have all events of these runs delivered again; return how many.

    Of ``sync`` only what was refused and runs: what was told of a model before its first run would grey its node.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(ALONE)
        cursor.execute(f"{AGAIN} and order_key = any(%s) and {HARMLESS}", (list(order_keys), SYNC))
        return cursor.rowcount


def replay_since(connection: Connection, since: datetime | None) -> int:
    """Have all runs with an event of this moment (aware) or later delivered again, whole; None: all events.

    Metadata of before that moment stays: what was told of a model before its first run would grey its node.
    """
    with connection, connection.cursor() as cursor:
        cursor.execute(ALONE)
        if since is None:
            cursor.execute(AGAIN)
        else:
            cursor.execute(
                f"{AGAIN} and (order_key <> %(sync)s or event_time >= %(since)s) and order_key in"
                " (select order_key from data_platform.lineage_outbox where event_time >= %(since)s)",
                {"sync": SYNC, "since": since},
            )
        return cursor.rowcount


def forget_unmapped(connection: Connection) -> list[str]:
    """Have runs that could not be mapped looked at again, after the cause was mended; return their ids."""
    with connection, connection.cursor() as cursor:
        cursor.execute("delete from data_platform.lineage_runs where error is not null returning run_id")
        return sorted(row[0] for row in cursor.fetchall())


def discard(connection: Connection, keys: Sequence[str]) -> list[str]:
    """Give up dead letters for good; return the keys of those that were there."""
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "delete from data_platform.lineage_outbox where status = 'dead' and event_key = any(%s)"
            " returning event_key",
            (list(keys),),
        )
        return sorted(row[0] for row in cursor.fetchall())
