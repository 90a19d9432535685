"""Where finished sample files go: a folder, or a lake.

What belongs here: handing over one finished file. What does not: making it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO, Protocol

Sink = Callable[[str, Path], None]
"""Takes a key (posix path relative to the lake root) and a finished local file that it may move away."""


class Writable(Protocol):
    """The one thing needed of a lake: store the content of an open file under a key, atomically."""

    def write(self, key: str, content: BinaryIO, /) -> object:
        """Store ``content`` under ``key``."""


def into_directory(root: Path) -> Sink:
    """A sink that puts files under a folder; each appears whole (hidden name first, then rename)."""

    def write_file(key: str, path: Path) -> None:
        destination = root / key
        destination.parent.mkdir(parents=True, exist_ok=True)
        hidden = destination.with_name(f".{destination.name}.part")
        shutil.move(path, hidden)
        hidden.replace(destination)

    return write_file


def into_lake(lake: Writable) -> Sink:
    """A sink that writes through a lake, local or S3."""

    def write_file(key: str, path: Path) -> None:
        with path.open("rb") as content:
            lake.write(key, content)

    return write_file
