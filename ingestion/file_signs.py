"""A first look at a file: what its kind, name and first and last bytes tell, before any reader is tried.

What belongs here: the plain cases, named better than a Parquet reader would. What does not: its content.
"""

from __future__ import annotations

from typing import BinaryIO

from lakehouse.errors import UnavailableError
from lakehouse.storage import Lake, LakeObject

MAGIC = b"PAR1"
PATTERN_SIGNS = "*?["
"""DuckDB takes a path that holds one of these for a pattern: it would read other files, or none."""

AGAIN = "Copy or export the file again, whole, and drop it again."
Sign = tuple[str, str, str]
"""Cause, text and remedy, as in :class:`ingestion.validate.Fault`."""


def first_look(lake: Lake, item: LakeObject) -> Sign | None:
    """The reason why an entry cannot be a readable Parquet file; None if it may be one.

    Raises:
        FileNotFoundError: it vanished meanwhile.
        UnavailableError: the lake cannot be reached.
    """
    if item.kind != "file":
        return _no_file(item)
    if signs := sorted({sign for sign in item.name if sign in PATTERN_SIGNS}):
        return (
            "name",
            f"its name holds {' and '.join(signs)}, which DuckDB takes for a pattern",
            "Rename the file and drop it again.",
        )
    try:
        with lake.open(item.key) as stream:
            head = stream.read(64)
            tail = head if item.size <= 64 else _tail(lake, stream)
    except PermissionError:
        return (
            "permission",
            "it may not be read by this user",
            f"Grant read access (chmod a+r {lake.uri(item.key)}); the next run looks again.",
        )
    except IsADirectoryError:
        return _no_file(item)
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise UnavailableError(
            f"{item.key} cannot be read: {error}", remedy="Look at the disk, then run again."
        ) from error
    return _magic(item, head, tail)


def complete(lake: Lake, item: LakeObject) -> bool:
    """Whether a file that was modified just now is known to be complete: no settling time needs to pass.

    It is where nobody has it open for writing any more and it begins and ends as Parquet does. A file that was renamed
    into its place is complete the moment it appears; one that is written in place the moment it is closed.
    """
    try:
        return lake.closed_by_its_writers(item.key) and first_look(lake, item) is None
    except (OSError, UnavailableError):
        return False


def _no_file(item: LakeObject) -> Sign:
    if item.kind == "dangling":
        return (
            "dangling",
            "it is a link to a file that does not exist",
            "Put the file itself into the drop zone, or mend the link.",
        )
    if item.kind == "other":
        return (
            "other",
            "it is neither a file nor a folder (a pipe, socket or device)",
            "Take it out of the drop zone.",
        )
    return (
        "directory",
        "it is a folder, not a file",
        "Move the Parquet files inside it into the drop zone itself (their names must differ), and remove the folder.",
    )


def _tail(lake: Lake, stream: BinaryIO) -> bytes | None:
    """The last bytes; None on a store where they would cost reading everything (DuckDB reads the footer there)."""
    if lake.atomic_arrival:
        return None
    stream.seek(-8, 2)
    return stream.read()


def _magic(item: LakeObject, head: bytes, tail: bytes | None) -> Sign | None:
    if not head:
        return ("empty_file", "it is empty (0 bytes)", AGAIN)
    if not head.startswith(MAGIC):
        text = head[:40].decode("utf-8", errors="replace").splitlines()[0] if _is_text(head) else ""
        looks = f"text beginning with {text!r}" if text else f"bytes {head[:4].hex(' ')} …"
        kind = "CSV" if text and ("," in text or ";" in text) else "something else"
        return (
            "not_parquet",
            f"it is not Parquet but {kind}: {looks}",
            "Export it as Parquet; a new name does not convert it.",
        )
    if tail is not None and (not tail.endswith(MAGIC) or item.size < 12):
        return ("damaged", f"it is truncated: the Parquet footer is missing at its end ({item.size:,} bytes)", AGAIN)
    return None


def _is_text(head: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\r\n" for byte in head)
