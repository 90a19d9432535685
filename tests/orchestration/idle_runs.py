"""A job that does nothing, to make runs of."""

from __future__ import annotations

from dagster import job, op


@op
def nothing() -> None:
    """Something to run."""


@job
def idle() -> None:
    """A job to make runs of."""
    nothing()
