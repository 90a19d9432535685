"""What the exceptions and messages of others mean: a full disk, a database that went away, no connection left.

What belongs here: recognising them, wherever they come up, and saying what to do. What does not: exceptions that are
understood where they happen (:mod:`lakehouse.storage.s3_errors`, :mod:`lakehouse.postgres.connect`).
Nothing is imported to look: an exception of a library can only be there when the library is.
"""

from __future__ import annotations

import errno
import re

from lakehouse.errors import LakehouseError, UnavailableError

DISK_FULL = (
    "no space left on device",
    "could not extend file",
    "disk full",
    "disk quota exceeded",
    "file too large",
    "not enough free disk space",
    "max_temp_directory_size",
)
NO_CONNECTION_LEFT = ("too many clients already", "remaining connection slots are reserved", "too many connections for")
CONNECTION_LOST = (
    "server closed the connection",
    "connection already closed",
    "terminating connection",
    "the database system is",
    "could not connect",
    "connection refused",
    "connection to server",
    "no connection to the server",
    "could not translate host name",  # Docker's name server forgets a container that is stopped
    "connection has been closed unexpectedly",
    "connection not open",
    "ssl syscall",
    "broken pipe",
    "could not receive data from server",
    "could not send data to server",
    "consuming input failed",
)
STORE_LOST = ("could not establish connection", "timeout was reached", "for http")
STORE_IN_TROUBLE = re.compile(r"\bhttp (code )?(0|429|5\d\d)\b")
REFUSED = ("password authentication failed", "no pg_hba.conf entry", "http 401", "http 403", "http code 403")
"""Said in the words of an outage, but it does not pass by itself."""
RECOVERS = "It is tried again; if it goes on, start it or look at its log, then `lakehouse run`. Nothing was lost."


class DiskFullError(LakehouseError):
    """There is no space left where something must be written. Nothing half-written is used."""


def meaning(error: BaseException) -> LakehouseError | None:
    """Our error for an exception of somebody else's; None where it is not understood.

    The exceptions it was raised from are asked too, nearest first: Dagster and SQLAlchemy wrap those of the driver.
    """
    seen: set[int] = set()
    present: BaseException | None = error
    while present is not None and id(present) not in seen:
        seen.add(id(present))
        if isinstance(present, LakehouseError):
            return present
        found = _meaning(present)
        if found is not None:
            return found
        present = getattr(present, "orig", None) or present.__cause__
    return None


def meaning_of_text(text: str) -> LakehouseError | None:
    """The same for a message, where that is all there is (dbt hands on no exceptions)."""
    lower = text.lower()
    if any(sign in lower for sign in DISK_FULL):
        return _disk_full("")
    if any(sign in lower for sign in NO_CONNECTION_LEFT):
        return no_connection_left("The Postgres server")
    if any(sign in lower for sign in REFUSED):
        return None
    if any(sign in lower for sign in STORE_LOST) or STORE_IN_TROUBLE.search(lower):
        return UnavailableError("The lake's object store cannot be reached.", remedy=RECOVERS)
    if any(sign in lower for sign in CONNECTION_LOST):
        return _connection_lost("")
    return None


def no_connection_left(what: str) -> UnavailableError:
    """The error for a server that takes no further connection."""
    return UnavailableError(
        f"{what} has no connection left: its max_connections are all in use.",
        remedy="Wait until others have ended, end idle sessions (pg_stat_activity), or raise max_connections; "
        "then run again. Nothing was lost.",
    )


def _meaning(error: BaseException) -> LakehouseError | None:
    module = type(error).__module__.partition(".")[0]
    text = str(error).strip()
    if isinstance(error, OSError) and error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        return _disk_full(f" to write {error.filename}" if error.filename else "")
    if module == "psycopg2":
        return _of_postgres(text, getattr(error, "pgcode", None))
    if module in {"duckdb", "_duckdb"}:
        return meaning_of_text(text) if type(error).__name__ not in {"ParserException", "BinderException"} else None
    return None


def _of_postgres(text: str, code: str | None) -> LakehouseError | None:
    first = text.splitlines()[0] if text else "no answer"
    if code == "53100" or any(sign in text.lower() for sign in DISK_FULL):
        return _disk_full(f" for Postgres ({first})")
    if code == "53300" or any(sign in text for sign in NO_CONNECTION_LEFT):
        return no_connection_left("The Postgres server")
    # Class 08 and 57P: the connection or the server went away; without a code the driver noticed it by itself.
    if code is not None and not code.startswith(("08", "57P")):
        return None
    if any(sign in text.lower() for sign in REFUSED):
        return None
    return _connection_lost(f": {first}") if any(sign in text.lower() for sign in CONNECTION_LOST) else None


def _disk_full(where: str) -> DiskFullError:
    return DiskFullError(
        f"The disk is full: there is no space left{where}.",
        remedy="Make room (see `The disk is full` in docs/failures.md), then `lakehouse run`. What was there before is "
        "unharmed, nothing half-written is used.",
    )


def _connection_lost(said: str) -> UnavailableError:
    return UnavailableError(f"The connection to the Postgres server was lost{said}.", remedy=RECOVERS)
