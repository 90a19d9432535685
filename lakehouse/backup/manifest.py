"""``manifest.json``: what a backup holds, of which versions, and how to tell that it is whole.

What belongs here: the file's content, checksums and verification. What does not: making or restoring parts.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lakehouse.errors import DataError

NAME = "manifest.json"
FORMAT = 1


@dataclass
class Part:
    """One file of a backup.

    Attributes:
        file: its name.
        bytes: its size.
        sha256: of its content.
        rows: of each table in it, as ``schema.table``.
    """

    file: str
    bytes: int
    sha256: str
    rows: dict[str, int] = field(default_factory=dict)


@dataclass
class Manifest:
    """Everything known about a backup.

    Attributes:
        format: of this file.
        created_at: the moment all parts show, ISO 8601, UTC.
        platform: where it was made: data folder, lake, host.
        versions: of lakehouse, postgres (per server), duckdb.
        migrations: newest applied migration of the state and the marts database.
        parts: by name: ``state``, ``marts``, ``dependents``, ``warehouse``.
        roles: name → whether it logs in, of every role that owns or may use something in the marts.
        members: pairs of these roles: what is granted, and to whom.
        schemas: statements that make the schemas of the dependents.
        dependents: views of others on the marts, as ``schema.name``.
        left_out: what hangs on the marts and is not in the backup, and why.
        relations: register of publications, its key column, key, table it names: it does so by number (OID), and a
            restored table has another one.
        raw_files: ledger rows of files that count: source, file_key, fingerprint, bytes, status.
    """

    format: int
    created_at: str
    platform: dict[str, str]
    versions: dict[str, str]
    migrations: dict[str, str]
    parts: dict[str, Part] = field(default_factory=dict)
    roles: dict[str, bool] = field(default_factory=dict)
    members: list[list[str]] = field(default_factory=list)
    schemas: list[str] = field(default_factory=list)
    dependents: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    relations: list[list[str]] = field(default_factory=list)
    raw_files: list[dict[str, Any]] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Write it durably."""
        with (folder / NAME).open("w", encoding="utf-8") as file:
            json.dump(asdict(self), file, indent=1, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())


def read(folder: Path) -> Manifest:
    """The manifest of a backup.

    Raises:
        DataError: the folder is no backup; names the backups in it, if any.
    """
    try:
        loaded = json.loads((folder / NAME).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError) as error:
        inside = sorted(path.parent.name for path in folder.glob(f"*/{NAME}") if not path.parent.name.startswith("."))
        raise DataError(
            f"{folder} is no backup: it holds no {NAME}.",
            remedy=f"Name one of the backups in it: {', '.join(inside[-5:])}." if inside else "Give a backup's folder.",
        ) from error
    except (OSError, ValueError) as error:
        raise DataError(f"{folder / NAME} cannot be read: {error}", remedy="Use another backup.") from error
    if loaded.get("format", FORMAT + 1) > FORMAT:
        raise DataError(
            f"{folder} was made by a newer version of the platform (format {loaded.get('format')}).",
            remedy="Update the checkout to the version that made it, or a newer one.",
        )
    parts = {name: Part(**part) for name, part in loaded.pop("parts").items()}
    return Manifest(parts=parts, **loaded)


def part_of(path: Path, rows: dict[str, int] | None = None) -> Part:
    """Describe a finished file."""
    return Part(path.name, path.stat().st_size, sha256(path), rows or {})


def sha256(path: Path) -> str:
    """Digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def platform_version() -> str:
    """The installed version of the platform."""
    return importlib.metadata.version("lakehouse")


def verify(folder: Path) -> Manifest:
    """Prove that a backup is whole: every file of the recorded size and checksum, dumps and warehouse readable.

    Raises:
        DataError: names every file that is missing or damaged.
    """
    from lakehouse.backup.client import listing
    from lakehouse.backup.warehouse import tables
    from lakehouse.errors import LakehouseError

    manifest = read(folder)
    faults = []
    for name, part in manifest.parts.items():
        path = folder / part.file
        if not path.is_file():
            faults.append(f"{part.file} ({name}) is missing")
        elif path.stat().st_size != part.bytes:
            faults.append(f"{part.file} ({name}) has {path.stat().st_size:,} bytes instead of {part.bytes:,}")
        elif sha256(path) != part.sha256:
            faults.append(f"{part.file} ({name}) has another checksum: its content has changed")
        else:
            try:
                found = tables(path) if name == "warehouse" else listing(path)
            except LakehouseError as error:
                faults.append(f"{part.file} ({name}) cannot be read: {error.message}")
            else:
                if name == "warehouse" and found != part.rows:
                    faults.append(f"{part.file} ({name}) does not hold the rows that the manifest counts")
    if faults:
        raise DataError(
            f"The backup {folder} is damaged:\n  - " + "\n  - ".join(faults), remedy="Do not use it; take another one."
        )
    return manifest
