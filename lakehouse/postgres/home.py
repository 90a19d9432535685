"""Where the embedded cluster lives: below the data folder, or in ``/var/lib/lakehouse`` where that is out of reach.

What belongs here: choosing and remembering the place, and the names of the files in it.
What does not: running anything.
"""

from __future__ import annotations

import hashlib
import logging
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from lakehouse.errors import ConfigError
from lakehouse.postgres import locks
from lakehouse.postgres.binaries import SHARED_ROOT, shared_folder
from lakehouse.postgres.service_user import Account, can_enter, service_account
from lakehouse.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Home:
    """The folder of one embedded server.

    Attributes:
        path: holds the cluster and the locks. Belongs to the caller.
        passfile: the passwords, always below the data folder.
    """

    path: Path
    passfile: Path

    @property
    def cluster(self) -> Path:
        """PostgreSQL's data directory; belongs to the account the server runs as."""
        return self.path / "cluster"

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.cluster / "server.log"

    @property
    def start_lock(self) -> Path:
        """Held while the server is created, started or stopped."""
        return self.path / "start.lock"

    @property
    def users_lock(self) -> Path:
        """Shared by every user of the server; whoever gets it alone is the last one."""
        return self.path / "users.lock"

    @property
    def server_lock(self) -> Path:
        """Held by the server's own processes: free means that none of them lives, whatever a pid file says."""
        return self.path / "server.lock"

    @property
    def account(self) -> Account | None:
        """Who the server runs as; None is the caller."""
        return service_account(self.cluster)


def passfile(settings: Settings) -> Path:
    """Path of the passwords of the embedded server."""
    return settings.data_path / "postgres" / "pgpass"


def locate(settings: Settings) -> Home:
    """The home of this data folder's server; its folder exists afterwards.

    Raises:
        ConfigError: the folder cannot be made or used, or the data folder was moved away from its database.
    """
    local = settings.data_path / "postgres"
    try:
        if not local.is_dir():
            local.mkdir(parents=True, exist_ok=True)
            local.chmod(0o755)  # ours; a strict umask would lock the service account out
        return Home(_choose(local), passfile(settings))
    except OSError as error:
        raise ConfigError(
            f"The embedded Postgres needs {error.filename or local}, which cannot be used: {error.strerror}.",
            remedy="Give the user that runs this write access, or point LAKEHOUSE_DATA_DIR elsewhere.",
        ) from error


def _choose(local: Path) -> Path:
    if os.geteuid() != 0 or (local / "cluster").is_dir():
        return local
    token = local / "cluster-at"
    remote = SHARED_ROOT / hashlib.sha256(os.fsencode(local.parent)).hexdigest()[:16] / "postgres"
    if not token.exists() and can_enter(local, service_account(local / "cluster")):
        return local
    with locks.exclusive(local / "place.lock", timeout=30):
        if not token.exists():
            _settle(token, remote)
    return _remembered(token, remote)


def _settle(token: Path, remote: Path) -> None:
    if remote.exists():
        # The data folder was deleted: its old ledger must not vouch for a lake that is gone.
        aside = remote.with_name(f"postgres.orphan-{int(time.time())}")
        remote.rename(aside)
        log.warning("The database of a deleted data folder was moved to %s; delete it if nobody needs it.", aside)
    shared_folder(remote)
    name = secrets.token_hex(8)
    (remote / "cluster-id").write_text(name)
    token.write_text(f"{remote}\n{name}\n")


def _remembered(token: Path, expected: Path) -> Path:
    lines = token.read_text().splitlines()
    path = Path(lines[0]) if lines else expected
    if path != expected:
        raise ConfigError(
            f"{token.parent.parent} was moved or copied; its database is still at {path}.",
            remedy=f"Moved: `mkdir -p {quote(str(expected.parent))} && mv {quote(str(path))} {quote(str(expected))} && "
            f"sed -i {quote(f'1s|.*|{expected}|')} {quote(str(token))}`."
            f" Copied: delete {token} to begin with an empty database.",
        )
    try:
        same = (path / "cluster-id").read_text() == lines[1]
    except (OSError, IndexError):
        same = False
    if not same:
        raise ConfigError(
            f"The database of {token.parent.parent} should be at {path} and is not there.",
            remedy=f"Restore it, or delete {token} to begin with an empty database.",
        )
    return path
