"""The lake in a local directory.

What belongs here: files and directories, made atomic and durable. What does not: anything about their content.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import shutil
import signal
import stat as modes
import uuid
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

from lakehouse.errors import ConfigError, LakehouseError
from lakehouse.files import sync_folder
from lakehouse.storage.lake import ChangedError, Lake, LakeObject, ObjectKind, checked_key

UNFINISHED = re.compile(r"\.[0-9a-f]{12}4[0-9a-f]{19}\.tmp")
"""What :meth:`LocalLake.write` calls a file that is not whole yet: nobody else's name."""


class LocalLake(Lake):
    """A directory; keys are paths below it."""

    atomic_arrival = False

    def __init__(self, root: Path) -> None:
        self._path = root
        self.root = str(root)

    def check(self) -> None:
        """See :meth:`Lake.check`; the directory is made if it is missing."""
        try:
            self._path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"The lake directory {self.root} cannot be made: {error.strerror}.",
                remedy="Set LAKEHOUSE_LAKE_URL or LAKEHOUSE_DATA_DIR to a directory you may write to.",
            ) from error
        if not os.access(self._path, os.R_OK | os.W_OK | os.X_OK):
            raise ConfigError(
                f"The lake directory {self.root} may not be read and written by this user.",
                remedy=f"Grant access (chmod u+rwx {self.root}) or set LAKEHOUSE_LAKE_URL to another directory.",
            )

    def list(self, folder: str) -> Iterator[LakeObject]:
        """See :meth:`Lake.list`."""
        base = self._file(folder)
        found = []
        try:
            with os.scandir(base) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    key = f"{folder.rstrip('/')}/{entry.name}"
                    # Whatever goes away between the listing and the look was not there to begin with.
                    with contextlib.suppress(FileNotFoundError):
                        plain = entry.is_file(follow_symlinks=False)
                        found.append(_item(key, "file", entry.stat()) if plain else self.stat(key))
        except FileNotFoundError:
            return
        except OSError as error:
            raise ConfigError(
                f"The folder {base} cannot be listed: {error.strerror}.",
                remedy=f"It must be a directory this user may read (chmod u+rx {base}).",
            ) from error
        yield from sorted(found, key=lambda item: item.key)

    def walk(self, folder: str) -> Iterator[LakeObject]:
        """See :meth:`Lake.walk`; linked directories are not entered (they may form a loop)."""
        found = []
        for path, folders, files in os.walk(self._file(folder)):
            folders[:] = [name for name in folders if not name.startswith(".")]
            found += [Path(path, name) for name in files if not name.startswith(".")]
        for key in sorted(file.relative_to(self._path).as_posix() for file in found):
            with contextlib.suppress(FileNotFoundError):
                yield self.stat(key)

    def stat(self, key: str) -> LakeObject:
        """See :meth:`Lake.stat`; a dangling link is returned as such."""
        file = self._file(key)
        kind: ObjectKind
        try:
            state = file.stat()
            if modes.S_ISREG(state.st_mode):
                kind = "file"
            elif modes.S_ISDIR(state.st_mode):
                kind = "directory"
            else:
                kind = "other"
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ELOOP, errno.ENOTDIR}:
                raise
            try:
                state = file.lstat()
            except NotADirectoryError:
                raise FileNotFoundError(errno.ENOENT, "no such object", key) from None
            kind = "dangling"
        return _item(key, kind, state)

    def closed_by_its_writers(self, key: str) -> bool:
        """See :meth:`Lake.closed_by_its_writers`.

        The kernel grants a read lease only while nobody has the file open for writing (fcntl(2), F_SETLEASE). It
        refuses one to everybody but the file's owner, and on network file systems: there it cannot be known.
        """
        try:
            handle = os.open(self._file(key), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return False
        try:
            # Who opens the file in this very moment makes the kernel signal us: by default SIGIO, which would end the
            # process. SIGURG is ignored by default.
            fcntl.fcntl(handle, fcntl.F_SETSIG, signal.SIGURG)
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        except OSError:
            return False
        finally:
            os.close(handle)
        return True

    def open(self, key: str) -> BinaryIO:
        """See :meth:`Lake.open`."""
        return self._file(key).open("rb")

    def write(self, key: str, data: bytes | Path) -> None:
        """See :meth:`Lake.write`: a dot-named neighbour, fsync, rename, fsync of the folder."""
        target = self._file(key)
        with self._staged(target) as fresh:
            with fresh.open("wb") as stream:
                if isinstance(data, Path):
                    with data.open("rb") as source:
                        shutil.copyfileobj(source, stream, 1 << 20)
                else:
                    stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            fresh.replace(target)

    def copy(self, source: str, target: str) -> None:
        """See :meth:`Lake.copy`."""
        self.write(target, self._file(source))

    def keep(self, pairs: Sequence[tuple[str, str]]) -> None:
        """See :meth:`Lake.keep`: hard links; copies where the file system or its rules allow none."""
        folders = set()
        for source, target in pairs:
            new = self._file(target)
            _make_folder(new.parent)
            folders.add(new.parent)
            old = self._file(source)
            try:
                if old.is_symlink() and not new.exists():  # its content, not the way to it
                    raise OSError(errno.EXDEV, "not linked", source)
                os.link(old, new)
            except (FileExistsError, FileNotFoundError):
                continue
            except OSError:  # another disk, somebody else's file, too many links
                with contextlib.suppress(FileNotFoundError, PermissionError, IsADirectoryError):
                    self.copy(source, target)
        for folder in folders:
            sync_folder(folder)

    def move(self, source: str, target: str, *, expected: LakeObject | None = None) -> None:
        """See :meth:`Lake.move`.

        A rename keeps modification time and inode, so the version is compared after it, when nobody can replace the
        file under our hands any more; a newer file is put back, without replacing an even newer one.
        """
        old, new = self._file(source), self._file(target)
        if os.path.lexists(new):
            raise FileExistsError(errno.EEXIST, "the target exists", target)
        changed = ChangedError(
            f"{source} was replaced while it was looked at.", remedy="Nothing to do: the next run looks again."
        )
        _make_folder(new.parent)
        if old.is_symlink():
            if expected is not None and self.stat(source).version != expected.version:
                raise changed
            _move_link(old, new)
        else:
            old.rename(new)
            if expected is not None and self.stat(target).version != expected.version:
                with contextlib.suppress(FileExistsError):
                    os.link(new, old, follow_symlinks=False)
                    new.unlink()
                raise changed
        sync_folder(new.parent)
        sync_folder(old.parent)

    def delete(self, key: str) -> None:
        """See :meth:`Lake.delete`."""
        file = self._file(key)
        file.unlink(missing_ok=True)
        if file.parent.is_dir():
            sync_folder(file.parent)

    def sweep(self, folder: str, *, older_than: timedelta) -> int:
        """See :meth:`Lake.sweep`; should a writer live after all, its rename fails and it writes again."""
        before = (datetime.now(UTC) - older_than).timestamp()
        swept = 0
        for path, _, names in os.walk(self._file(folder)):
            for file in (Path(path, name) for name in names if UNFINISHED.fullmatch(name)):
                with contextlib.suppress(FileNotFoundError):
                    state = file.lstat()
                    if modes.S_ISREG(state.st_mode) and state.st_mtime < before:
                        file.unlink()
                        swept += 1
        return swept

    def fingerprint(self, item: LakeObject) -> str:
        """See :meth:`Lake.fingerprint`."""
        with self._file(item.key).open("rb") as stream:
            return "sha256:" + hashlib.file_digest(stream, "sha256").hexdigest()

    def _file(self, key: str) -> Path:
        return self._path / checked_key(key)

    @contextlib.contextmanager
    def _staged(self, target: Path) -> Iterator[Path]:
        fresh = target.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            _make_folder(target.parent)
            yield fresh
            sync_folder(target.parent)
        except OSError as error:
            if error.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise LakehouseError(
                    f"There is no space left to write {target}.", remedy="Free space on the disk and run again."
                ) from error
            if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
                raise ConfigError(
                    f"{target} may not be written by this user: {error.strerror}.",
                    remedy=f"Grant access to the folder {target.parent} and run again.",
                ) from error
            raise
        finally:
            with contextlib.suppress(OSError):
                fresh.unlink(missing_ok=True)


def _item(key: str, kind: ObjectKind, state: os.stat_result) -> LakeObject:
    return LakeObject(
        key=key,
        size=state.st_size,
        modified=datetime.fromtimestamp(state.st_mtime, UTC),
        version=f"{state.st_mtime_ns}-{state.st_size}-{state.st_ino}",
        kind=kind,
        appeared=datetime.fromtimestamp(state.st_ctime, UTC),
    )


def _move_link(old: Path, new: Path) -> None:
    """Move the link, not its target; a relative one is made absolute, or it would point elsewhere from there."""
    new.symlink_to(old.parent / old.readlink())
    old.unlink()


def _make_folder(folder: Path) -> None:
    if not folder.is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        sync_folder(folder.parent)
