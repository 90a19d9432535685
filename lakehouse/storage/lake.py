"""What every lake can do, whichever store is behind it.

What belongs here: the interface, its value types, and the choice of the implementation.
What does not: a store's own calls (:mod:`lakehouse.storage.local`, :mod:`lakehouse.storage.s3`).
"""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Literal

from lakehouse.errors import LakehouseError
from lakehouse.settings import Settings

ObjectKind = Literal["file", "directory", "dangling", "other"]
"""``dangling``: a link whose target is gone; ``other``: a socket, device or pipe. S3 has files and directories only."""


@dataclass(frozen=True)
class LakeObject:
    """One entry of a listing.

    Attributes:
        key: posix path relative to the lake root; may hold spaces and unicode.
        size: bytes.
        modified: last modification, timezone-aware UTC.
        version: changes whenever the object may have changed: modification time, size and inode on a local disk,
            the ETag on S3. Equal versions mean an unchanged object; different ones do not prove a change.
        kind: what it is. Only files can be read.
        appeared: when it came to be what it is under this name: of a file that was renamed into its place or copied
            with its old modification time this is the later moment. None where the store tells no such thing.
    """

    key: str
    size: int
    modified: datetime
    version: str
    kind: ObjectKind = "file"
    appeared: datetime | None = None

    @property
    def since(self) -> datetime:
        """Since when it could have been read as it is."""
        return self.appeared or self.modified

    @property
    def name(self) -> str:
        """The last part of the key."""
        return PurePosixPath(self.key).name


class ChangedError(LakehouseError):
    """The object is not the one that was looked at: somebody replaced or removed it meanwhile. Nothing was lost."""

    transient = True


class Lake(abc.ABC):
    """Objects under one root.

    A key that does not exist raises FileNotFoundError, one that may not be read or written PermissionError; a store
    that cannot be reached raises UnavailableError, wrong settings ConfigError.
    """

    root: str
    """Absolute directory or ``s3://bucket[/prefix]``, without a trailing slash."""

    atomic_arrival: bool
    """Whether objects appear complete (S3) or may be seen while somebody still writes them (files)."""

    def uri(self, key: str) -> str:
        """What DuckDB reads, and what its ``filename`` column returns: root and key joined by a slash."""
        return f"{self.root}/{checked_key(key)}"

    @abc.abstractmethod
    def check(self) -> None:
        """Make sure that the lake can be reached and listed.

        Raises:
            UnavailableError: the store does not answer.
            ConfigError: the bucket or directory is missing or refused, or a key is wrong.
        """

    @abc.abstractmethod
    def list(self, folder: str) -> Iterator[LakeObject]:
        """Entries directly in a folder, sorted by key; sub-folders come as kind ``directory``.

        A folder that does not exist is empty. Names that begin with a dot are left out: they are somebody's
        temporary files (ours too).
        """

    @abc.abstractmethod
    def walk(self, folder: str) -> Iterator[LakeObject]:
        """All files below a folder, at any depth, sorted by key; dot names are left out."""

    @abc.abstractmethod
    def stat(self, key: str) -> LakeObject:
        """The present state of one object.

        Raises:
            FileNotFoundError: there is none.
        """

    def closed_by_its_writers(self, key: str) -> bool:
        """Whether it is known that nobody has this object open for writing; False also where that cannot be known."""
        return self.atomic_arrival

    @abc.abstractmethod
    def open(self, key: str) -> BinaryIO:
        """A readable binary stream of an object; close it."""

    @abc.abstractmethod
    def write(self, key: str, data: bytes | Path) -> None:
        """Create or replace an object with bytes or with the content of a local file.

        Atomic and durable: a reader sees the old object or the whole new one; once this returns it survives a crash.
        """

    @abc.abstractmethod
    def copy(self, source: str, target: str) -> None:
        """Copy an object; the target appears atomically."""

    @abc.abstractmethod
    def keep(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Give objects a second key that outlives the first, as cheaply as the store can; durable when this returns.

        An object that is not there any more is passed over.

        Args:
            pairs: source and target key; a target that exists is left as it is (or written again, on S3).
        """

    @abc.abstractmethod
    def move(self, source: str, target: str, *, expected: LakeObject | None = None) -> None:
        """Move an object to a free key.

        Args:
            source: the object to move.
            target: where to; must not exist.
            expected: when given, only this version is moved.

        Raises:
            FileExistsError: the target exists.
            ChangedError: the source is not ``expected`` any more. The newer object is kept.
        """

    @abc.abstractmethod
    def delete(self, key: str) -> None:
        """Remove an object; one that does not exist is fine."""

    def sweep(self, folder: str, *, older_than: timedelta) -> int:
        """Remove, at any depth, what writers of ours left unfinished when they were killed; return how many files.

        Args:
            folder: of the platform's own; a folder where others put files is none of its business.
            older_than: since when nothing was written to them; longer than any write may pause.
        """
        return 0  # nothing where objects appear whole

    @abc.abstractmethod
    def fingerprint(self, item: LakeObject) -> str:
        """Identify the content: ``sha256:…`` of the bytes; on S3 ``etag:…`` with the size, without reading."""

    def read(self, key: str) -> bytes:
        """The whole content of a (small) object."""
        with self.open(key) as stream:
            return stream.read()

    def exists(self, key: str) -> bool:
        """Whether there is an object of this key."""
        try:
            self.stat(key)
        except FileNotFoundError:
            return False
        return True


def checked_key(key: str) -> str:
    """Return the key if it stays inside the lake.

    Raises:
        ValueError: it is absolute, empty, or climbs with ``..``.
    """
    path = PurePosixPath(key)
    if not key or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{key!r} is not a path inside the lake")
    return key


def open_lake(settings: Settings) -> Lake:
    """The lake that the settings name. Does not touch it yet; see :meth:`Lake.check`."""
    if settings.lake_root.startswith("s3://"):
        from lakehouse.storage.s3 import S3Lake

        return S3Lake(settings)
    from lakehouse.storage.local import LocalLake

    return LocalLake(Path(settings.lake_root))
