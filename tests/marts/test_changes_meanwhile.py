"""What administrators do to a mart while its next version is being loaded is not lost."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

import pytest
from mart_project import MART

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mart_project import MartProject

ROWS = ((1, "ada", 1.0), (2, "bob", 2.0))


@contextlib.contextmanager
def publishing(project: MartProject) -> Iterator[list[str]]:
    """A publication that stands still in the middle, its transaction begun, for the length of the block."""
    said: list[str] = []

    def publish() -> None:
        try:
            said.append(project.publish("second"))
        except AssertionError as error:
            said.append(str(error))

    with project.session() as cursor:
        cursor.execute("select pg_advisory_lock(hashtextextended('lakehouse mart orders', 0))")
        thread = threading.Thread(target=publish)
        thread.start()
        waits = "select 1 from pg_locks where locktype = 'advisory' and not granted"
        deadline = time.monotonic() + 60
        while not project.sql(waits):
            assert thread.is_alive(), said
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield said
    thread.join()


@pytest.mark.parametrize("mode", ["swap", "upsert"])
def test_a_view_a_grant_and_a_comment_made_meanwhile_belong_to_the_new_version(project: MartProject, mode: str) -> None:
    project.rows(*ROWS, mode=mode)
    project.publish("first")
    project.sql("drop role if exists newcomer", "create role newcomer")
    project.rows(*((n, name, 9.0) for n, name, _ in ROWS), mode=mode)
    with publishing(project) as said:
        project.sql(
            "create schema reports authorization lakehouse_owner",
            f"create view reports.total as select sum(amount) as total from {MART}",
            "alter view reports.total owner to lakehouse_owner",
            f"grant select on {MART} to newcomer",
            f"revoke select on {MART} from lakehouse_bi",
            f"comment on column {MART}.amount is 'by hand'",
        )
    assert said == ["PUBLISHED 2"]
    assert project.sql("select total from reports.total") == [(18.0,)]
    may_read = f"select has_table_privilege('newcomer', '{MART}', 'select')"
    assert project.sql(f"{may_read}, has_table_privilege('lakehouse_bi', '{MART}', 'select')") == [(True, False)]
    assert project.sql(f"select col_description('{MART}'::regclass, 3)") == [("by hand",)]
    project.sql("drop schema reports cascade", "drop owned by newcomer", "drop role newcomer")


def test_a_rollback_meanwhile_holds_the_mart_against_the_publication(project: MartProject) -> None:
    for run, amount in (("zero", 0.0), ("first", 1.0)):
        project.rows((1, "ada", amount), mode="swap")
        project.publish(run)
    project.rows((1, "ada", 2.0), mode="swap")
    hold = "update marts_build.publications set held_at = now(), held_reason = 'rolled back by hand'"
    with publishing(project) as said:
        project.sql(hold)
    assert len(said) == 1
    assert "is held and was not touched: rolled back by hand" in said[0]
    assert project.content() == [(1, "ada", 1.0)]
