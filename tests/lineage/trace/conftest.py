"""What the tests of traces share: models made by hand, and a real lake with warehouse, Postgres and marts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hand_made import HandMade
from platforms import an_installation
from small_lake import SmallLake

from lakehouse.dbt.manifest import load_manifest
from lakehouse.settings import Settings


@pytest.fixture
def made() -> HandMade:
    """An empty warehouse in memory."""
    return HandMade()


@pytest.fixture(scope="session")
def installation() -> Iterator[tuple[Settings, Any]]:
    """Settings with a migrated Postgres, and the manifest that all tests share."""
    with an_installation("trace") as settings:
        yield settings, load_manifest(settings)


@pytest.fixture
def lake(installation: tuple[Settings, Any]) -> SmallLake:
    """An empty lake, no ledger, no warehouse."""
    return SmallLake(*installation)
