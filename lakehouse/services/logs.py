"""The logs of the services: where they are, how they are kept within bounds while they are written."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from lakehouse.settings import Settings

LIMIT_BYTES = 20 * 10**6
KEPT = 2
"""Former logs per service; with the present one a service takes at most ``(KEPT + 1) * LIMIT_BYTES`` and a minute's
output."""


def folder(settings: Settings) -> Path:
    """Where the services write."""
    return settings.data_path / "logs"


def path_of(settings: Settings, service: str) -> Path:
    """The log of one service, by the name that people use; ``postgres`` and ``dbt`` included."""
    if service == "dbt":
        return settings.dbt_dir / "logs" / "dbt.log"  # kept within 6 files of 10 MB
    if service == "postgres" and settings.embedded_postgres:
        from lakehouse.postgres.home import locate

        return locate(settings).log
    return folder(settings) / f"{service.replace(' ', '-')}.log"


def keep_within(path: Path, limit: int = LIMIT_BYTES, kept: int = KEPT) -> bool:
    """Begin a log anew that has grown beyond ``limit`` bytes; its writer goes on in the same file.

    The file is copied and emptied, not renamed, because its writer holds it open (in append mode, so it continues at
    the beginning). Lines written between the copy and the emptying are lost: microseconds, once per 20 MB.

    Returns:
        Whether it was.
    """
    try:
        if path.stat().st_size <= limit:
            return False
    except FileNotFoundError:
        return False
    for number in range(kept - 1, 0, -1):
        with contextlib.suppress(FileNotFoundError):
            _former(path, number).replace(_former(path, number + 1))
    shutil.copy2(path, _former(path, 1))
    with path.open("r+b") as file:
        file.truncate(0)
    return True


def tail(path: Path, lines: int = 15) -> str:
    """The last lines, indented for quoting."""
    with contextlib.suppress(OSError):
        text = path.read_text(encoding="utf-8", errors="replace")
        return "\n".join("    " + line for line in text.splitlines()[-lines:]) or "    (empty)"
    return "    (empty)"


def _former(path: Path, number: int) -> Path:
    return path.with_name(f"{path.name}.{number}")
