"""Who may do what, tried with real logins."""

from __future__ import annotations

import contextlib

import psycopg2
import pytest
from postgres_servers import count

from lakehouse.errors import UnavailableError
from lakehouse.postgres import connect
from lakehouse.postgres import home as homes
from lakehouse.postgres.passfile import BI, OWNER, WRITER

denied = pytest.raises(psycopg2.errors.InsufficientPrivilege)


def as_role(url: str, role: str) -> str:
    """The superuser's URL, acting as ``role``."""
    return f"{url}&options=-c%20role%3D{role}"


@pytest.fixture
def admin(shared):
    return connect.marts_admin_url(shared)


@pytest.fixture
def writer(shared):
    return connect.marts_url(shared)


@pytest.fixture
def bi(shared):
    return connect.bi_url(shared)


def test_the_reader_sees_a_table_that_was_loaded_by_the_writer_and_moved_by_the_owner(admin, writer, bi):
    count(writer, "CREATE TABLE marts_build.moved AS SELECT 42 AS n")
    with denied:
        count(bi, "SELECT n FROM marts_build.moved")
    owner = as_role(admin, OWNER)
    count(owner, "ALTER TABLE marts_build.moved SET SCHEMA marts")
    count(owner, f"ALTER TABLE marts.moved OWNER TO {OWNER}")
    assert count(bi, "SELECT n FROM marts.moved") == 42
    assert count(writer, "SELECT n FROM marts.moved") == 42


@pytest.mark.parametrize("kind", ["TABLE", "VIEW", "MATERIALIZED VIEW"])
def test_the_reader_sees_what_the_owner_will_create_in_future(admin, bi, kind):
    name = f"future_{kind.lower().replace(' ', '_')}"
    count(as_role(admin, OWNER), f"CREATE {kind} marts.{name} AS SELECT 1 AS n")
    assert count(bi, f"SELECT n FROM marts.{name}") == 1


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO marts.guarded VALUES (2)",
        "UPDATE marts.guarded SET n = 2",
        "DELETE FROM marts.guarded",
        "TRUNCATE marts.guarded",
        "DROP TABLE marts.guarded",
        "CREATE TABLE marts.mine (n int)",
        "CREATE TABLE public.mine (n int)",
        "CREATE TEMPORARY TABLE mine (n int)",
        "CREATE SCHEMA mine",
        "SELECT * FROM marts_build.publications",
        "SELECT * FROM marts_build.alembic_version",
        f"SET ROLE {OWNER}",
        f"SET ROLE {WRITER}",
    ],
)
def test_the_reader_can_change_nothing_and_see_nothing_else(admin, bi, statement):
    count(as_role(admin, OWNER), "CREATE TABLE IF NOT EXISTS marts.guarded AS SELECT 1 AS n")
    with denied:
        count(bi, f"SET TRANSACTION READ WRITE; {statement}")
    assert count(bi, "SELECT n FROM marts.guarded") == 1


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE marts.served",
        "INSERT INTO marts.served VALUES (2)",
        "CREATE TABLE marts.mine (n int)",
        "CREATE TABLE public.mine (n int)",
        f"SET ROLE {OWNER}",
    ],
)
def test_the_writer_changes_what_is_served_through_the_publish_functions_only(admin, writer, statement):
    count(as_role(admin, OWNER), "CREATE TABLE IF NOT EXISTS marts.served AS SELECT 1 AS n")
    with denied:
        count(writer, statement)


def test_the_writer_keeps_the_register_of_publications(writer):
    count(writer, "INSERT INTO marts_build.publications (mart, rows) VALUES ('m', 3)")
    assert count(writer, "DELETE FROM marts_build.publications WHERE mart = 'm' RETURNING rows") == 3


def test_a_function_of_the_owner_may_swap_what_the_writer_loaded_and_the_reader_may_not_call_it(admin, writer, bi):
    count(
        as_role(admin, OWNER),
        """CREATE FUNCTION marts_build.swap_for_test() RETURNS void LANGUAGE sql SECURITY DEFINER
           SET search_path = pg_catalog AS $$ ALTER TABLE marts_build.swapped SET SCHEMA marts $$""",
    )
    count(writer, "CREATE TABLE marts_build.swapped AS SELECT 5 AS n")
    with denied:
        count(bi, "SELECT marts_build.swap_for_test()")
    count(writer, "SELECT marts_build.swap_for_test()")
    assert count(bi, "SELECT n FROM marts.swapped") == 5


@pytest.mark.parametrize("database", ["lakehouse_state", "postgres", "template1"])
def test_the_reader_may_not_open_another_database(bi, database):
    with pytest.raises(UnavailableError, match="permission denied") as caught:
        connect.connect(bi.replace("/lakehouse?", f"/{database}?"), what="another database")
    assert caught.value.transient is False


@pytest.mark.parametrize("role", [BI, WRITER, "postgres"])
@pytest.mark.parametrize("password", ["", "wrong", "postgres"])
def test_a_wrong_password_is_refused_and_the_error_does_not_show_it(shared, role, password, monkeypatch):
    monkeypatch.setenv("PGPASSFILE", "/nonexistent")
    url = f"postgresql://{role}:{password}@127.0.0.1:{shared.postgres_port}/lakehouse"
    with pytest.raises(UnavailableError) as caught:
        connect.connect(url, what="the marts database")
    assert f"127.0.0.1:{shared.postgres_port}/lakehouse" in str(caught.value)
    assert "wrong" not in str(caught.value)


def test_the_owner_of_what_is_served_cannot_log_in(admin):
    assert count(admin, f"SELECT rolcanlogin FROM pg_roles WHERE rolname = '{OWNER}'") is False


def test_the_server_listens_on_this_machine_only_and_has_no_socket_file(admin):
    assert count(admin, "SHOW listen_addresses") == "127.0.0.1"
    assert count(admin, "SHOW unix_socket_directories") == ""


def test_every_connection_needs_a_password(admin):
    rules = count(admin, "SELECT array_agg(DISTINCT auth_method) FROM pg_hba_file_rules")
    assert rules == ["scram-sha-256"]


def test_duckdb_attaches_the_marts_with_the_dsn(shared, writer):
    import duckdb

    from lakehouse.duckdb.connect import connect as open_duckdb

    with contextlib.closing(open_duckdb(shared)) as db:
        db.execute("LOAD postgres_scanner")
        db.execute(f"ATTACH '{connect.marts_dsn(shared)}' AS pg (TYPE postgres)")
        db.execute("CREATE TABLE pg.marts_build.from_duckdb AS SELECT 9 AS n")
        with pytest.raises(duckdb.Error, match="permission denied"):
            db.execute("CREATE TABLE pg.marts.from_duckdb AS SELECT 9 AS n")
    assert count(writer, "SELECT n FROM marts_build.from_duckdb") == 9
    assert homes.passfile(shared).exists()


def test_sqlalchemy_connects_with_the_translated_url(shared):
    from sqlalchemy import create_engine, text

    engine = create_engine(connect.sqlalchemy_url(connect.state_url(shared)))
    with engine.connect() as connection:
        assert connection.execute(text("SELECT current_user")).scalar() == WRITER
    engine.dispose()
