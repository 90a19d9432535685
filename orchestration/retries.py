"""Retries with backoff for what is transient, and none for what is not."""

from collections.abc import Iterator
from contextlib import contextmanager

from dagster import Failure, MetadataValue, RetryRequested

from lakehouse.errors import BlockedError
from lakehouse.failures import meaning
from lakehouse.settings import Settings
from orchestration import names, progress

MAX_DELAY_SECONDS = 30 * 60  # max_retry_delay of the requirements


def retry_wait(attempt: int, first: float) -> float:
    """Seconds before retry number ``attempt`` (0-based): doubles each time, at most 30 minutes."""
    return min(first * 2.0**attempt, MAX_DELAY_SECONDS)


@contextmanager
def dagster_failures(settings: Settings, attempt: int, *, delay: float | None) -> Iterator[None]:
    """Turn errors we understand into Dagster's: transient ones into a retry after a pause, the rest into a failure.

    Args:
        settings: for how often and how long.
        attempt: how many retries this step has had.
        delay: seconds before the first retry where the run asks for other than the setting.

    Raises:
        RetryRequested: the error is transient and retries are left.
        Failure: it is not, or none are left; never retried by Dagster.
    """
    try:
        yield
    except Exception as caught:
        error = meaning(caught)
        if error is None:
            raise
        if error.transient and attempt < settings.retry_max:
            wait = retry_wait(attempt, settings.retry_delay_seconds if delay is None else delay)
            progress.note(
                f"{error.message.rstrip('.')}. Trying again in {wait:.0f} s ({attempt + 1} of {settings.retry_max})."
            )
            raise RetryRequested(max_retries=settings.retry_max, seconds_to_wait=wait) from caught
        metadata: dict[str, MetadataValue] = {"remedy": MetadataValue.text(error.remedy)} if error.remedy else {}
        if error.transient:
            metadata[names.META_TRANSIENT] = MetadataValue.bool(True)
        if isinstance(error, BlockedError):
            metadata["blocked"] = MetadataValue.bool(True)
        raise Failure(description=str(error), metadata=metadata, allow_retries=False) from caught
