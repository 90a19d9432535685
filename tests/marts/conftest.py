"""One Postgres for all tests of this room, a warehouse and a mart of its own for each."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from mart_project import MART, MartProject

from lakehouse.postgres import ports, ready
from lakehouse.settings import Settings


@pytest.fixture(scope="session")
def marts_settings() -> Iterator[Settings]:
    """Settings with a migrated Postgres."""
    folder = Path(tempfile.mkdtemp(prefix="lakehouse-marts-"))
    folder.chmod(0o755)  # the server runs as its own account
    settings = Settings(
        _env_file=None,
        data_dir=folder / "data",
        postgres_port=ports.free_port(),
        duckdb_memory_limit="2GB",
        duckdb_threads=2,
    )
    with ready(settings):
        yield settings
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def project(marts_settings: Settings) -> Iterator[MartProject]:
    """Nothing published, nothing in the warehouse. One folder for all, so that dbt parses only what changed."""
    made = MartProject(marts_settings.data_path / "project", marts_settings)
    yield made
    shutil.rmtree(marts_settings.warehouse.parent, ignore_errors=True)
    kept = made.sql("select 'drop table if exists marts_build.' || relation from marts_build.versions")
    made.sql(
        "drop schema if exists reports cascade",
        f"drop table if exists {MART} cascade",
        *(statement for (statement,) in kept),
        "delete from marts_build.versions",
        "delete from marts_build.publications",
    )
