"""Marts that are published at the same time by two sessions do not trip over each other."""

from __future__ import annotations

import contextlib
import json
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from psycopg2.errors import LockNotAvailable

from lakehouse.postgres.connect import connect, marts_url

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mart_project import MartProject

MARTS = ("first", "second")


@contextlib.contextmanager
def writer(project: MartProject) -> Iterator[Any]:
    """A session of the role that publishes; what it does is one transaction, committed at the end of the block."""
    with contextlib.closing(connect(marts_url(project.settings), what="marts")) as session, session:
        session.set_session(isolation_level="READ COMMITTED")
        with session.cursor() as cursor:
            yield cursor


def load(cursor: Any, mart: str, version: int) -> tuple[str, str, str]:
    """A fresh table beside a mart, and what publish() is called with."""
    number = uuid.uuid4()
    fresh = f"{mart}__{number.hex[:8]}"
    cursor.execute(f"create table marts_build.{fresh} as select {version} as version")
    facts = {"publication_id": str(number), "fingerprint": "f", "model_checksum": "m", "rows": 1, "changes": 1}
    return mart, fresh, json.dumps({**facts, "run_id": "r", "model": mart, "key": [], "keep": 1})


@pytest.fixture
def owned_by_others(project: MartProject, request: pytest.FixtureRequest) -> Iterator[MartProject]:
    """Two marts, each handed over to a role that may not create in their schema; the parameter names the roles."""
    roles = set(request.param)
    project.sql(
        *(f"create role {role}" for role in roles), *(f"grant {role} to lakehouse_owner" for role in sorted(roles))
    )
    for mart, role in zip(MARTS, request.param, strict=True):
        with writer(project) as cursor:
            cursor.execute("select marts_build.publish(%s, %s, %s)", load(cursor, mart, 1))
        project.sql(f"alter table marts.{mart} owner to {role}")
    yield project
    project.sql(*(f"drop table marts.{mart}" for mart in MARTS))
    project.sql(*(f"drop role {role}" for role in sorted(roles)))


@pytest.mark.parametrize("owned_by_others", [("ann", "ann"), ("ann", "bea")], indirect=True)
def test_two_marts_of_foreign_owners_are_swapped_at_once(owned_by_others: MartProject) -> None:
    project = owned_by_others
    owners = "select relname, pg_get_userbyid(relowner) from pg_class where relname in ('first', 'second') order by 1"
    before = project.sql(owners)
    rights = "select nspacl::text from pg_namespace where nspname = 'marts'"
    lent = project.sql(rights)
    said: list[str] = []
    second: list[int] = []

    def publish() -> None:
        try:
            with writer(project) as cursor:
                arguments = load(cursor, "second", 2)
                second.append(cursor.connection.get_backend_pid())
                cursor.execute("select marts_build.publish(%s, %s, %s)", arguments)
                said.append(cursor.fetchone()[0])
        except Exception as error:
            said.append(str(error))

    with writer(project) as cursor:
        cursor.execute("select marts_build.publish(%s, %s, %s)", load(cursor, "first", 2))
        thread = threading.Thread(target=publish)
        thread.start()
        deadline = time.monotonic() + 60
        while not (second and project.sql(f"select 1 from pg_locks where pid = {second[0]} and not granted")):
            assert thread.is_alive(), said
            assert time.monotonic() < deadline
    thread.join()
    assert said == ["replaced"]
    assert [project.sql(f"select version from marts.{mart}") for mart in MARTS] == [[(2,)], [(2,)]]
    assert project.sql(owners) == before
    assert project.sql(rights) == lent


@pytest.mark.parametrize("owned_by_others", [("ann", "bea")], indirect=True)
def test_a_swap_that_waits_for_another_one_too_long_names_it(owned_by_others: MartProject) -> None:
    with writer(owned_by_others) as one:
        one.execute("select marts_build.publish(%s, %s, %s)", load(one, "first", 2))
        holder = f"held by: process {one.connection.get_backend_pid()} of lakehouse_writer"
        with pytest.raises(LockNotAvailable, match=holder), writer(owned_by_others) as other:
            other.execute("select marts_build.publish(%s, %s, %s, 0.3)", load(other, "second", 2))
    assert owned_by_others.sql("select version from marts.second") == [(1,)]
