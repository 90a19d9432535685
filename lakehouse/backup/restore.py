"""Puts a backup back: refuses what cannot come out well, then replaces part by part.

What belongs here: the checks, the order, and being finished by a second attempt. What does not: a part's own loading
(:mod:`lakehouse.backup.load`, :mod:`lakehouse.backup.warehouse`).

Each part is replaced atomically: the file by a rename, each database in one transaction. Between the parts a crash
leaves a note, without which nothing else works on the platform; restoring again does all parts again.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lakehouse import maintenance
from lakehouse.backup import load, manifest, warehouse
from lakehouse.backup.create import Progress, create
from lakehouse.backup.manifest import Manifest
from lakehouse.duckdb.lock import exclusive
from lakehouse.errors import BusyError, ConfigError, DataError, LakehouseError, UnavailableError
from lakehouse.postgres import connect, embedded, migrate
from lakehouse.settings import Settings

LEAVING_SECONDS = 5.0
"""A session of a process that has just ended is given so long to go away."""


@dataclass
class Restored:
    """What a restore did.

    Attributes:
        backup: its folder.
        held: its manifest.
        safety_copy: what was there before; None if nothing was, or none was wanted.
        roles_created: without login and password; an administrator gives them those.
        migrated: whether the databases were older than this version and were brought up.
        raw_files_missing: keys of files that counted then and are not in the lake now.
    """

    backup: Path
    held: Manifest
    safety_copy: Path | None = None
    roles_created: list[str] = field(default_factory=list)
    migrated: bool = False
    raw_files_missing: list[str] = field(default_factory=list)


def restore(
    settings: Settings,
    backup: Path,
    *,
    force: bool = False,
    safety_copy: bool = True,
    progress: Progress = lambda _: None,
    finish: Callable[[], None] = lambda: None,
) -> Restored:
    """Replace state, marts and warehouse by those of a backup.

    Args:
        settings: the platform's settings. An embedded server is started for it.
        backup: its folder.
        force: replace what is there.
        safety_copy: back up first what is there.
        progress: told one line per step.
        finish: called when all parts are in place, before anybody may use the platform.

    Raises:
        DataError: the backup is damaged, or no backup.
        ConfigError: it was made by a newer version; or there is something and ``force`` is not set; or roles miss.
        BusyError: something works on the platform; named.
        UnavailableError: a database cannot be reached.
    """
    progress("checking the backup")
    held = manifest.verify(backup)
    _require_version(held)
    result = Restored(backup, held)
    with maintenance.alone(settings, "restore"), embedded.running(settings):
        require_idle(settings)
        resumed = maintenance.noted(settings)
        there = _what_is_there(settings)
        if there and not force and resumed is None:
            raise ConfigError(
                f"The platform in {settings.data_path} is not empty: it has {', '.join(there)}.",
                remedy=f"Replace it: lakehouse restore --force {shlex.quote(str(backup))} (it is backed up first).",
            )
        if there and safety_copy and resumed is None:
            progress("backing up what is there")
            result.safety_copy, _ = create(settings, settings.data_path / "backups", label="before-restore")
        result.roles_created = load.require_roles(settings, held)
        with exclusive(settings.warehouse, "restore", timeout=LEAVING_SECONDS):
            part = held.parts.get("warehouse")
            staged = warehouse.stage(settings, backup / part.file) if part else None
            maintenance.note(settings, "restore", f"lakehouse restore {shlex.quote(str(backup))}")
            progress("marts")
            try:
                load.load_marts(settings, backup, held)
            except LakehouseError:
                if resumed is None:  # it came first: nothing was changed at all
                    maintenance.done(settings)
                raise
            progress("state")
            load.load_state(settings, backup)
            progress("warehouse")
            warehouse.replace(settings, staged)
            result.migrated = migrate.migrate_state(settings) | migrate.migrate_marts(settings)
            finish()
            maintenance.done(settings)
    result.raw_files_missing = missing_raw_files(settings, held)
    return result


def require_idle(settings: Settings, *, marts: bool = True) -> None:
    """Make sure that no process, here or on another host, works on the platform's state.

    Args:
        settings: the platform's settings.
        marts: also make sure that the marts database can be reached.

    Raises:
        BusyError: names the sessions.
        UnavailableError: the state or the marts database cannot be reached.
    """
    if marts:  # before anything is touched
        connect.connect(connect.marts_admin_url(settings), what="the marts database").close()
    deadline = time.monotonic() + LEAVING_SECONDS
    while sessions := list(_sessions(settings)):
        if time.monotonic() > deadline:
            raise BusyError(
                "Other processes use the platform's state database:\n  - " + "\n  - ".join(sessions),
                remedy="End them first (`lakehouse up`, worker, code server, open psql), then try again.",
            )
        time.sleep(0.2)


def _sessions(settings: Settings) -> Iterator[str]:
    with contextlib.closing(connect.connect_state(settings)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid, coalesce(nullif(application_name, ''), 'a session'), coalesce(host(client_addr), 'locally'),"
            " date_trunc('second', backend_start)::text, left(regexp_replace(query, '\\s+', ' ', 'g'), 60)"
            " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend' AND usename = current_user ORDER BY pid"
        )
        for pid, name, address, since, query in cursor.fetchall():
            yield f"{name} from {address}, server process {pid}, since {since}: {query}"


def missing_raw_files(settings: Settings, held: Manifest) -> list[str]:
    """Files that counted when the backup was made and are not in the lake now."""
    from lakehouse.storage import open_lake

    lake = open_lake(settings)
    wanted = {row["file_key"] for row in held.raw_files if row["status"] == "accepted"}
    folders = {key.rpartition("/")[0] for key in wanted}
    try:
        present = {item.key for folder in sorted(folders) for item in lake.list(folder)}
    except (UnavailableError, ConfigError):
        return sorted(wanted)
    return sorted(wanted - present)


def _what_is_there(settings: Settings) -> list[str]:
    found = ["a warehouse"] if settings.warehouse.exists() else []
    for url, database, what, query in (
        (connect.state_url(settings), "the state database", "a ledger", "data_platform.ingestion_runs"),
        (connect.marts_admin_url(settings), "the marts database", "published marts", "marts_build.publications"),
    ):
        with contextlib.closing(connect.connect(url, what=database)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass(%s)", (query,))
            if (cursor.fetchone() or [None])[0] is None:
                continue
            cursor.execute(f"SELECT count(*) FROM {query}")
            if (cursor.fetchone() or [0])[0]:
                found.append(what)
    return found


def _require_version(held: Manifest) -> None:
    import duckdb

    def key(version: str) -> tuple[int, ...]:
        return tuple(int(part) for part in version.split("+")[0].split(".") if part.isdigit())

    newer = [
        f"{name} {theirs} (here {ours})"
        for name, theirs, ours in (
            ("lakehouse", held.versions["lakehouse"], manifest.platform_version()),
            ("DuckDB", held.versions["duckdb"], duckdb.__version__),
            ("migrations of the state", held.migrations["state"], migrate.STATE.head),
            ("migrations of the marts", held.migrations["marts"], migrate.MARTS.head),
        )
        if key(theirs) > key(ours)
    ]
    if newer:
        raise DataError(
            f"The backup was made by a newer platform: {', '.join(newer)}.",
            remedy="Update the checkout to that version, or a newer one, then restore.",
        )
