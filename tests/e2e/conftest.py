"""What the end-to-end tests share: a platform that is built once per module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from figures import SMALL
from platforms import Platform, a_platform


@pytest.fixture(scope="module")
def built() -> Iterator[Platform]:
    """A platform with a small sample, built once for a module; its tests leave it as it is or go on from there."""
    with a_platform() as made:
        made.sample(*SMALL)
        made.run()
        yield made
