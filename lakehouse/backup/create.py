"""Makes a backup: all parts at one moment, whole before it has its name, checked before it is trusted.

What belongs here: the order of the steps. What does not: a part's own copying (:mod:`lakehouse.backup.dump`,
:mod:`lakehouse.backup.warehouse`).

One moment: the warehouse is held while the snapshots of both databases are taken and the file is copied. Everything
that changes warehouse or marts holds it too, and the ledger changes in single transactions, so what the parts show is
what a run finds between two steps. Platforms keep working from there; a backup waits for a step, never for a run.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from lakehouse.backup import dump, manifest, warehouse
from lakehouse.backup.manifest import Manifest
from lakehouse.duckdb.lock import Holder, exclusive
from lakehouse.errors import BusyError, ConfigError, LakehouseError
from lakehouse.files import sync_folder
from lakehouse.postgres import connect
from lakehouse.settings import Settings

Progress = Callable[[str], None]
PARTIAL = ".partial-"
STAMP = "%Y-%m-%dT%H-%M-%SZ"


def create(
    settings: Settings, folder: Path, *, label: str = "", keep: int | None = None, progress: Progress = lambda _: None
) -> tuple[Path, Manifest]:
    """Back the platform up.

    Args:
        settings: the platform's settings; both databases must be running.
        folder: holds backups; the new one is a folder in it, named by its time in UTC.
        label: added to the name.
        keep: delete all but so many of the backups in ``folder`` afterwards; those with a label are not counted.
        progress: told one line per step.

    Returns:
        The backup's folder, and what it holds.

    Raises:
        BusyError: the warehouse stayed taken (names the holder), or another backup goes to the same folder.
        UnavailableError: a database cannot be reached.
        LakehouseError: no space left, or a part could not be copied. Nothing that looks like a backup stays.
    """
    _make_folder(folder)
    with _only_one(folder):
        for left in folder.glob(f"{PARTIAL}*"):  # of a killed backup: we are the only one
            shutil.rmtree(left, ignore_errors=True)
        name = datetime.now(UTC).strftime(STAMP) + (f"-{label}" if label else "")
        target, scratch = folder / name, folder / f"{PARTIAL}{name}"
        if target.exists():
            raise BusyError(f"{target} exists already.", remedy="Try again in a second.")
        scratch.mkdir(mode=0o700)  # whoever reads a backup reads everything
        try:
            made = _fill(settings, scratch, progress)
            progress("checking what was written")
            manifest.verify(scratch)
            sync_folder(scratch)
            scratch.rename(target)
            sync_folder(folder)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        if keep is not None:
            # Ours is the newest, whatever the clock said when the others were made.
            others = [item for item in backups(folder) if item != target]
            for old in others[: max(len(others) + (not label) - keep, 0)]:
                progress(f"deleting {old.name}")
                _delete(old)
    return target, made


def backups(folder: Path) -> list[Path]:
    """The backups in a folder, oldest first; labelled ones are left out."""
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        with contextlib.suppress(ValueError):
            datetime.strptime(path.name, STAMP)
            if (path / manifest.NAME).is_file():
                found.append(path)
    return sorted(found)


def _fill(settings: Settings, scratch: Path, progress: Progress) -> Manifest:
    import duckdb

    def waiting(who: Holder | None) -> None:
        progress(f"waiting for the warehouse: {who or 'another process'} uses it")

    with contextlib.ExitStack() as snapshots:
        with exclusive(settings.warehouse, "backup", timeout=settings.lock_timeout_seconds, on_wait=waiting):
            state = snapshots.enter_context(dump.snapshot(connect.state_url(settings), what="the state database"))
            marts = snapshots.enter_context(dump.snapshot(connect.marts_admin_url(settings), what="the marts database"))
            views = marts.dependents()
            roles = marts.roles(views)
            made = Manifest(
                format=manifest.FORMAT,
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
                platform={
                    "data_dir": str(settings.data_path),
                    "lake": settings.lake_root,
                    "host": platform.node(),
                    "state": connect.server_of(state.url),
                    "marts": connect.server_of(marts.url),
                },
                versions={
                    "lakehouse": manifest.platform_version(),
                    "duckdb": duckdb.__version__,
                    "postgres_state": state.version(),
                    "postgres_marts": marts.version(),
                },
                migrations={"state": state.migration("data_platform"), "marts": marts.migration("marts_build")},
                roles=roles,
                members=marts.members(list(roles)),
                schemas=marts.schemas_of(views),
                dependents=[".".join(view) for view in views],
                left_out=marts.others(),
                relations=marts.relations(),
                raw_files=_raw_files(state),
            )
            if settings.warehouse.exists():
                progress("copying the warehouse")
                warehouse.checkpoint(settings)
                copied = scratch / "warehouse.duckdb"
                warehouse.copy(settings.warehouse, copied)
                made.parts["warehouse"] = manifest.part_of(copied, warehouse.tables(copied))
            # With the warehouse held: a publication swaps tables, and pg_dump locks them by name.
            progress("dumping the marts")
            made.parts["marts"] = marts.write(scratch / "marts.dump", dump.MARTS_SCHEMAS)
            if views:
                made.parts["dependents"] = marts.write_views(scratch / "dependents.dump", views)
        progress("dumping the state")
        made.parts["state"] = state.write(scratch / "state.dump", dump.STATE_SCHEMAS)
    made.write(scratch)
    return made


def _raw_files(state: dump.Snapshot) -> list[dict[str, object]]:
    names = ("source", "file_key", "fingerprint", "bytes", "status")
    rows = state.ask(
        "SELECT source_name, file_key, fingerprint, size_bytes, status FROM data_platform.ingestion_runs"
        " WHERE status IN ('accepted', 'missing') ORDER BY source_name, file_key, status"
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"The folder {folder} cannot be made: {error.strerror}.", remedy="Name a folder you may write to."
        ) from error
    if not os.access(folder, os.W_OK):
        raise ConfigError(f"The folder {folder} may not be written.", remedy="Name a folder you may write to.")


def _delete(backup: Path) -> None:
    """Under another name first, so that a half-deleted backup does not look like one."""
    doomed = backup.with_name(f"{PARTIAL}{backup.name}-deleting")
    backup.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    with (folder / ".lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(f"Another backup is being written to {folder}.", remedy="Wait for it to finish.") from None
        try:
            yield
        except OSError as error:
            raise LakehouseError(
                f"Writing the backup to {folder} failed: {error.strerror or error}.",
                remedy="Free space or mend the disk, and run it again; nothing half-made stays.",
            ) from error
