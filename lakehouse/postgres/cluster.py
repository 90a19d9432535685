"""Creates the cluster: initdb, access rules, roles and databases, complete before it gets its final name.

Roles and databases are made in PostgreSQL's single-user mode, before anybody can connect. So a cluster that exists is
whole, a crash in between leaves only a folder that the next start throws away, and no default password ever exists.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from lakehouse.errors import ConfigError, LakehouseError
from lakehouse.postgres import passfile
from lakehouse.postgres.binaries import EXTERNAL_REMEDY, MAJOR
from lakehouse.postgres.home import Home
from lakehouse.postgres.service_user import run_as
from lakehouse.sql import literal

STATE_DATABASE = "lakehouse_state"
MARTS_DATABASE = "lakehouse"

ACCESS_RULES = f"""\
# Only this machine, only with a password. Who may open which database is decided by CONNECT privileges.
# TYPE  DATABASE  USER  ADDRESS            METHOD
host    all       all   {passfile.HOST}/32       scram-sha-256
"""

# The owner is a member of the writer, so it may take over the tables that the writer has loaded; not the reverse, so
# the pipeline changes what is served through the publish functions only.
ROLES_AND_DATABASES = f"""\
CREATE ROLE {passfile.OWNER} NOLOGIN;

CREATE ROLE {passfile.WRITER} LOGIN;

CREATE ROLE {passfile.BI} LOGIN;

GRANT {passfile.WRITER} TO {passfile.OWNER};

ALTER ROLE {passfile.BI} SET default_transaction_read_only = on;

CREATE DATABASE {STATE_DATABASE} OWNER {passfile.WRITER};

CREATE DATABASE {MARTS_DATABASE} OWNER {passfile.OWNER};

REVOKE ALL ON DATABASE {STATE_DATABASE}, {MARTS_DATABASE}, postgres, template1 FROM PUBLIC;

GRANT CONNECT, TEMPORARY ON DATABASE {MARTS_DATABASE} TO {passfile.WRITER};

GRANT CONNECT ON DATABASE {MARTS_DATABASE} TO {passfile.BI};

"""
REVOKE_PUBLIC = "REVOKE ALL ON SCHEMA public FROM PUBLIC;\n\n"


def create(home: Home, programs: Path, passwords: dict[str, str]) -> None:
    """Make the cluster. The caller holds the start lock.

    Args:
        home: where.
        programs: folder of ``initdb`` and ``postgres``.
        passwords: by role.

    Raises:
        LakehouseError: initdb failed; quotes what it said.
    """
    temporary = home.path / "cluster.new"
    if temporary.exists():
        shutil.rmtree(temporary)
    temporary.mkdir(mode=0o700)
    account = home.account
    if account is not None:
        os.chown(temporary, account.uid, account.gid)
    _run(
        home,
        [
            *(programs / "initdb", "--pgdata", temporary, "--username", passfile.SUPERUSER, "--encoding=UTF8"),
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            *("--auth-local=reject", "--auth-host=reject", "--no-instructions"),
        ],
    )
    _overwrite(temporary / "pg_hba.conf", ACCESS_RULES)
    _single_user(home, programs, temporary, "postgres", ROLES_AND_DATABASES + _passwords(passwords))
    _single_user(home, programs, temporary, MARTS_DATABASE, REVOKE_PUBLIC)
    temporary.rename(home.cluster)
    _sync(home.path)
    _stamp(home).write_text(passfile.fingerprint(passwords))


def has_passwords(home: Home, passwords: dict[str, str]) -> bool:
    """Whether the cluster was given these passwords."""
    stamp = _stamp(home)
    return stamp.exists() and stamp.read_text() == passfile.fingerprint(passwords)


def set_passwords(home: Home, programs: Path, passwords: dict[str, str]) -> None:
    """Give the roles these passwords (the passfile was lost or changed). The server must not run."""
    _single_user(home, programs, home.cluster, "postgres", _passwords(passwords))
    _stamp(home).write_text(passfile.fingerprint(passwords))


def require_version(home: Home) -> None:
    """Check that the installed programs can open the cluster.

    Raises:
        ConfigError: another major version made it, or it is not a cluster at all.
    """
    marker = home.cluster / "PG_VERSION"
    found = marker.read_text().strip() if marker.is_file() else "an unknown version (its file PG_VERSION is missing)"
    if found != MAJOR:
        raise ConfigError(
            f"{home.cluster} was made by PostgreSQL {found}; the installed one is {MAJOR}.",
            remedy=f"Move the folder away to begin with an empty database. {EXTERNAL_REMEDY} to keep using it.",
        )


def clean_environment() -> dict[str, str]:
    """The environment of the server's programs: English messages, nothing of the caller's ``PG*`` variables."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC", "HOME": "/"}


def _stamp(home: Home) -> Path:
    return home.path / "passwords.sha256"


# Dagster connects anew for every event it stores. Hashing a password 4,096 times takes 4 ms of each connection and
# protects weak passwords from guessing; ours are 192 random bits.
FEW_ITERATIONS = "scram_iterations=1"


def _passwords(passwords: dict[str, str]) -> str:
    return "".join(f"ALTER ROLE {role} PASSWORD {literal(passwords[role])};\n\n" for role in passfile.LOGINS)


def _single_user(home: Home, programs: Path, cluster: Path, database: str, sql: str) -> None:
    options = (
        "exit_on_error=on",
        "log_min_error_statement=panic",
        "log_checkpoints=off",
        FEW_ITERATIONS,
    )  # and no password in a message
    flags = [part for option in options for part in ("-c", option)]
    _run(home, [programs / "postgres", "--single", "-j", *flags, "-D", cluster, database], sql)


def _run(home: Home, command: list[str | Path], stdin: str = "") -> None:
    try:
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            cwd="/",
            env=clean_environment(),
            start_new_session=True,
            **run_as(home.account),
        )
    except OSError as error:
        raise ConfigError(
            f"The embedded PostgreSQL does not run on this machine: {error}", remedy=f"{EXTERNAL_REMEDY}."
        ) from error
    if done.returncode != 0:
        said = "\n    ".join((done.stderr or done.stdout).strip().splitlines()[-10:])
        raise LakehouseError(
            f"Setting up the embedded Postgres in {home.path} failed ({Path(command[0]).name}):\n    {said}",
            remedy=f"Mend what it names and run again; nothing half-made stays. {EXTERNAL_REMEDY} otherwise.",
        )


def _overwrite(path: Path, text: str) -> None:
    """Replace the content and keep the owner; never through a link that another user put there."""
    handle = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
