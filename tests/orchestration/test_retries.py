"""Transient failures are retried with growing pauses, others never."""

import pytest
from dagster import Failure, RetryRequested

from lakehouse.errors import BlockedError, DataError, UnavailableError
from lakehouse.settings import Settings
from orchestration.retries import dagster_failures, retry_wait


def _settings() -> Settings:
    return Settings(_env_file=None, retry_max=3, retry_delay_seconds=60)


def test_pauses_double_and_end_at_half_an_hour():
    assert [retry_wait(attempt, 60) for attempt in range(7)] == [60, 120, 240, 480, 960, 1800, 1800]


def test_a_dead_server_is_retried_after_the_pause():
    with pytest.raises(RetryRequested) as request, dagster_failures(_settings(), 1, delay=None):
        raise UnavailableError("marts server is down")
    assert request.value.max_retries == 3
    assert request.value.seconds_to_wait == 120


def test_a_run_may_ask_for_shorter_pauses():
    with pytest.raises(RetryRequested) as request, dagster_failures(_settings(), 0, delay=0.5):
        raise UnavailableError("marts server is down")
    assert request.value.seconds_to_wait == 0.5


def test_the_last_retry_ends_in_a_failure_with_the_remedy():
    with pytest.raises(Failure) as failure, dagster_failures(_settings(), 3, delay=None):
        raise UnavailableError("marts server is down", remedy="start it")
    assert failure.value.allow_retries is False
    assert "marts server is down" in failure.value.description
    assert failure.value.metadata["remedy"].value == "start it"


@pytest.mark.parametrize("kind", [DataError, BlockedError])
def test_what_cannot_mend_itself_is_never_retried(kind):
    with pytest.raises(Failure) as failure, dagster_failures(_settings(), 0, delay=None):
        raise kind("bad")
    assert failure.value.allow_retries is False


def test_a_bug_keeps_its_stack_trace():
    with pytest.raises(ZeroDivisionError), dagster_failures(_settings(), 0, delay=None):
        raise ZeroDivisionError
