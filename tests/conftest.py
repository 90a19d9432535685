"""Fixtures every room may use."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from platforms import Platform, a_platform

SEED = "LAKEHOUSE_TEST_CHAOS_SEED"

# How long an example takes says something of the machine, not of the code.
hypothesis_settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
hypothesis_settings.load_profile("suite")


def pytest_configure(config: pytest.Config) -> None:
    """One seed for all processes that share the proofs, known before the first begins."""
    if config.option.markexpr.startswith("prove"):
        os.environ.setdefault(SEED, str(random.randrange(10**6)))


def pytest_report_header() -> str:
    """What repeats this."""
    return f"{SEED}={os.environ[SEED]}" if SEED in os.environ else "no seed"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What proofs have measured, see the fixture ``measured``."""
    for report in terminalreporter.getreports("passed"):
        for name, line in report.user_properties:
            if name == "measured":
                terminalreporter.write_line(f"{report.nodeid.rpartition('::')[2]}: {line}")


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Called with a line that is to stand in the summary, also where the test passes in another process."""

    def tell(line: str) -> None:
        print(line)
        record_property("measured", line)

    return tell


@pytest.fixture
def platform() -> Iterator[Platform]:
    """An empty platform."""
    with a_platform() as made:
        yield made
