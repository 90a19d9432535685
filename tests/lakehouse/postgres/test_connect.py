"""Connection strings: they hold paths of any shape and no password; and what is said of a database that is away."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from postgres_servers import make_settings
from psycopg2.extensions import parse_dsn

from lakehouse.errors import UnavailableError
from lakehouse.postgres import connect

ODD = Path("/srv/it's a b+c %20 & d/ü")


def test_a_passfile_in_an_odd_folder_survives_every_form_of_the_url():
    settings = make_settings(ODD, postgres_port=5)
    expected = str(ODD / "postgres" / "pgpass")
    for url in (connect.state_url(settings), connect.marts_url(settings), connect.bi_url(settings)):
        assert parse_dsn(url)["passfile"] == expected
        assert connect.sqlalchemy_url(url).startswith("postgresql+psycopg2://")
    from sqlalchemy import make_url

    assert make_url(connect.sqlalchemy_url(connect.state_url(settings))).query["passfile"] == expected
    dsn = parse_dsn(connect.marts_dsn(settings))
    assert (dsn["passfile"], dsn["user"], dsn["dbname"], dsn["port"]) == (
        expected,
        "lakehouse_writer",
        "lakehouse",
        "5",
    )


def test_external_urls_are_used_as_they_are():
    settings = make_settings(ODD, state_url="postgresql://a:b@s:1/x", marts_url="postgres://c:d%40@m/y?sslmode=require")
    assert connect.state_url(settings) == "postgresql://a:b@s:1/x"
    assert connect.marts_url(settings) == connect.marts_admin_url(settings)
    assert connect.sqlalchemy_url(connect.marts_url(settings)).startswith("postgresql+psycopg2://c:d%40@m/y?")


def test_the_password_of_an_external_server_is_kept_in_a_file_that_duckdbs_errors_do_not_show(tmp_path):
    url = "postgres://c:d%40%3A%5C@m/y?sslmode=require"
    dsn = parse_dsn(connect.marts_dsn(make_settings(tmp_path, state_url="postgresql://a:b@s:1/x", marts_url=url)))
    assert dsn == {"user": "c", "dbname": "y", "host": "m", "sslmode": "require", "passfile": dsn["passfile"]}
    kept = Path(dsn["passfile"])
    assert kept.read_text() == "*:*:*:*:d@\\:\\\\\n"
    assert kept.stat().st_mode & 0o777 == 0o600
    before = kept.stat().st_mtime_ns
    connect.marts_dsn(make_settings(tmp_path, state_url="postgresql://a:b@s:1/x", marts_url=url))
    assert kept.stat().st_mtime_ns == before


def test_reading_external_marts_is_a_read_only_session():
    settings = make_settings(ODD, state_url="postgresql://a:b@s/x", marts_url="postgresql://a:b@s/y?sslmode=require")
    dsn = parse_dsn(connect.bi_url(settings))
    assert dsn["options"] == "-c default_transaction_read_only=on"
    assert dsn["sslmode"] == "require"


def test_messages_name_the_server_and_never_the_password():
    assert connect.server_of("postgresql://u:secret@db.example/x?a=b") == "db.example:5432/x"


@pytest.mark.parametrize(
    ("opened", "said"),
    [
        (connect.connect_state, "Cannot connect to the state database at 127.0.0.1:{port}/lakehouse_state: "),
        (connect.connect_marts, "Cannot connect to the marts database at 127.0.0.1:{port}/lakehouse: "),
        (connect.connect_bi, "Cannot connect to the marts database at 127.0.0.1:{port}/lakehouse: "),
    ],
)
def test_a_database_that_cannot_be_reached_is_named_the_same_wherever_it_is_asked(tmp_path, opened, said):
    with socket.socket() as deaf:  # bound, but nobody listens
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1]
        with pytest.raises(UnavailableError) as caught:
            opened(make_settings(tmp_path, postgres_port=port))
    assert str(caught.value).startswith(said.format(port=port))
