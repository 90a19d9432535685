"""Hand-made models: the rows found are those that the model itself, asked for their ids, says it used.

Each model is built a second time with ``list(id)`` of its input rows as a further column. DuckDB computes that list
with the model's own joins, filters and groups; it is what the trace, which never runs the model, is compared with.
"""

from __future__ import annotations

import datetime as dt

import pytest
from hand_made import HandMade, ids, step_of
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

ORDERS = "id int, customer varchar, ts timestamp, amount double, status varchar"
CUSTOMERS = "id int, customer varchar, country varchar, valid_from timestamp, valid_to timestamp"
DAY = dt.datetime(2026, 1, 1)

QUICK = (Phase.explicit, Phase.generate)
NAMES = st.sampled_from(["a", "b", "B", "it's", "", None])
ROWS = st.lists(
    st.tuples(NAMES, st.integers(0, 5), st.sampled_from([1.0, 2.5]), st.sampled_from(["ok", "void", None])), max_size=12
)
PEOPLE = st.lists(
    st.tuples(NAMES, st.sampled_from(["de", "fr", None]), st.integers(0, 3), st.integers(1, 3)), max_size=6
)

AGGREGATES = {
    "renamed, cast and computed": (
        "select upper(customer) as who, cast(ts as date) as day, {ids} from s.orders group by 1, 2",
        ["who", "day"],
    ),
    "coalesced": ("select coalesce(customer, '') as who, {ids} from s.orders group by all", ["who"]),
    "concatenated and hashed": (
        "select md5(concat_ws('|', customer, status)) as k, {ids} from s.orders group by 1",
        ["k"],
    ),
    "filtered below": (
        "with good as (select * from s.orders where status = 'ok' and amount > 1)"
        " select customer, {ids} from good group by customer",
        ["customer"],
    ),
    "grouped twice": (
        "with daily as (select customer, ts::date as day, list(id) as found from s.orders group by all)"
        " select customer, {nested} from daily group by customer",
        ["customer"],
    ),
    "left join, key of the far side": (
        "select coalesce(c.country, 'none') as land, {oids} from s.orders as o"
        " left join s.customers as c on o.customer = c.customer group by 1",
        ["land"],
    ),
    "inner join, keys of both sides": (
        "select c.country, o.ts, {oids} from s.orders o join s.customers c using (customer) group by all",
        ["country", "ts"],
    ),
    "valid between": (
        "select c.country, o.customer, {oids} from s.orders o join s.customers c"
        " on o.customer = c.customer and o.ts >= c.valid_from and o.ts < c.valid_to group by all",
        ["country", "customer"],
    ),
    "narrowed by what it is joined with": (
        "select o.customer, {oids} from s.orders o join s.customers c"
        " on o.customer = c.customer where o.ts >= c.valid_from group by 1",
        ["customer"],
    ),
    "right join": (
        "select o.customer, c.country, {oids} from s.customers c right join s.orders o using (customer) group by all",
        ["customer", "country"],
    ),
    "a condition on the far side": (
        "select o.customer, {oids} from s.orders o left join s.customers c on o.customer = c.customer"
        " where c.country = 'de' group by all",
        ["customer"],
    ),
    "groups of the same key that pass a condition": (
        "with sums as (select customer, list(id) as found, sum(amount) as total from s.orders group by customer)"
        " select customer, {nested} from sums where total > 2 group by 1",
        ["customer"],
    ),
    "a name of the same query": (
        "select customer as who, coalesce(who, '?') as k, {ids} from s.orders group by all having count(*) > 1",
        ["who", "k"],
    ),
    "columns named by the alias": (
        "select who, {ids} from (select customer, id from s.orders where amount > 1) as q(who, id) group by who",
        ["who"],
    ),
    "joined text": (
        "select o.customer || '-' || c.country as k, {oids} from s.orders o"
        " join s.customers c on o.customer = c.customer group by 1",
        ["k"],
    ),
    "semi join": (
        "select customer, {ids} from s.orders semi join s.customers using (customer) group by 1",
        ["customer"],
    ),
    "in a query": (
        "select customer, {ids} from s.orders where customer in (select customer from s.customers) group by 1",
        ["customer"],
    ),
    "lists taken apart again": (
        "with packed as (select customer, list({{'id': id, 'ts': ts}}) as rows from s.orders group by all),"
        " spread as (select customer, unnest(rows, recursive := true) from packed)"
        " select customer, ts, {ids} from spread group by all",
        ["customer", "ts"],
    ),
}


def _load(made: HandMade, orders: list, people: list) -> None:
    made.table(
        "orders",
        ORDERS,
        [
            (n, who, DAY + dt.timedelta(hours=12 * at), amount, status)
            for n, (who, at, amount, status) in enumerate(orders)
        ],
    )
    made.table(
        "customers",
        CUSTOMERS,
        [
            (100 + n, who, land, DAY + dt.timedelta(days=start), DAY + dt.timedelta(days=start + length))
            for n, (who, land, start, length) in enumerate(people)
        ],
    )


@pytest.mark.parametrize("name", AGGREGATES)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True, phases=QUICK)
@given(orders=ROWS, people=PEOPLE)
def test_every_row_of_an_aggregate_leads_to_exactly_the_rows_it_was_made_of(name, orders, people):
    template, keys = AGGREGATES[name]
    made = HandMade()
    _load(made, orders, people)
    said = template.format(
        ids="list(distinct id) as used", oids="list(distinct o.id) as used", nested="flatten(list(found)) as used"
    )
    plain = template.format(ids="count(*) as n", oids="count(*) as n", nested="count(*) as n")
    made.model("m", plain, *keys)
    for *values, used in made.rows(f"select {', '.join(keys)}, used from ({said})"):
        found = step_of(made.trace("m", **dict(zip(keys, values, strict=True))), "orders")
        assert ids(found) == sorted(used), (name, values)
        assert found.superset == []


@settings(max_examples=10, deadline=None, derandomize=True, phases=QUICK)
@given(orders=ROWS, people=PEOPLE)
def test_the_other_side_of_a_join_is_found_by_the_join_s_own_condition(orders, people):
    made = HandMade()
    _load(made, orders, people)
    sql = (
        "select o.id as order_id, c.country from s.orders o left join s.customers c"
        " on o.customer = c.customer and o.ts >= c.valid_from and o.ts < c.valid_to where o.status = 'ok'"
    )
    made.model("m", sql, "order_id")
    said = sql.replace("c.country", "c.id")
    expected: dict[int, list[int]] = {}
    for order, person in made.rows(said):
        expected.setdefault(order, []).extend([person] if person is not None else [])
    for order, used in expected.items():
        trace = made.trace("m", order_id=order)
        assert ids(step_of(trace, "orders")) == [order]
        assert ids(step_of(trace, "customers")) == sorted(used)


@settings(max_examples=10, deadline=None, derandomize=True, phases=QUICK)
@given(left=ROWS, right=ROWS)
def test_a_union_s_row_leads_into_its_own_branch(left, right):
    made = HandMade()
    made.table("shop", ORDERS, [(n, who, DAY, amount, status) for n, (who, _, amount, status) in enumerate(left)])
    made.table("web", ORDERS, [(n, who, DAY, amount, status) for n, (who, _, amount, status) in enumerate(right)])
    sql = (
        "with sides as (select 'shop' as source, id, customer, amount from s.shop"
        " union all by name select amount, customer, 'web' as source, id from s.web where amount > 1)"
        " select source, customer, {} from sides group by all"
    )
    made.model("m", sql.format("sum(amount) as total"), "source", "customer")
    for source, customer, used in made.rows(sql.format("list(id) as used")):
        trace = made.trace("m", source=source, customer=customer)
        other = "web" if source == "shop" else "shop"
        assert ids(step_of(trace, source)) == sorted(used)
        assert step_of(trace, other).rows == 0


@settings(max_examples=10, deadline=None, derandomize=True, phases=QUICK)
@given(left=ROWS, right=ROWS)
def test_both_sides_of_a_full_join_are_found_by_their_common_key(left, right):
    made = HandMade()
    made.table("shop", ORDERS, [(n, who, DAY, amount, status) for n, (who, _, amount, status) in enumerate(left)])
    made.table("web", ORDERS, [(n, who, DAY, amount, status) for n, (who, _, amount, status) in enumerate(right)])
    sql = (
        "select coalesce(a.customer, b.customer) as who, {} from s.shop a full join s.web b"
        " on a.customer = b.customer group by 1"
    )
    made.model("m", sql.format("count(*) as n"), "who")
    lists = "list(distinct a.id) filter (a.id is not null), list(distinct b.id) filter (b.id is not null)"
    for who, shop, web in made.rows(sql.format(lists)):
        trace = made.trace("m", who=who)
        assert ids(step_of(trace, "shop")) == sorted(shop or [])
        assert ids(step_of(trace, "web")) == sorted(web or [])


@pytest.mark.parametrize(
    "sql",
    [
        "select * from s.orders qualify row_number() over (partition by customer order by ts desc, id desc) = 1",
        "with n as (select *, row_number() over (partition by customer order by ts desc, id desc) as rn from s.orders)"
        " select * exclude (rn) from n where rn = 1",
        "select distinct on (customer) * from s.orders order by customer, ts desc, id desc",
        "select customer, arg_max(id, (ts, id)) as id, count(*) - 1 as others from s.orders group by customer",
    ],
)
def test_of_rows_that_competed_all_are_found_and_the_one_kept_is_told(made, sql):
    _load(made, [("a", 1, 1.0, "ok"), ("a", 3, 2.5, "ok"), ("b", 2, 1.0, "ok"), ("a", 3, 1.0, None)], [])
    made.model("m", sql, "customer")
    ((kept,),) = made.rows("select id from s.m where customer = 'a'")
    found = step_of(made.trace("m", customer="a"), "orders")
    assert ids(found) == [0, 1, 3]
    assert (found.not_counted, kept) == (2, 3)
    assert found.superset == []


def test_a_key_that_is_a_window_is_lost_and_said_so_while_the_others_narrow(made):
    _load(made, [("a", 1, 1.0, "ok"), ("a", 3, 2.5, "ok"), ("b", 2, 1.0, "ok")], [])
    made.model(
        "history",
        "select customer, row_number() over (partition by customer order by ts) as version, ts as valid_from,"
        " lead(ts) over (partition by customer order by ts) as valid_to from s.orders",
        "customer",
        "version",
    )
    found = step_of(made.trace("history", customer="a", version=2), "orders")
    assert ids(found) == [1]  # the moment narrows what the version cannot
    assert [reason.split(":")[0] for reason in found.superset] == ["version is a window function"]


def test_a_key_that_is_an_aggregate_gives_a_superset_never_too_little(made):
    _load(made, [("a", 1, 1.0, "ok"), ("a", 3, 2.5, "ok"), ("b", 3, 1.0, "ok")], [])
    made.model(
        "m", "select customer, max(ts) as last, sum(amount) as total from s.orders group by 1", "customer", "last"
    )
    found = step_of(made.trace("m", customer="a", last=DAY + dt.timedelta(hours=36)), "orders")
    assert ids(found) == [0, 1]
    assert [reason.split(":")[0] for reason in found.superset] == ["last is an aggregate"]


@pytest.mark.parametrize(
    ("sql", "found_too"),
    [
        (  # groups finer than the key: some of them were left out
            "with n as (select customer, status, count(*) as n from s.orders group by all)"
            " select customer, sum(n) as n from n where n > 1 group by customer",
            [0, 1, 2],
        ),
        (
            "with n as (select customer, status, count(*) as n from s.orders group by all having count(*) > 1)"
            " select customer, sum(n) as n from n group by customer",
            [0, 1, 2],
        ),
        (  # an aggregate compared row by row
            "with newest as (select customer, max(ts) as ts from s.orders group by customer)"
            " select o.customer, count(*) as n from s.orders o join newest as w"
            " on o.customer = w.customer and o.ts = w.ts group by 1",
            [0, 1, 2],
        ),
        (  # constants that only some rows find
            "with good as (select 'ok' as status union all select 'fine')"
            " select customer, count(*) as n from s.orders join good using (status) group by 1",
            [0, 1, 2],
        ),
        (  # one choice that can be told, and one that cannot
            "with n as (select *, row_number() over (partition by customer order by ts) as rn,"
            " count(*) over (partition by status) as c from s.orders)"
            " select customer, amount from n where rn = 1 and c > 1",
            [0, 1, 2],
        ),
        ("select customer, count(*) as n from (select * from s.orders limit 2) group by 1", [0, 1, 2]),
        ("select customer, count(*) as n from s.orders o anti join s.customers c on o.id = c.id group by 1", [0, 1, 2]),
    ],
)
def test_what_left_rows_out_in_a_way_that_is_not_followed_makes_it_a_superset(made, sql, found_too):
    _load(made, [("a", 1, 1.0, "ok"), ("a", 3, 2.5, "ok"), ("a", 2, 1.0, "void")], [("a", "de", 0, 1)])
    made.model("m", sql, "customer")
    steps = [step for step in made.trace("m", customer="a").walk() if step.relation == "s.orders"]
    assert steps
    assert all(step.superset for step in steps)
    assert {row for step in steps for row in ids(step)} == set(found_too)


def test_a_condition_that_is_not_understood_makes_it_a_superset(made):
    _load(made, [("a", 1, 1.0, "ok"), ("a", 3, 2.5, "ok")], [])
    made.model(
        "m",
        "select customer, sum(amount) as total from s.orders o where exists"
        " (select 1 from s.orders p where p.ts > o.ts) group by 1",
        "customer",
    )
    found = step_of(made.trace("m", customer="a"), "orders")
    assert ids(found) == [0, 1]
    assert ["this condition was not applied" in reason for reason in found.superset] == [True]


def test_a_batch_filter_of_the_last_incremental_build_does_not_hide_rows_of_former_ones(made):
    _load(made, [("a", 1, 1.0, "ok"), ("b", 3, 2.5, "ok"), ("a", 2, 1.0, "void")], [])
    whole = "select customer, count(*) as n from s.orders where status = 'ok' group by 1"
    last = whole.replace(
        "where", "where customer in (select customer from \"m__batches_to_replace\") and _source_file in ('x') and"
    )
    made.connection.execute("alter table s.orders add column _source_file varchar")
    made.model("m", last, "customer", built_by=whole, materialized="incremental")
    assert ids(step_of(made.trace("m", customer="a"), "orders")) == [0]


def test_layers_are_followed_one_after_the_other_and_a_missing_key_is_replaced_by_all_columns(made):
    _load(made, [("a", 1, 1.0, "ok"), ("b", 3, 2.5, "ok"), (None, 2, 1.0, "void")], [("a", "de", 0, 9)])
    made.model("stg", "select id, nullif(trim(customer), '') as customer, ts, amount from s.orders")
    made.model("fct", "select id as order_id, coalesce(customer, '?') as customer, amount from s.stg", "order_id")
    made.model("mart", "select customer, sum(amount) as total from s.fct group by 1", "customer")
    trace = made.trace("mart", customer="?")
    assert [(step.relation, step.rows) for step in trace.walk()] == [
        ("s.mart", 1),
        ("s.fct", 1),
        ("s.stg", 1),
        ("s.orders", 1),
    ]
    assert ids(step_of(trace, "orders")) == [2]


def test_a_published_table_is_found_by_its_alias_before_the_curated_one(made):
    from lineage.trace.models import Models

    _load(made, [], [])
    made.model("dim_people", "select customer from s.customers", "customer")
    made.model("publish_dim_people", "select * from s.dim_people")
    made.nodes["model.lakehouse.publish_dim_people"] |= {
        "alias": "dim_people",
        "schema": "marts",
        "fqn": ["lakehouse", "marts", "d", "publish_dim_people"],
    }
    models = Models({"nodes": made.nodes, "sources": {}})
    assert models.named("dim_people").name == "publish_dim_people"
    assert models.named("s.dim_people").name == "dim_people"
