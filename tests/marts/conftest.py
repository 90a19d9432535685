"""One Postgres for all tests of this room, a warehouse and a mart of its own for each."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from mart_project import MART, MartProject
from platforms import an_installation

from lakehouse.settings import Settings


@pytest.fixture(scope="session")
def marts_settings() -> Iterator[Settings]:
    """Settings with a migrated Postgres."""
    with an_installation("marts", memory="2GB") as settings:
        yield settings


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
