"""Passwords in libpq's own file format: the generated ones of the embedded server's roles, that of an external one.

libpq, psycopg2 and DuckDB read the file themselves (``passfile=`` in a connection string), so none of these
stands in a command line, and none in an error: DuckDB shows the whole connection string where it cannot connect.
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


def keep_one(path: Path, password: str) -> Path:
    """A passfile that gives one password to whatever server is asked, written only where it changes.

    Args:
        path: the passfile; its folder is made.
        password: of an external server.

    Raises:
        ConfigError: it cannot be written.
    """
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    text = f"*:*:*:*:{escaped}\n"
    try:
        if not path.exists() or path.stat().st_mode & 0o077 or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_private(path, text)
    except OSError as error:
        raise ConfigError(
            f"The password of the marts server is handed to DuckDB in {path}, which cannot be used: {error.strerror}.",
            remedy="Run as the user that owns the data folder, or point LAKEHOUSE_DATA_DIR to a folder of yours.",
        ) from error
    return path


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
