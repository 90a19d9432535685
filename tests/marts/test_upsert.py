"""Publish mode upsert: what is written, when the whole table is replaced instead, what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from mart_project import MART

if TYPE_CHECKING:
    from mart_project import MartProject

FIRST = ((1, "ada", 1.0), (2, "bob", 2.0), (3, "cy", 3.0), *((n, "many", 0.5) for n in range(10, 40)))


@pytest.fixture
def served(project: MartProject) -> MartProject:
    """A mart of 33 rows, published."""
    project.rows(*FIRST)
    assert project.publish() == "PUBLISHED 33"
    return project


def physical(project: MartProject) -> dict[int, tuple[str, str]]:
    """Key → which transaction wrote the row, and where it stands."""
    return {key: (xmin, ctid) for key, xmin, ctid in project.sql(f"select id, xmin::text, ctid::text from {MART}")}


def test_only_rows_that_changed_are_written_and_vanished_ones_deleted(served: MartProject) -> None:
    table = served.sql(f"select '{MART}'::regclass::oid, pg_relation_filenode('{MART}')")
    before = physical(served)
    served.rows((1, "ada", 1.5), (3, "cy", None), *FIRST[3:], (4, "dan", 4.0))
    assert served.publish() == "PUBLISHED 33 (3 written, 1 deleted)"
    assert served.content() == [(1, "ada", 1.5), (3, "cy", None), (4, "dan", 4.0), *FIRST[3:]]
    after = physical(served)
    assert {key for key in after if after[key] != before.get(key)} == {1, 3, 4}
    assert served.sql(f"select '{MART}'::regclass::oid, pg_relation_filenode('{MART}')") == table
    assert served.publish() == "UNCHANGED 33"
    served.rows(*FIRST)
    assert served.publish() == "PUBLISHED 33 (3 written, 1 deleted)"
    assert served.content() == list(FIRST)
    assert served.left_behind() == []


def test_a_key_of_several_columns_may_have_any_names_and_types(project: MartProject) -> None:
    sql = (
        "select i::date + (i::int) as \"the day\", i % 3 = 0 as flag, i::decimal(20, 2) as \"select\", 'x''' || i as t,"
        " {{ var('version') }} * (i = 7)::int as n from range(60) as r (i)"
    ).replace("i::date +", "date '2026-01-01' +")
    project.model(sql, key="the day,flag,select")
    assert project.publish(version=0) == "PUBLISHED 60"
    assert project.publish(version=5) == "PUBLISHED 60 (1 written, 0 deleted)"
    assert project.sql(f'select "the day"::text, flag, "select", t, n from {MART} where n > 0') == [
        ("2026-01-08", False, 7, "x'7", 5)
    ]


def test_views_grants_and_foreign_indexes_stay_because_the_table_stays(served: MartProject) -> None:
    served.sql(
        "create schema reports authorization lakehouse_owner",
        f"create view reports.total as select sum(amount) as total from {MART}",
        f"create materialized view reports.kept as select sum(amount) as total from {MART}",
        f"create index by_hand on {MART} (amount)",
    )
    served.rows((1, "ada", 101.0), *FIRST[1:])
    assert served.publish() == "PUBLISHED 33 (1 written, 0 deleted)"
    assert served.sql("select total from reports.total") == [(121.0,)]
    with served.session(reader=True) as cursor:
        cursor.execute(f"select count(*) from {MART}")
        assert cursor.fetchall() == [(33,)]


@pytest.mark.parametrize(
    "meanwhile",
    [
        f"update {MART} set amount = 99 where id = 2",
        f"delete from {MART} where id = 2",
        f"insert into {MART} values (99, 'by hand', 0)",
        f"truncate {MART}",
        f"alter table {MART} add column note text",
        "drop index marts." + '"{index}"',
        "update marts_build.publications set publication_id = gen_random_uuid()",
    ],
    ids=["update", "delete", "insert", "truncate", "new column", "key index dropped", "restored from a backup"],
)
def test_a_mart_that_others_changed_is_replaced_and_then_upserted_again(served: MartProject, meanwhile: str) -> None:
    ((index,),) = served.sql("select indexname from pg_indexes where tablename = 'orders' and schemaname = 'marts'")
    served.sql(meanwhile.format(index=index))
    served.rows((1, "ada", 1.5), *FIRST[1:])
    assert served.publish() == "PUBLISHED 33"
    assert served.content() == [(1, "ada", 1.5), *FIRST[1:]]
    served.rows(*FIRST)
    assert served.publish() == "PUBLISHED 33 (1 written, 0 deleted)"
    assert served.content() == list(FIRST)


def test_another_definition_replaces_the_table_once(served: MartProject) -> None:
    served.rows((1, "ada", 1.5), *FIRST[1:], more="indexes=[{'columns': ['customer']}]")
    assert served.publish() == "PUBLISHED 33"
    assert len(served.sql("select 1 from pg_indexes where tablename = 'orders' and schemaname = 'marts'")) == 2
    served.rows(*FIRST, more="indexes=[{'columns': ['customer']}]")
    assert served.publish() == "PUBLISHED 33 (1 written, 0 deleted)"


def test_a_register_that_is_gone_or_older_is_not_trusted(served: MartProject) -> None:
    import shutil

    # The warehouse of before comes back: its register is about an older publication.
    copy = served.folder / "older.duckdb"
    shutil.copy(served.settings.warehouse, copy)
    served.rows((1, "ada", 1.5), *FIRST[1:])
    assert served.publish() == "PUBLISHED 33 (1 written, 0 deleted)"
    shutil.copy(copy, served.settings.warehouse)
    served.rows((1, "ada", 1.5), (2, "bob", 2.5), *FIRST[2:])
    assert served.publish() == "PUBLISHED 33"
    assert served.content() == [(1, "ada", 1.5), (2, "bob", 2.5), *FIRST[2:]]
    served.settings.warehouse.unlink()
    served.rows(*FIRST)
    assert served.publish() == "PUBLISHED 33"
    assert served.content() == list(FIRST)


def test_a_large_difference_or_a_full_refresh_replaces_the_table(served: MartProject) -> None:
    served.rows(*((key, name, 7.0) for key, name, _ in FIRST))
    assert served.publish() == "PUBLISHED 33"
    served.rows(*((key, name, 7.0 if key > 1 else 8.0) for key, name, _ in FIRST))
    assert served.publish(full_refresh=True) == "PUBLISHED 33"
    served.rows()
    assert served.publish() == "PUBLISHED 0"
    assert served.content() == []


@pytest.mark.parametrize("mode", ["swap", "upsert"])
def test_keys_that_repeat_or_are_empty_are_refused_by_name(project: MartProject, mode: str) -> None:
    project.rows(*FIRST, mode=mode)
    project.publish()
    before = physical(project)
    sql = "select * from (values (1, 'a'), (1, 'b'), (null, 'c'), (2, 'd')) as t (id, customer)"
    project.model(sql, mode=mode)
    with pytest.raises(AssertionError, match=r'publish_key \("id"\) .* touched: 1 \(2 rows\); NULL \(1 row'):
        project.publish()
    assert physical(project) == before
    assert project.left_behind() == []


def test_upsert_without_a_key_and_an_unknown_mode_are_refused(project: MartProject) -> None:
    project.rows(*FIRST, key="")
    with pytest.raises(AssertionError, match="publish_mode upsert needs a publish_key"):
        project.publish()
    project.rows(*FIRST, mode="merge")
    with pytest.raises(AssertionError, match="There is no publish_mode merge"):
        project.publish()


def test_a_failing_upsert_leaves_the_old_content(served: MartProject) -> None:
    served.sql(f"alter table {MART} add constraint positive check (amount >= 0)")
    before = physical(served)
    served.rows((1, "ada", 1.5), (2, "bob", -1.0), *FIRST[3:])
    with pytest.raises(AssertionError, match="positive"):
        served.publish()
    assert physical(served) == before
    assert served.left_behind() == []
