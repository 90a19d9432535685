"""The prebuilt manifest: parsed once per change of the project or the settings, shared by every process.

Long-lived processes load definitions in a second from it, and ``lakehouse run`` hands it to dbt instead of parsing.
dbt bakes ``env_var()`` values of configurations into a manifest, so its key is a hash over the project's files and
the environment they can see (knowledge: "Manifests bake env_var() values").
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from lakehouse.dbt.environment import dbt_environment
from lakehouse.errors import ConfigError
from lakehouse.settings import PROJECT_ROOT, Settings

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

DBT_PROJECT = PROJECT_ROOT / "dbt_project"
KEPT_MANIFESTS = 5
SECRET_VARIABLES = frozenset({"LAKEHOUSE_S3_ACCESS_KEY", "LAKEHOUSE_S3_SECRET_KEY"})


def manifest_key(settings: Settings) -> str:
    """Hash (16 hex digits) over everything a parse depends on: project files, environment, dbt's version."""
    digest = hashlib.sha256(importlib.metadata.version("dbt-core").encode())
    for name, value in sorted(dbt_environment(settings).items()):
        if name not in SECRET_VARIABLES:
            digest.update(f"{name}={value}\0".encode())
    for folder, subfolders, files in os.walk(DBT_PROJECT):
        subfolders[:] = sorted(set(subfolders) - {"target", "logs", "dbt_packages"})
        for name in sorted(files):
            path = Path(folder) / name
            digest.update(f"{path.relative_to(DBT_PROJECT)}\0".encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def ensure_manifest(settings: Settings) -> Path:
    """Return the folder holding ``manifest.json`` and ``partial_parse.msgpack``, parsing when it is not there yet.

    Raises:
        ConfigError: the project does not parse; the text is dbt's own.
    """
    folder = settings.dbt_dir / "manifests" / manifest_key(settings)
    if (folder / "manifest.json").exists():
        return folder
    from lakehouse.dbt.runner import raw_invoke

    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(prefix=".parse-", dir=folder.parent))
    try:
        # Target postgres: it is the one under which every model, marts included, is enabled.
        result = raw_invoke(
            settings, ["parse", "--target", "postgres", "--no-partial-parse", "--target-path", str(scratch)]
        )
        if not result.success:
            raise ConfigError(
                f"The dbt project does not parse: {result.exception}",
                remedy=f"Mend the file it names in {DBT_PROJECT}; `dbt parse` there shows the same error.",
            )
        try:
            scratch.rename(folder)
        except OSError:
            if not (folder / "manifest.json").exists():  # else another process was first: its copy is the same
                raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    _forget_old(folder.parent, keep=folder)
    return folder


def load_manifest(settings: Settings) -> Manifest:
    """The manifest as dbt's own object, for :class:`dbt.cli.main.dbtRunner`, which takes the same one again and again.

    Kept in memory while project and settings stay as they are: unpacking it for every layer of every run would be a
    tenth of what a small run takes.
    """
    return _unpacked(ensure_manifest(settings))


@functools.lru_cache(maxsize=1)
def _unpacked(folder: Path) -> Manifest:
    from dbt.contracts.graph.manifest import Manifest

    manifest = Manifest.from_msgpack((folder / "partial_parse.msgpack").read_bytes())
    manifest.build_flat_graph()
    return manifest


def _forget_old(root: Path, *, keep: Path) -> None:
    others = []
    for path in root.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process has just renamed or removed it
            if path != keep and path.is_dir():
                others.append((path.stat().st_mtime, path))
    for _, path in sorted(others, reverse=True)[KEPT_MANIFESTS - 1 :]:
        shutil.rmtree(path, ignore_errors=True)
