"""Writes ``.env``: generated secrets added, everything that stands there kept.

What belongs here: reading and writing the file. What does not: which variables there are (``stack.py``).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from lakehouse.errors import ConfigError
from lakehouse.files import write_private
from lakehouse.production.secrets import generate
from lakehouse.production.stack import INIT_COMMAND, SECRETS

HEADER = f"""\
# Written by `{INIT_COMMAND}`. Holds secrets: keep it to yourself, out of version control, and in your backup.
# All variables: .env.example. Running the command again keeps what is here and adds what is missing.

LAKEHOUSE_ENVIRONMENT=production
"""


def values(text: str) -> dict[str, str]:
    """Variables of a ``.env`` file; comments and empty lines left out, simple quotes removed, the last one wins."""
    found = {}
    for line in text.splitlines():
        name, equals, value = line.strip().partition("=")
        if equals and not name.startswith("#"):
            found[name.strip().removeprefix("export ").strip()] = value.strip().strip("'\"")
    return found


def completed(text: str) -> tuple[str, list[str]]:
    """The text with a generated value for every secret that is missing or empty; the names of those.

    Args:
        text: of the present file; empty for a new one.
    """
    known = values(text)
    missing = [secret for secret in SECRETS if not known.get(secret.name)]
    gone = {secret.name for secret in missing}
    lines = [line for line in (text or HEADER).splitlines() if line.strip().partition("=")[0].strip() not in gone]
    for secret in missing:
        lines += ["", f"# {secret.meaning}", f"{secret.name}={generate()}"]
    return "\n".join(lines) + "\n", [secret.name for secret in missing]


def write(path: Path, *, afresh: bool = False) -> tuple[Sequence[str], Path | None]:
    """Create or complete the file, readable by its owner only; complete before it is visible.

    Args:
        path: of the file.
        afresh: begin anew with new secrets; the former file is kept beside it.

    Returns:
        Names of the variables that were generated, and where the former file went, if anywhere.

    Raises:
        ConfigError: the file cannot be read or written.
    """
    try:
        former = path.read_text(encoding="utf-8") if path.exists() else ""
        kept = None
        if afresh and former:
            kept = path.with_name(f"{path.name}.{time.strftime('%Y%m%dT%H%M%S')}")
            write_private(kept, former)
        text, added = completed("" if afresh else former)
        write_private(path, text)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}.", remedy="Run as a user who owns the checkout."
        ) from error
    return added, kept
