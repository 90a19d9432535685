"""Whether the code, the models or the declarations are other than those a process has loaded."""

from __future__ import annotations

import os
from pathlib import Path

from lakehouse.settings import PROJECT_ROOT

WATCHED = ("lakehouse", "ingestion", "lineage", "orchestration", "dbt_project", ".env")
ENDINGS = (".py", ".sql", ".yml", ".yaml", ".csv", ".md", ".env")
LEFT_OUT = {"__pycache__", "target", "logs", "dbt_packages"}


def code_version(root: Path = PROJECT_ROOT) -> int:
    """A number that changes when a file that definitions depend on is changed, added or removed.

    Names, sizes and modification times; no file is read, so it can be asked often (2 ms).
    """
    found: list[tuple[str, int, int]] = []
    for name in WATCHED:
        top = root / name
        if top.is_file():
            found.append(_sign(top))
        for folder, subfolders, files in os.walk(top):
            subfolders[:] = sorted(set(subfolders) - LEFT_OUT)
            found += [_sign(Path(folder, file)) for file in sorted(files) if file.endswith(ENDINGS)]
    return hash(tuple(found))


def _sign(path: Path) -> tuple[str, int, int]:
    try:
        state = path.stat()
    except OSError:  # gone between the listing and the look, or an editor's dangling lock file
        return str(path), 0, 0
    return str(path), state.st_size, state.st_mtime_ns
