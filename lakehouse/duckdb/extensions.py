"""An extension directory made of links to the pinned wheels, so that ``LOAD`` never needs a network.

What belongs here: turning ``duckdb-extension-*`` packages into the layout DuckDB looks for
(``<dir>/v<version>/<platform>/<name>.duckdb_extension``). What does not: loading them.
"""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import platform
import uuid
from pathlib import Path

from lakehouse.errors import ConfigError

PACKAGES = {
    "httpfs": "duckdb_extension_httpfs",
    "postgres_scanner": "duckdb_extension_postgres_scanner",
}

# DuckDB's own names (`PRAGMA platform`), spelled out so that linking needs no connection.
PLATFORMS = {
    ("Linux", "x86_64"): "linux_amd64",
    ("Linux", "aarch64"): "linux_arm64",
    ("Darwin", "arm64"): "osx_arm64",
    ("Darwin", "x86_64"): "osx_amd64",
}


@functools.cache
def extension_directory(data_dir: Path) -> Path:
    """Return the directory for DuckDB's ``extension_directory``, creating or mending its links.

    Args:
        data_dir: the platform's data folder.

    Raises:
        ConfigError: a wheel is missing, was built for another DuckDB version, or the machine is unknown to DuckDB.
    """
    version = importlib.metadata.version("duckdb")
    root = data_dir / "duckdb_extensions"
    folder = root / f"v{version}" / _platform()
    for name, package in PACKAGES.items():
        source = _extension_file(name, package, version)
        link = folder / source.name
        if link.is_symlink() and link.resolve() == source:
            continue
        folder.mkdir(parents=True, exist_ok=True)
        fresh = folder / f".{name}.{uuid.uuid4().hex}.new"  # two processes may begin at once
        fresh.symlink_to(source)
        fresh.replace(link)  # atomic: a concurrent LOAD sees the old link or the new one
    return root


def _platform() -> str:
    machine = (platform.system(), platform.machine())
    if machine not in PLATFORMS:
        raise ConfigError(
            f"DuckDB has no extension wheels for {' '.join(machine)}.",
            remedy="Run the platform on Linux (x86_64, aarch64) or macOS.",
        )
    return PLATFORMS[machine]


def _extension_file(name: str, package: str, version: str) -> Path:
    spec = importlib.util.find_spec(package)
    locations = list(spec.submodule_search_locations or ()) if spec else []
    found = [file for place in locations for file in Path(place).rglob(f"{name}.duckdb_extension")]
    if not found:
        raise ConfigError(
            f"The DuckDB extension {name} is not installed (package {package.replace('_', '-')}).",
            remedy="Run `make setup`; it installs requirements/runtime.txt.",
        )
    matching = [file for file in found if f"v{version}" in file.parts]
    if not matching:
        raise ConfigError(
            f"The DuckDB extension {name} is built for {found[0].parent.name}, DuckDB is v{version}.",
            remedy="Run `make setup`: duckdb and its extensions are locked to one version.",
        )
    return matching[0].resolve()
