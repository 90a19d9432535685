"""The materialization `published`: what survives a rebuild, what is refused, what is left alone."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import Warehouse

MART = "marts.mart_bioreactor_overview"


def rows(batch: str, *values: float) -> list[tuple[Any, ...]]:
    return [(f"2024-01-01T00:{n:02}:00", batch, "R1", "ph", value, "pH") for n, value in enumerate(values)]


@pytest.fixture
def served(warehouse: Warehouse) -> Iterator[Warehouse]:
    """A warehouse with one batch, published."""
    forget = (
        "drop schema if exists reports cascade",
        f"drop table if exists {MART} cascade",
        "delete from marts_build.publications",
    )
    warehouse.marts(*forget)
    warehouse.drop_readings("B1.parquet", rows("B1", 6, 8))
    warehouse.build()
    assert warehouse.publish().response["code"] == "PUBLISHED"
    warehouse.marts("create schema reports authorization lakehouse_owner")
    yield warehouse
    warehouse.marts(*forget)


def rebuilt(served: Warehouse) -> None:
    """Change the data and publish."""
    served.drop_readings("B2.parquet", rows("B2", 5, 5, 5.5))
    served.build()
    outcome = served.publish()
    assert (outcome.response["code"], outcome.response["rows_affected"]) == ("PUBLISHED", 2)


def nothing_left(served: Warehouse) -> None:
    tables = served.marts("select relname from pg_class where relkind = 'r' and relname like 'mart%' order by 1")
    assert tables == [("mart_bioreactor_overview",)]


def test_the_mart_holds_batch_and_series_with_types_comments_and_indexes(served: Warehouse) -> None:
    assert served.marts(
        f"select batch_id, equipment_id, parameter, unit, avg_value, value_count, in_range_share, is_avg_as_expected, "
        f"coverage, source_files from {MART}"
    ) == [("B1", "R1", "ph", "pH", 7.0, 2, 1.0, True, 1.0, "raw/bioreactor/B1.parquet")]
    types = dict(
        served.marts(
            "select column_name, data_type from information_schema.columns"
            " where table_name = 'mart_bioreactor_overview'"
        )
    )
    assert (types["avg_value"], types["batch_start"], types["reading_count"], types["is_declared_parameter"]) == (
        "double precision",
        "timestamp without time zone",
        "bigint",
        "boolean",
    )
    ((comment, column),) = served.marts(
        f"select obj_description('{MART}'::regclass), col_description('{MART}'::regclass, 1)"
    )
    assert comment.startswith("Everything a dashboard on bioreactor batches shows")
    assert column == "The batch."
    indexes = served.marts("select indexdef from pg_indexes where tablename = 'mart_bioreactor_overview'")
    assert len(indexes) == 4
    assert sum("UNIQUE" in text and "(batch_id, equipment_id, parameter, unit)" in text for (text,) in indexes) == 1
    assert served.marts(f"select count(*) from {MART}", role="lakehouse_bi") == [(1,)]


def test_the_same_content_is_not_written_again(served: Warehouse) -> None:
    physical = f"select pg_relation_filenode('{MART}'), xmin::text, ctid::text from {MART}"
    before = served.marts(physical)
    outcome = served.publish()
    assert outcome.response["code"] == "UNCHANGED"
    served.build(full_refresh=True)
    assert served.publish().response["code"] == "UNCHANGED"
    assert served.marts(physical) == before


def test_a_mart_that_somebody_dropped_is_published_again(served: Warehouse) -> None:
    served.marts(f"drop table {MART}")
    assert served.publish().response["code"] == "PUBLISHED"
    assert served.marts(f"select batch_id from {MART}") == [("B1",)]


def test_views_grants_comments_owner_and_indexes_survive_a_rebuild(served: Warehouse) -> None:
    served.marts(
        "drop role if exists analyst, extra",
        "create role analyst",
        "create role extra",
        "grant analyst to lakehouse_owner",
        "grant usage on schema marts to analyst",
        f"grant select on {MART} to analyst",
        f"grant select, insert on {MART} to extra with grant option",
        f"grant select (batch_id, unit) on {MART} to extra",
        f"revoke select on {MART} from lakehouse_bi",
        f"create view reports.averages with (security_barrier = true) as select batch_id, avg_value from {MART}",
        "alter view reports.averages owner to analyst",
        "grant select on reports.averages to extra",
        "comment on view reports.averages is 'by hand'",
        "create view reports.highest as select max(avg_value) as highest from reports.averages",
        "create materialized view reports.kept as select * from reports.highest",
        f"create index by_hand on {MART} (avg_value desc) where value_count > 1",
        f"alter table {MART} owner to analyst",
        f"alter table {MART} set (fillfactor = 90)",
    )
    acl = f"select relacl::text, relowner::regrole::text, reloptions from pg_class where oid = '{MART}'::regclass"
    column_acl = (
        f"select attname, attacl::text from pg_attribute where attrelid = '{MART}'::regclass"
        " and attacl is not null order by 1"
    )
    indexes = "select indexname, indexdef from pg_indexes where schemaname = 'marts' order by 1"
    view = (
        "select relacl::text, relowner::regrole::text, reloptions, obj_description(oid)"
        " from pg_class where relname = 'averages'"
    )
    before = [served.marts(text) for text in (acl, column_acl, indexes, view)]
    rebuilt(served)
    assert [served.marts(text) for text in (acl, column_acl, indexes, view)] == before
    assert served.marts("select * from reports.averages order by 1") == [("B1", 7.0), ("B2", pytest.approx(31 / 6))]
    assert served.marts("select highest from reports.highest") == [(7.0,)]
    served.marts("refresh materialized view reports.kept")
    assert served.marts("select has_schema_privilege('analyst', 'marts', 'create')") == [(False,)]
    nothing_left(served)
    served.marts("drop schema reports cascade", f"drop table {MART}", "drop owned by analyst", "drop owned by extra")
    served.marts("drop role analyst, extra", "create schema reports authorization lakehouse_owner")


def test_a_changed_column_under_a_view_is_refused_by_name_and_nothing_is_touched(served: Warehouse) -> None:
    # The served table is from an earlier version of the model, with another type and a column that is gone since.
    served.marts(
        f"alter table {MART} alter column avg_value type numeric(12, 3)",
        f"alter table {MART} add column phase text",
        f"create view reports.averages as select batch_id, avg_value, phase from {MART}",
        "alter view reports.averages owner to lakehouse_owner",
    )
    served.drop_readings("B2.parquet", rows("B2", 5))
    served.build()
    outcome = served.run("postgres", ["tag:mart"], must_succeed=False)["mart_bioreactor_overview"]
    assert outcome.status == "error"
    assert (
        "view reports.averages uses column avg_value (numeric(12,3)), which the new version has as double precision"
        in outcome.message
    )
    assert "view reports.averages uses column phase (text), which the new version does not have" in outcome.message
    assert "drop the view and create it again afterwards" in outcome.message
    assert served.marts("select batch_id from reports.averages") == [("B1",)]
    nothing_left(served)
    served.marts("drop view reports.averages")
    assert served.publish().response["code"] == "PUBLISHED"
    assert served.marts(f"select count(*) from {MART}") == [(2,)]


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        (f"create materialized view reports.m as select batch_id from {MART}", "materialized view reports.m"),
        (
            "create table reports.t (b text, e text, p text, u text, foreign key (b, e, p, u) "
            f"references {MART} (batch_id, equipment_id, parameter, unit))",
            "constraint t_b_e_p_u_fkey on table reports.t",
        ),
        (
            "create function reports.f() returns trigger language plpgsql as 'begin return new; end'; "
            f"create trigger watch after update on {MART} execute function reports.f()",
            "trigger watch",
        ),
        (f"create policy own on {MART} using (true)", "policy own"),
        (f"alter table {MART} enable row level security", "row-level security"),
        (f"create view reports.v as select batch_id from {MART}", "ALTER VIEW reports.v OWNER TO lakehouse_owner"),
    ],
    ids=["materialized view", "foreign key", "trigger", "policy", "row-level security", "an administrator's view"],
)
def test_what_a_rebuild_would_lose_is_refused_by_name(served: Warehouse, statement: str, named: str) -> None:
    served.marts(statement)
    served.drop_readings("B2.parquet", rows("B2", 5))
    served.build()
    outcome = served.run("postgres", ["tag:mart"], must_succeed=False)["mart_bioreactor_overview"]
    assert outcome.status == "error"
    assert "cannot be replaced, nothing was touched" in outcome.message
    assert named in outcome.message
    assert served.marts(f"select batch_id from {MART}") == [("B1",)]
    nothing_left(served)


def test_readers_see_the_old_mart_or_the_new_one_whole(served: Warehouse) -> None:
    served.marts(f"create view reports.all_of_it as select * from {MART}", role="lakehouse_owner")
    seen: set[int] = set()
    faults: list[str] = []
    stop = threading.Event()

    def read(relation: str) -> None:
        import contextlib

        import psycopg2

        from lakehouse.postgres.connect import bi_url, connect, marts_admin_url

        url = bi_url(served.settings) if relation == MART else marts_admin_url(served.settings)
        with contextlib.closing(connect(url, what="a reader")) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                while not stop.is_set():
                    try:
                        cursor.execute(f"select count(*) from {relation}")
                        seen.add(cursor.fetchone()[0])
                    except psycopg2.Error as error:
                        faults.append(str(error))

    readers = [threading.Thread(target=read, args=(name,)) for name in (MART, MART, "reports.all_of_it")]
    for reader in readers:
        reader.start()
    for number in range(2, 4):
        served.drop_readings(f"B{number}.parquet", rows(f"B{number}", 5))
        served.build()
        served.publish()
        deadline = time.monotonic() + 30
        while number not in seen and time.monotonic() < deadline:
            time.sleep(0.01)
    stop.set()
    for reader in readers:
        reader.join()
    assert faults == []
    assert seen == {1, 2, 3}


def test_a_long_query_delays_the_publish_and_nobody_else(served: Warehouse) -> None:
    import contextlib

    from lakehouse.postgres.connect import bi_url, connect

    served.drop_readings("B2.parquet", rows("B2", 5))
    served.build()
    with contextlib.closing(connect(bi_url(served.settings), what="a reader")) as connection:
        with connection.cursor() as cursor:
            cursor.execute(f"select * from {MART}")  # its transaction keeps the table
        publisher = threading.Thread(target=served.publish)
        publisher.start()
        longest = 0.0
        for _ in range(40):
            began = time.perf_counter()
            assert served.marts(f"select count(*) from {MART}", role="lakehouse_bi") == [(1,)]
            longest = max(longest, time.perf_counter() - began)
            time.sleep(0.05)
        assert publisher.is_alive()
        connection.rollback()
    publisher.join()
    assert longest < 5  # who waits for the publication would wait until it gives up
    assert served.marts(f"select count(*) from {MART}") == [(2,)]
