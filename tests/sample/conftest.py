"""Samples made once and read by many tests."""

from __future__ import annotations

import pytest
from sample_maker import Sample, make


@pytest.fixture(scope="session")
def default_sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """What `lakehouse sample bioreactor` writes when nothing is asked for."""
    return make(tmp_path_factory.mktemp("default"))


@pytest.fixture(scope="session")
def clean_sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """No duplicates, no gaps, no late files."""
    return make(
        tmp_path_factory.mktemp("clean"), batches=4, duplicate_fraction=0, gap_fraction=0, late_fraction=0, seed=3
    )
