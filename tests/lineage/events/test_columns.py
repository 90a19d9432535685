"""The column reader on SQL of every kind: what goes in, what only decides, and what nobody declared."""

from __future__ import annotations

import pytest

from lineage.columns import Upstream, column_lineage, spelled
from lineage.names import Dataset
from lineage.sql_text import MAX_BYTES, shown, without_lists

T = Dataset("duckdb://lakehouse", "lakehouse.s.t")
U = Dataset("duckdb://lakehouse", "lakehouse.s.u")
LAKE = Dataset("s3://lake", "p/raw/x")
UPSTREAM = {
    "lakehouse.s.t": Upstream(T, ("a", "b", "c", "L")),
    "lakehouse.s.u": Upstream(U, ("a", "d")),
    "s3://lake/p/raw/x": Upstream(LAKE, ("a", "e")),
}


def lineage(sql: str, *columns: str) -> dict[str, str]:
    """Output column → its inputs in short: ``t.a IDENTITY`` (direct), ``t.b ?JOIN`` (indirect)."""
    short = {T: "t", U: "u", LAKE: "x"}
    return {
        name: ", ".join(
            f"{short[item.field.dataset]}.{item.field.column} {'?' * (item.kind == 'INDIRECT')}{item.subtype}"
            for item in sources
        )
        for name, sources in column_lineage(sql, columns, UPSTREAM).items()
    }


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        (
            "select a, b as z, a + b as s, 1 as k from s.t",
            {"a": "t.a IDENTITY", "z": "t.b IDENTITY", "s": "t.a TRANSFORMATION, t.b TRANSFORMATION"},
        ),
        ('select t."L" as l, A from "lakehouse"."s"."t" as t', {"l": "t.L IDENTITY", "a": "t.a IDENTITY"}),
        (
            "select a::bigint as a, coalesce(b, c) as b from s.t",
            {"a": "t.a TRANSFORMATION", "b": "t.b TRANSFORMATION, t.c TRANSFORMATION"},
        ),
        ("select sum(a) / nullif(count(b), 0) as m from s.t", {"m": "t.a AGGREGATION, t.b AGGREGATION"}),
        ("select count(*) as n, count(*) filter (where a > 1) as big from s.t", {"big": "t.a ?CONDITIONAL"}),
        (
            "select case when a > 1 then b else c end as x from s.t",
            {"x": "t.b TRANSFORMATION, t.c TRANSFORMATION, t.a ?CONDITIONAL"},
        ),
        ("select if(a, b, 0) as x from s.t", {"x": "t.b TRANSFORMATION, t.a ?CONDITIONAL"}),
        (
            "select sum(a) over (partition by b order by c) as x from s.t",
            {"x": "t.a AGGREGATION, t.b ?WINDOW, t.c ?WINDOW"},
        ),
        (
            "select arg_max(a, b) as x, arg_max_null(a, b) as y from s.t",
            dict.fromkeys("xy", "t.a AGGREGATION, t.b ?CONDITIONAL"),
        ),
        ("select string_agg(a, ',' order by b) as x from s.t", {"x": "t.a AGGREGATION, t.b ?SORT"}),
        ("select count(distinct a) as x from s.t", {"x": "t.a AGGREGATION"}),
        ("select a + 1 as x, x * 2 as y from s.t", {"x": "t.a TRANSFORMATION", "y": "t.a TRANSFORMATION"}),
        (
            "select (select max(d) from s.u where u.a = t.a) as x from s.t",
            {"x": "u.d AGGREGATION, t.a ?FILTER, u.a ?FILTER"},
        ),
        ("select list_transform(a, v -> v + b) as x from s.t", {"x": "t.a TRANSFORMATION, t.b TRANSFORMATION"}),
        (
            "select [v + c for v in a if v > b] as x from s.t",
            {"x": "t.a TRANSFORMATION, t.c TRANSFORMATION, t.a ?CONDITIONAL, t.b ?CONDITIONAL"},
        ),
        (
            "select s.one as x, s['two'] as y from (select {one: a, two: b} as s from s.t)",
            {"x": "t.a IDENTITY", "y": "t.b IDENTITY"},
        ),
        (
            "with q as (select list({k: a, v: b}) as l from s.t) select unnest(l, recursive := true) from q",
            {"k": "t.a AGGREGATION", "v": "t.b AGGREGATION"},
        ),
        ("select unnest(a) as x from s.t", {"x": "t.a TRANSFORMATION"}),
        ("select v from s.t, unnest(a) as n(v)", {"v": "t.a TRANSFORMATION"}),
    ],
)
def test_what_goes_into_a_column(sql, expected):
    assert lineage(sql) == expected


@pytest.mark.parametrize(
    ("clause", "expected"),
    [
        ("from s.t where b > 1", "t.b ?FILTER"),
        ("from s.t group by a having sum(c) > 1", "t.c ?FILTER, t.a ?GROUP_BY"),
        ("from s.t qualify row_number() over (order by b) = 1", "t.b ?FILTER"),
        ("from s.t join s.u as w on b = w.d", "t.b ?JOIN, u.d ?JOIN"),
        ("from s.t join (select d from s.u) as w on true", ""),
        ("from s.t group by 1", "t.a ?GROUP_BY"),
        ("from s.t group by all", "t.a ?GROUP_BY"),
        ("from s.t group by rollup (a, b)", "t.a ?GROUP_BY, t.b ?GROUP_BY"),
        ("from s.t order by b desc, 1", "t.a ?SORT, t.b ?SORT"),
        ("from s.t order by all", "t.a ?SORT"),
        ("from s.t where exists (select 1 from s.u where u.d = t.b)", "t.b ?FILTER, u.d ?FILTER"),
        ("from s.t where b in (select d from s.u)", "t.b ?FILTER, u.d ?FILTER"),
        ("from (select * from s.t where c = 1) as t", "t.c ?FILTER"),
        ("from s.t where b = 1 and a in (select a from made_by_this_run)", ""),
    ],
)
def test_what_only_decides_on_rows(clause, expected):
    found = lineage(f"select t.a {clause}" if "join" in clause else f"select a {clause}")["a"]
    assert found == ", ".join(part for part in ("t.a IDENTITY", expected) if part)


def test_using_joins_distinct_and_set_operations():
    assert lineage("select t.a, d from s.t join s.u using (a)") == {
        "a": "t.a IDENTITY, t.a ?JOIN, u.a ?JOIN",
        "d": "u.d IDENTITY, t.a ?JOIN, u.a ?JOIN",
    }
    assert lineage("select distinct a from s.t") == {"a": "t.a IDENTITY, t.a ?GROUP_BY"}
    assert lineage("select a, b from s.t union all select d, a from s.u") == {
        "a": "t.a IDENTITY, u.d IDENTITY",
        "b": "t.b IDENTITY, u.a IDENTITY",
    }
    assert lineage("select a, b from s.t union all by name select d, a from s.u") == {
        "a": "t.a IDENTITY, u.a IDENTITY",
        "b": "t.b IDENTITY",
        "d": "u.d IDENTITY",
    }
    assert lineage("select a from s.t union select d from s.u")["a"].endswith("t.a ?GROUP_BY, u.d ?GROUP_BY")


def test_stars_leave_out_replace_and_rename():
    assert lineage("select * exclude (b, l) replace (a + 1 as a) from s.t") == {
        "a": "t.a TRANSFORMATION",
        "c": "t.c IDENTITY",
    }
    assert lineage("select w.*, t.b from s.t, s.u as w") == {
        "a": "u.a IDENTITY",
        "d": "u.d IDENTITY",
        "b": "t.b IDENTITY",
    }


def test_ctes_see_earlier_ones_hide_tables_and_may_recur():
    sql = "with t as (select d as a from s.u), v as materialized (select a from t) select a from v"
    assert lineage(sql) == {"a": "u.d IDENTITY"}
    recursive = "with recursive r(n) as (select a from s.t union all select n + 1 from r) select n from r"
    assert lineage(recursive) == {"n": "t.a TRANSFORMATION"}


def test_files_are_the_dataset_whose_folder_holds_them_and_their_virtual_columns_are_no_columns():
    sql = "select a, filename, file_row_number as n from read_parquet(['s3://lake/p/raw/x/1.parquet'], filename = true)"
    assert lineage(sql) == {"a": "x.a IDENTITY"}
    assert lineage("select e from read_parquet('s3://lake/p/raw/x')") == {"e": "x.e IDENTITY"}
    assert lineage("select a from read_parquet('s3://lake/p/raw/xyz/1.parquet')") == {}


def test_nothing_is_made_up_for_what_nobody_declared():
    assert lineage("select a, q from elsewhere.t2, range(3)") == {}
    assert lineage("select t.a, o.b as z from s.t join other as o on o.a = t.c") == {
        "a": "t.a IDENTITY, t.c ?JOIN",
        "z": "t.c ?JOIN",
    }


def test_a_dataset_without_declared_columns_has_any_column():
    upstream = {"lakehouse.s.open": Upstream(T, ())}
    found = column_lineage("select anything from s.open", [], upstream)
    assert [item.field.column for item in found["anything"]] == ["anything"]


def test_only_the_declared_columns_of_the_output_are_told_in_their_spelling():
    assert lineage("select a as X, b as y from s.t", "x", "missing") == {"x": "t.a IDENTITY"}


def test_sql_that_does_not_parse_is_an_error_that_says_so():
    with pytest.raises(ValueError, match="sqlglot cannot read it"):
        column_lineage("select from where", [], UPSTREAM)


def test_datasets_are_spelled_as_compiled_sql_names_them():
    assert spelled(T) == "lakehouse.s.t"
    assert spelled(Dataset("postgres://h:1", "db.marts.M")) == "marts.marts.m"
    assert spelled(Dataset("s3://lake", "/2026/raw/a%23b")) == "s3://lake/2026/raw/a#b"
    assert spelled(Dataset("file", "/lake/raw/a%23b")) == "/lake/raw/a#b"


def test_ten_thousand_file_names_are_cut_out_before_anybody_parses_them():
    files = ",\n".join(f"'s3://lake/p/raw/x/it''s {number}.parquet'" for number in range(10_000))
    sql = f"-- the file's rows\nselect a from read_parquet([{files}], filename = true) where e in ('one', 'two')"
    short = without_lists(sql)
    assert len(short) < 400
    assert "/* and 9,997 more */" in short
    assert "'one', 'two'" in short
    assert lineage(sql) == {"a": "x.a IDENTITY, x.e ?FILTER"}
    assert shown(sql) == short
    twenty = ", ".join(f"'{number}'" for number in range(20))
    assert without_lists(f"x in ({twenty} /* and 9,980 more */)") == "x in ('0', '1', '2' /* and 9,997 more */)"


def test_apostrophes_in_comments_and_names_hide_no_list():
    files = ", ".join(f"'{number}'" for number in range(20))
    sql = f"""-- it's
    /* it's */ select "it's", 'a', 'b' from t where x in ({files})"""
    assert without_lists(sql).endswith(
        """select "it's", 'a', 'b' from t where x in ('0', '1', '2' /* and 17 more */)"""
    )
    assert without_lists("select 'never closed, 'a', 'b'" + "'" * 100_001)


def test_sql_that_is_too_long_is_cut_between_signs_and_says_so():
    text = shown("select 'ü' " + "ü" * MAX_BYTES)
    body, mark = text.rsplit("\n", 1)
    assert len(body.encode()) in (MAX_BYTES - 1, MAX_BYTES)
    assert mark == "-- cut here: 100,000 of 200,012 bytes are shown"
    assert shown(" select 1 ") == "select 1"
