"""One platform whose Postgres runs, and an outbox that a test fills."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from platforms import Platform, a_platform

from lakehouse.postgres import ready
from lakehouse.postgres.connect import connect, state_url
from lineage import outbox
from lineage.outgoing import Outgoing

for folder in ("graph", "page"):  # the hand-made events and the synthetic platform
    sys.path.append(str(Path(__file__).parents[1] / folder))


@pytest.fixture(scope="session")
def browsed() -> Iterator[Platform]:
    """A platform whose Postgres runs, and where nothing was ever run."""
    with a_platform() as made, ready(made.settings):
        yield made


@pytest.fixture
def connection(browsed: Platform) -> Iterator[Any]:
    """To the state database, its outbox empty."""
    opened = connect(state_url(browsed.settings), what="state database")
    with opened, opened.cursor() as cursor:
        cursor.execute("TRUNCATE data_platform.lineage_outbox, data_platform.lineage_runs RESTART IDENTITY")
    yield opened
    opened.close()


@pytest.fixture
def recorded(connection: Any) -> Callable[[Iterable[dict[str, Any]]], None]:
    """Puts event bodies into the outbox, in this order."""

    def put(bodies: Iterable[dict[str, Any]]) -> None:
        outbox.put(connection, [_outgoing(number, body) for number, body in enumerate(bodies)], run_id=None)

    return put


def _outgoing(number: int, body: dict[str, Any]) -> Outgoing:
    kind = "run" if "run" in body else "job" if "job" in body else "dataset"
    return Outgoing(
        key=str(number),
        order_key=body["run"]["runId"] if kind == "run" else "sync",
        kind=kind,
        type=body.get("eventType", ""),
        job=body["job"]["name"] if kind != "dataset" else "",
        event_time=datetime.fromisoformat(body["eventTime"]),
        body=body,
    )
