"""The DuckDB file: copied as it is, after everything in its log was written into it.

What belongs here: copying and counting. What does not: waiting for the writer (the caller holds the warehouse).
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from lakehouse.errors import BusyError, DataError, LakehouseError
from lakehouse.files import sync_folder
from lakehouse.settings import Settings


def checkpoint(settings: Settings) -> None:
    """Write the log beside the file into the file. The caller holds the warehouse exclusively.

    Raises:
        BusyError: a process that does not use our lock has the file open.
        DataError: it is no DuckDB file, or a damaged one.
    """
    import duckdb

    from lakehouse.duckdb.connect import connect

    try:
        with connect(settings, settings.warehouse) as connection:
            connection.execute("CHECKPOINT")
    except duckdb.IOException as error:
        if "lock" in str(error):
            raise BusyError(f"The warehouse is open elsewhere: {error}", remedy="Close what has it open.") from error
        raise DataError(f"The warehouse cannot be opened: {error}", remedy=REBUILD) from error
    except duckdb.Error as error:
        raise DataError(f"The warehouse is damaged: {error}", remedy=REBUILD) from error


def copy(source: Path, target: Path) -> None:
    """Copy a file durably; by reference where the file system can.

    Raises:
        LakehouseError: no space.
    """
    try:
        with source.open("rb") as old, target.open("wb") as new:
            if not _cloned(old.fileno(), new.fileno()):
                shutil.copyfileobj(old, new, 1 << 22)
            new.flush()
            os.fsync(new.fileno())
    except OSError as error:
        target.unlink(missing_ok=True)
        if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
            raise LakehouseError(
                f"There is no space left to write {target}.", remedy="Free space on the disk and run it again."
            ) from error
        raise


def stage(settings: Settings, source: Path) -> Path:
    """Copy a backup's file beside the warehouse, for :func:`replace`.

    Raises:
        LakehouseError: no space.
    """
    target = settings.warehouse
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f"{target.name}.restoring")
    copy(source, fresh)
    return fresh


def replace(settings: Settings, staged: Path | None) -> None:
    """Put a staged copy in the place of the warehouse; None leaves none. The caller holds the warehouse exclusively."""
    target = settings.warehouse
    # The log belongs to the old file: it must be gone before the new file has the name.
    target.with_name(f"{target.name}.wal").unlink(missing_ok=True)
    if staged is not None:
        staged.replace(target)
    else:
        target.unlink(missing_ok=True)
    if target.parent.is_dir():
        sync_folder(target.parent)


def tables(path: Path) -> dict[str, int]:
    """Rows of every table of a DuckDB file that nobody writes, as ``schema.table``.

    Raises:
        DataError: it cannot be opened.
    """
    import duckdb

    try:
        with duckdb.connect(str(path), read_only=True) as connection:
            names = connection.execute(
                "select schema_name, table_name from duckdb_tables() where database_name = current_database()"
                " and not internal order by all"
            ).fetchall()
            counted = {}
            for schema, table in names:
                row = connection.execute(f'select count(*) from "{schema}"."{table}"').fetchone()
                counted[f"{schema}.{table}"] = int(row[0]) if row else 0
            return counted
    except duckdb.Error as error:
        raise DataError(f"{path} cannot be read by DuckDB: {error}", remedy="Use another backup.") from error


REBUILD = "Restore a backup, or build it again from the lake: lakehouse rebuild --from-lake"
FICLONE = 0x40049409


def _cloned(source: int, target: int) -> bool:
    import fcntl

    try:
        fcntl.ioctl(target, FICLONE, source)
    except OSError:
        return False  # another file system, or one that cannot
    return True
