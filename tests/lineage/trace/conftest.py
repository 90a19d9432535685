"""What the tests of traces share: models made by hand, and a real lake with warehouse, Postgres and marts."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hand_made import HandMade
from small_lake import SmallLake

from lakehouse.dbt.manifest import load_manifest
from lakehouse.postgres import ports, ready
from lakehouse.settings import Settings


@pytest.fixture
def made() -> HandMade:
    """An empty warehouse in memory."""
    return HandMade()


@pytest.fixture(scope="session")
def installation() -> Iterator[tuple[Settings, Any]]:
    """Settings with a migrated Postgres, and the manifest that all tests share."""
    folder = Path(tempfile.mkdtemp(prefix="lakehouse-trace-"))
    folder.chmod(0o755)  # the server runs as its own account
    settings = Settings(
        _env_file=None,
        data_dir=folder / "data",
        postgres_port=ports.free_port(),
        duckdb_memory_limit="1GB",
        duckdb_threads=2,
    )
    with ready(settings):
        yield settings, load_manifest(settings)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def lake(installation: tuple[Settings, Any]) -> SmallLake:
    """An empty lake, no ledger, no warehouse."""
    return SmallLake(*installation)
