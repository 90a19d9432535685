"""Whose turn it is at a mart: one publication or rollback at a time.

What belongs here: waiting, with an end, for the one who has it, and naming him. What does not: the lock itself
(``marts_build.reserve``), for which publications wait among themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC
from typing import TYPE_CHECKING

from lakehouse.errors import BusyError

if TYPE_CHECKING:
    from psycopg2.extensions import cursor as Cursor

WAIT_SECONDS = 60.0
"""As long as a publication waits for readers: who has not let go by then loads something large, or hangs."""


def reserve(cursor: Cursor, mart: str, run: str | None, *, wait_seconds: float, on_wait: Callable[[str], None]) -> None:
    """Have a mart for oneself until the transaction ends.

    Args:
        cursor: in a transaction of the marts database that has done nothing yet.
        mart: name of the table in schema ``marts``.
        run: the run that says it is building the mart, for the message.
        wait_seconds: how long to wait for the one who has it.
        on_wait: called once, with a line that names him.

    Raises:
        BusyError: he did not let go in time; names him.
    """
    from psycopg2.errors import LockNotAvailable

    cursor.execute("select pg_try_advisory_xact_lock(marts_build.key_of(%s))", (mart,))
    if (cursor.fetchone() or (False,))[0]:
        return
    on_wait(f"waiting up to {wait_seconds:g} s: {mart} is in the hands of {_holder(cursor, mart, run)}")
    cursor.execute("select set_config('lock_timeout', %s, true)", (f"{max(round(wait_seconds * 1000), 1)}ms",))
    try:
        cursor.execute("select pg_advisory_xact_lock(marts_build.key_of(%s))", (mart,))
    except LockNotAvailable as error:
        cursor.connection.rollback()
        raise BusyError(
            f"{mart} is in the hands of {_holder(cursor, mart, run)}; waited {wait_seconds:g} s. It stays as it is.",
            remedy="Let that publication end (`lakehouse status` shows running work) or end its process, then roll "
            "back again.",
        ) from error
    cursor.execute("set local lock_timeout to default")


def _holder(cursor: Cursor, mart: str, run: str | None) -> str:
    cursor.execute("select process, role, since from marts_build.holders_of(marts_build.key_of(%s))", (mart,))
    row = cursor.fetchone()
    if row is None:
        return "another publication"
    process, role, since = row
    begun = f" since {since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if since is not None else ""
    who = f"run {run}, which is publishing it" if run else "another publication"
    return f"{who} (server process {process} of {role}{begun})"
