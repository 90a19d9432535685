"""The unprivileged account the server runs as, and what that account can reach.

PostgreSQL refuses to run as root. Root therefore starts it as an account that exists already; nobody creates one, and
no mode of a folder that is not ours is ever changed.
"""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from lakehouse.errors import ConfigError

CANDIDATES = ("postgres", "nobody")
"""Accounts to run the server as when the caller is root, in order of preference."""


@dataclass(frozen=True)
class Account:
    """A user of the operating system."""

    name: str
    uid: int
    gid: int


class RunAs(TypedDict, total=False):
    """The keyword arguments of :mod:`subprocess` that change the user of a child."""

    user: int
    group: int
    extra_groups: list[int]


def service_account(cluster: Path) -> Account | None:
    """Who the server must run as, or None for the caller itself.

    Args:
        cluster: the PostgreSQL data directory; where it exists, its owner is the account.

    Raises:
        ConfigError: the caller is root and there is no account to step down to.
    """
    if os.geteuid() != 0:
        return None
    if cluster.is_dir() and (owner := cluster.stat()).st_uid != 0:
        return Account(f"uid {owner.st_uid}", owner.st_uid, owner.st_gid)
    for name in CANDIDATES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise ConfigError(
        f"PostgreSQL does not run as root, and none of the accounts {', '.join(CANDIDATES)} exists.",
        remedy="Run as an ordinary user, or set LAKEHOUSE_STATE_URL and LAKEHOUSE_MARTS_URL to a server of yours.",
    )


def run_as(account: Account | None) -> RunAs:
    """What :func:`subprocess.run` needs to run a child as ``account``."""
    if account is None:
        return {}
    return {"user": account.uid, "group": account.gid, "extra_groups": []}


def can_enter(path: Path, account: Account | None) -> bool:
    """Whether ``account`` may pass through ``path`` and every folder above it (those that exist, by mode bits)."""
    if account is None:
        return True
    return all(_allowed(folder.stat(), account, stat.S_IXUSR) for folder in (path, *path.parents) if folder.exists())


def can_read(path: Path, account: Account | None) -> bool:
    """Whether ``account`` may read the file ``path``, the way to it included."""
    if account is None:
        return True
    return can_enter(path.parent, account) and _allowed(path.stat(), account, stat.S_IRUSR)


def _allowed(status: os.stat_result, account: Account, owner_bit: int) -> bool:
    shift = 0 if status.st_uid == account.uid else 3 if status.st_gid == account.gid else 6
    return bool(status.st_mode & (owner_bit >> shift))
