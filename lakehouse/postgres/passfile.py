"""The generated passwords of the embedded server's roles, in libpq's own file format.

libpq, psycopg2 and DuckDB read the file themselves (``passfile=`` in a connection string), so no password ever stands
in a URL, a command line or an environment variable.
"""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from lakehouse.errors import ConfigError
from lakehouse.files import write_private

HOST = "127.0.0.1"
SUPERUSER = "postgres"
OWNER = "lakehouse_owner"
WRITER = "lakehouse_writer"
BI = "lakehouse_bi"
LOGINS = (SUPERUSER, WRITER, BI)
"""Roles that log in. ``lakehouse_owner`` does not: it only owns what is served."""


def ensure(path: Path) -> dict[str, str]:
    """Read the passwords by role; generate and keep those that are missing.

    Args:
        path: the passfile. Written with mode 0600, without which libpq ignores it.

    Raises:
        ConfigError: the file belongs to someone else or cannot be written.
    """
    try:
        known = _read(path)
        if set(LOGINS) <= known.keys() and not path.stat().st_mode & 0o077:
            return known
        passwords = {role: known.get(role) or secrets.token_urlsafe(24) for role in LOGINS}
        _write(path, passwords)
    except OSError as error:
        raise ConfigError(
            f"The embedded Postgres keeps its passwords in {path}, which cannot be used: {error.strerror}.",
            remedy="Run as the user that owns the data folder, or point LAKEHOUSE_DATA_DIR to a folder of yours.",
        ) from error
    return passwords


def fingerprint(passwords: dict[str, str]) -> str:
    """A digest that changes with any password: says whether the server has the present ones."""
    return hashlib.sha256(repr(sorted(passwords.items())).encode()).hexdigest()


def _read(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    fields = (line.split(":", 4) for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return {parts[3]: parts[4] for parts in fields if len(parts) == 5}


def _write(path: Path, passwords: dict[str, str]) -> None:
    # Any port: the setting may change, the passwords stay.
    text = "".join(f"{HOST}:*:*:{role}:{password}\n" for role, password in passwords.items())
    write_private(path, text)
