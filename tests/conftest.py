"""Fixtures every room may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from platforms import Platform, a_platform


@pytest.fixture
def platform() -> Iterator[Platform]:
    """An empty platform."""
    with a_platform() as made:
        yield made
