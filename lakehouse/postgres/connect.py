"""Connection strings and connections for the state and the marts database, embedded or external.

What belongs here: how to reach a database. What does not: starting the server or any table.
psycopg2 is imported where it is used: the command line must not pay for it in ``--help``.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from lakehouse.errors import UnavailableError
from lakehouse.failures import NO_CONNECTION_LEFT, no_connection_left
from lakehouse.postgres.cluster import MARTS_DATABASE, STATE_DATABASE
from lakehouse.postgres.home import passfile
from lakehouse.postgres.passfile import BI, HOST, SUPERUSER, WRITER, keep_one
from lakehouse.settings import Settings

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection
    from pydantic import SecretStr

CONNECT_SECONDS = 5
"""A server that does not answer within this many seconds counts as down."""
RECOVERING = ("the database system is starting up", "is in recovery mode", "is not yet accepting connections")
RECOVERY_SECONDS = 30.0
"""How long a server that says it is coming back is waited for: after a crash that is seconds."""
RECOVERY_POLL_SECONDS = 0.1
PERMANENT = ("password authentication failed", "does not exist", "no pg_hba.conf entry", "permission denied")


def state_url(settings: Settings) -> str:
    """URL of the platform's state and Dagster's storage. Embedded: holds no password, but the passfile's path."""
    return _secret(settings.state_url) or _embedded(settings, WRITER, STATE_DATABASE)


def marts_url(settings: Settings) -> str:
    """URL of the marts database for the role that publishes."""
    return _secret(settings.marts_url) or _embedded(settings, WRITER, MARTS_DATABASE)


def marts_admin_url(settings: Settings) -> str:
    """URL of the marts database for migrations: may create schemas and roles where the server allows it."""
    if settings.embedded_postgres:
        return _embedded(settings, SUPERUSER, MARTS_DATABASE)
    return _secret(settings.marts_admin_url) or marts_url(settings)


def bi_url(settings: Settings) -> str:
    """URL for reading marts. Embedded: the read-only role; external: the marts URL in a read-only session."""
    if settings.embedded_postgres:
        return _embedded(settings, BI, MARTS_DATABASE)
    parts = urlsplit(marts_url(settings))
    query = dict(parse_qsl(parts.query))
    query["options"] = f"{query.get('options', '')} -c default_transaction_read_only=on".strip()
    return parts._replace(query=urlencode(query, quote_via=quote)).geturl()


def marts_dsn(settings: Settings) -> str:
    """Keyword/value conninfo of the marts for DuckDB's ATTACH, without a password: that is put into a passfile.

    Values are escaped by backslashes, not quoted, so that it can stand between single quotes in SQL
    once its own are doubled.

    Raises:
        ConfigError: the passfile cannot be written.
    """
    if settings.embedded_postgres:
        values = {
            "host": HOST,
            "port": str(settings.postgres_port),
            "user": WRITER,
            "dbname": MARTS_DATABASE,
            "passfile": str(passfile(settings)),
        }
    else:
        from psycopg2.extensions import parse_dsn

        values = parse_dsn(marts_url(settings))
        if password := values.pop("password", None):
            values["passfile"] = str(keep_one(settings.data_path / "marts.pgpass", password))
    return " ".join(f"{name}={_escape(value)}" for name, value in values.items())


def sqlalchemy_url(url: str) -> str:
    """The same URL for SQLAlchemy, naming the driver: SQLAlchemy 2.1 takes ``postgresql://`` for psycopg 3."""
    return f"postgresql+psycopg2://{url.split('://', 1)[1]}"


def server_of(url: str) -> str:
    """``host:port/database`` of a URL, for messages; never the password."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 5432}{parts.path}"


def connect_state(settings: Settings) -> Connection:
    """A connection to the platform's state. Raises as :func:`connect` does."""
    return connect(state_url(settings), what="the state database")


def connect_marts(settings: Settings) -> Connection:
    """A connection to the marts, as the role that publishes. Raises as :func:`connect` does."""
    return connect(marts_url(settings), what="the marts database")


def connect_bi(settings: Settings) -> Connection:
    """A connection for reading marts (:func:`bi_url`). Raises as :func:`connect` does."""
    return connect(bi_url(settings), what="the marts database")


def connect(url: str, *, what: str) -> Connection:
    """Open a connection.

    Args:
        url: a libpq URL.
        what: the database's name for a person, e.g. ``the state database``.

    Raises:
        UnavailableError: no connection; names server and remedy. Its ``transient`` is False where trying again cannot
            help (wrong password, no such database).
    """
    import psycopg2

    if "connect_timeout=" not in url:
        url += f"{'&' if '?' in url else '?'}connect_timeout={CONNECT_SECONDS}"
    deadline = time.monotonic() + RECOVERY_SECONDS
    while True:
        try:
            return psycopg2.connect(url)
        except psycopg2.OperationalError as error:
            text = str(error).strip()
            if not any(sign in text for sign in RECOVERING) or time.monotonic() > deadline:
                raise _refused(url, what, text) from error
            time.sleep(RECOVERY_POLL_SECONDS)


def _refused(url: str, what: str, text: str) -> UnavailableError:
    if any(sign in text for sign in NO_CONNECTION_LEFT):
        return no_connection_left(f"The server of {what} at {server_of(url)}")
    failure = UnavailableError(
        f"Cannot connect to {what} at {server_of(url)}: {text.splitlines()[0] if text else 'no answer'}",
        remedy="It is the embedded server: run it with `lakehouse up`, or use a command that starts it."
        if "passfile=" in url and urlsplit(url).hostname == HOST
        else "Check that the server is up and that LAKEHOUSE_STATE_URL and LAKEHOUSE_MARTS_URL are right.",
    )
    failure.transient = not any(sign in text for sign in PERMANENT)
    return failure


def _embedded(settings: Settings, role: str, database: str) -> str:
    path = quote(str(passfile(settings)), safe="/")
    return f"postgresql://{role}@{HOST}:{settings.postgres_port}/{database}?passfile={path}"


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value is not None else None


def _escape(value: str) -> str:
    return "".join(f"\\{sign}" if sign in " '\\" else sign for sign in value) or "''"
