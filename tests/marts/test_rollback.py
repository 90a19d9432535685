"""Rolling a mart back: exactly the former content, nothing lost around it, and held until released."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from mart_project import MART

from lakehouse.errors import BlockedError, BusyError, ConfigError
from lakehouse.marts import rollback
from lakehouse.marts.versions import Published, human_size, published
from lakehouse.postgres.connect import connect, marts_url, state_url
from lakehouse.state import mark_building

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mart_project import MartProject

    from lakehouse.settings import Settings

MANY = tuple((n, "many", 0.5) for n in range(10, 40))
V1 = ((1, "ada", 1.0), (2, "bob", 2.0), *MANY)
V2 = ((1, "ada", 1.5), (3, "cy", None), *MANY)
V3 = ((3, "cy", 3.0), (4, "dan", 4.0), *MANY[1:])
V4 = ((5, "eve", 5.0), *MANY)


def keeping(project: MartProject, versions: int) -> Settings:
    project.settings = project.settings.model_copy(update={"marts_keep_versions": versions})
    return project.settings


def history(project: MartProject) -> Published:
    with contextlib.closing(connect(marts_url(project.settings), what="marts")) as connection:
        return published(connection, "orders")


def runs(project: MartProject) -> list[str]:
    return [version.run_id for version in history(project).versions]


def alerts(project: MartProject) -> list[tuple[Any, ...]]:
    return state(
        project,
        "select subject, message, remedy from data_platform.alert_history"
        " where kind = 'mart_held' and resolved_at is null",
    )


def state(project: MartProject, sql: str) -> list[tuple[Any, ...]]:
    """Run a statement in the state database."""
    url = state_url(project.settings)
    with contextlib.closing(connect(url, what="state")) as connection, connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall()) if cursor.description else []


@pytest.fixture
def history_of_four(project: MartProject, request: pytest.FixtureRequest) -> Iterator[MartProject]:
    """Four publications by runs one to four; the parameter says in which mode each was written (u or s)."""
    keeping(project, 3)
    for run, rows, mode in zip(("one", "two", "three", "four"), (V1, V2, V3, V4), request.param, strict=True):
        project.rows(*rows)
        project.publish(run, full_refresh=mode == "s")
    yield project
    state(project, "delete from data_platform.alert_history")


@pytest.mark.parametrize("history_of_four", ["suuu", "suss", "ssuu"], indirect=True)
def test_every_kept_version_comes_back_exactly_whatever_lies_between(history_of_four: MartProject) -> None:
    project = history_of_four
    assert runs(project) == ["four", "three", "two", "one"]
    shape = "select indexdef from pg_indexes where tablename = 'orders' and schemaname = 'marts'"
    before = project.sql(shape)
    for run, rows in (("two", V2), ("one", V1), ("three", V3), ("four", V4), ("one", V1), ("two", V2)):
        served = rollback.roll_back(project.settings, "orders", run)
        assert (served.run_id, served.rows) == (run, len(rows))
        assert project.content() == list(rows)
        assert sorted(runs(project)) == ["four", "one", "three", "two"]  # none is lost, none is there twice
        assert project.sql(shape) == before
    assert project.left_behind() == []


@pytest.mark.parametrize("history_of_four", ["suuu"], indirect=True)
def test_a_rolled_back_mart_is_held_until_it_is_released(history_of_four: MartProject) -> None:
    project = history_of_four
    rollback.roll_back(project.settings, "marts.orders", "thr")
    assert project.publish("five").startswith("HELD rolled back at ")
    assert project.publish("five", full_refresh=True).startswith("HELD ")
    assert project.content() == list(V3)
    ((subject, message, remedy),) = alerts(project)
    assert subject == "orders"
    assert "to what run three published" in message
    assert "lakehouse rollback orders --release" in remedy
    rollback.release(project.settings, "orders")
    assert alerts(project) == []
    assert project.publish("five") == f"PUBLISHED {len(V4)}"
    assert project.content() == list(V4)
    assert runs(project)[:2] == ["five", "three"]
    project.rows(*V3)
    assert "written" in project.publish("six")
    with pytest.raises(ConfigError, match="not held"):
        rollback.release(project.settings, "orders")


@pytest.mark.parametrize("history_of_four", ["ssuu"], indirect=True)
def test_what_hangs_on_the_mart_survives_a_rollback(history_of_four: MartProject) -> None:
    project = history_of_four
    project.sql(
        "drop role if exists analyst, extra",
        "create role analyst",
        "create role extra",
        "grant analyst to lakehouse_owner",
        "grant usage on schema marts to analyst",
        "create schema reports authorization lakehouse_owner",
        f"create view reports.total as select sum(amount) as total from {MART}",
        "alter view reports.total owner to lakehouse_owner",
        "create view reports.doubled as select total * 2 as doubled from reports.total",
        f"create index by_hand on {MART} (amount) where amount > 1",
        f"grant select (id) on {MART} to extra",
        f"comment on column {MART}.amount is 'by hand'",
        f"revoke select on {MART} from lakehouse_bi",
        f"alter table {MART} owner to analyst",
    )
    facts = (
        f"select relacl::text, relowner::regrole::text from pg_class where oid = '{MART}'::regclass",
        f"select attname, attacl::text, col_description(attrelid, attnum) from pg_attribute where attrelid ="
        f" '{MART}'::regclass and attnum > 0",
        "select indexdef from pg_indexes where schemaname = 'marts' order by 1",
        f"select obj_description('{MART}'::regclass)",
    )
    before = [project.sql(text) for text in facts]
    for run, rows in (("three", V3), ("one", V1), ("four", V4)):
        rollback.roll_back(project.settings, "orders", run)
        assert [project.sql(text) for text in facts] == before
        total = sum(amount or 0 for _, _, amount in rows)
        assert project.sql("select doubled from reports.doubled") == [(pytest.approx(2 * total),)]
    project.sql("drop schema reports cascade", f"drop table {MART}", "drop owned by analyst")
    project.sql("drop role analyst, extra")


def test_only_as_many_versions_are_kept_as_the_setting_says(project: MartProject) -> None:
    keeping(project, 1)
    for run, rows in (("one", V1), ("two", V2), ("three", V3)):
        project.rows(*rows)
        project.publish(run)
    assert runs(project) == ["three", "two"]
    keeping(project, 0)
    project.rows(*V4)
    project.publish("four")
    assert runs(project) == ["four"]
    project.rows(*V1, mode="swap")
    project.publish("five")
    assert runs(project) == ["five"]
    assert project.left_behind() == []


def test_a_version_that_somebody_built_on_stays_until_that_is_gone(project: MartProject) -> None:
    keeping(project, 1)
    for run, rows in (("one", V1), ("two", V2)):
        project.rows(*rows, mode="swap")
        project.publish(run)
    ((kept,),) = project.sql("select relation from marts_build.versions")
    project.sql(f"create view public.on_it as select * from marts_build.{kept}")
    project.rows(*V3, mode="swap")
    project.publish("three")
    assert runs(project) == ["three", "two", "one"]
    project.sql("drop view public.on_it")
    project.rows(*V4, mode="swap")
    project.publish("four")
    assert runs(project) == ["four", "three"]


def test_runs_are_named_by_the_beginning_of_their_id_and_wrong_names_are_explained(project: MartProject) -> None:
    keeping(project, 3)
    for run, rows in (("abc-1", V1), ("abd-2", V2), ("xyz-3", V3)):
        project.rows(*rows)
        project.publish(run)
    for run, said in (
        ("ab", "Several runs begin with ab: abc-1, abd-2"),
        ("xyz", "published the version of orders that is being served"),
        ("nope", "No kept version of orders is from a run nope"),
    ):
        with pytest.raises(ConfigError, match=said):
            rollback.roll_back(project.settings, "orders", run)
    with pytest.raises(ConfigError, match="No mart nothing has been published"):
        rollback.roll_back(project.settings, "nothing", "abc")
    assert project.content() == list(V3)


def test_a_version_that_does_not_fit_what_depends_on_the_mart_is_refused(project: MartProject) -> None:
    project.model("select 1::bigint as id", mode="swap")
    project.publish("one")
    project.rows(*V1, mode="swap")
    project.publish("two")
    project.sql(
        "create schema reports authorization lakehouse_owner",
        f"create view reports.v as select amount from {MART}",
        "alter view reports.v owner to lakehouse_owner",
    )
    with pytest.raises(BlockedError, match=r"view reports.v uses column amount .* does not have"):
        rollback.roll_back(project.settings, "orders", "one")
    assert project.content() == list(V1)
    assert (runs(project), history(project).held) == (["two", "one"], None)


def test_a_version_that_cannot_be_exact_is_refused(project: MartProject) -> None:
    for run, rows in (("one", V1), ("two", V2)):
        project.rows(*rows)
        project.publish(run)
    project.sql(f"insert into {MART} values (77, 'by hand', 7)")
    with pytest.raises(BlockedError, match=r"version \d+ had 32 rows, this would have 33"):
        rollback.roll_back(project.settings, "orders", "one")
    project.sql(f"drop table {MART}")
    project.publish("three")
    assert runs(project) == ["three"]  # what was counted back from the dropped table went with it


def test_a_rollback_waits_for_a_publication_that_is_under_way_and_names_it(project: MartProject) -> None:
    two_versions(project)
    lines: list[str] = []
    released: list[bool] = []

    def on_wait(line: str) -> None:
        lines.append(line)
        other.connection.rollback()  # the publication ends while it is waited for
        released.append(True)

    with publication(project) as other:
        process = other.connection.get_backend_pid()
        rollback.roll_back(project.settings, "orders", "one", on_wait=on_wait)
    assert released == [True]
    (line,) = lines
    assert "orders is in the hands of another publication" in line
    assert f"(server process {process} of lakehouse_writer since " in line
    assert project.content() == list(V1)
    state(project, "delete from data_platform.alert_history")


def test_a_rollback_gives_up_on_a_publication_that_does_not_end(project: MartProject) -> None:
    two_versions(project)
    with contextlib.closing(connect(state_url(project.settings), what="state")) as connection:
        mark_building(connection, ["orders"], "run-three")
    lines: list[str] = []
    try:
        with publication(project) as other:
            process = other.connection.get_backend_pid()
            with pytest.raises(BusyError) as refused:
                rollback.roll_back(project.settings, "orders", "one", wait_seconds=0.2, on_wait=lines.append)
        who = "run run-three, which is publishing it"
        said = f"orders is in the hands of {who} (server process {process} of lakehouse_writer since "
        assert said in refused.value.message
        assert "waited 0.2 s" in refused.value.message
        assert "roll back again" in (refused.value.remedy or "")
        assert [said in line for line in lines] == [True]
        assert (project.content(), history(project).held) == (list(V2), None)
        assert alerts(project) == []
        rollback.roll_back(project.settings, "orders", "one")
        assert project.content() == list(V1)
    finally:
        state(project, "delete from data_platform.asset_status")
        state(project, "delete from data_platform.alert_history")


def two_versions(project: MartProject) -> None:
    keeping(project, 2)
    for run, rows in (("one", V1), ("two", V2)):
        project.rows(*rows, mode="swap")
        project.publish(run)


@contextlib.contextmanager
def publication(project: MartProject) -> Iterator[Any]:
    """A session of the publishing role that has begun with the mart, for the length of the block."""
    with contextlib.closing(connect(marts_url(project.settings), what="marts")) as session, session.cursor() as cursor:
        session.set_session(isolation_level="READ COMMITTED")
        cursor.execute("create table marts_build.orders__12345678 as select 1 as id")
        cursor.execute("select marts_build.prepare('orders', 'orders__12345678')")
        yield cursor
        session.rollback()


def test_sizes_are_told_in_units_a_person_reads() -> None:
    assert [human_size(n) for n in (0, 999, 1000, 1_250_000, 3_400_000_000, 5 * 10**12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.2 MB",
        "3.4 GB",
        "5.0 TB",
    ]
