"""Where finished sample files go.

What belongs here: handing over one finished file. What does not: making it. A lake's own ``write`` is a sink, local or
S3; here is the one for a plain folder.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

Sink = Callable[[str, Path], object]
"""Takes a key (posix path relative to the lake root) and a finished local file, which it may move away."""


def into_directory(root: Path) -> Sink:
    """A sink that moves files under a folder; each appears whole (dot-named first, then renamed)."""

    def write_file(key: str, path: Path) -> None:
        destination = root / key
        destination.parent.mkdir(parents=True, exist_ok=True)
        hidden = destination.with_name(f".{destination.name}.part")
        shutil.move(path, hidden)
        hidden.replace(destination)

    return write_file
