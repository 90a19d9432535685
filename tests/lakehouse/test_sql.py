"""Names and strings in SQL text are what DuckDB reads back."""

from __future__ import annotations

import duckdb
import pytest

from lakehouse.sql import identifier, literal

ODD = ("", "it's", 'say "x"', "a\\'b", "ü ; drop table t --", "\n", "''", '""')


@pytest.mark.parametrize("text", ODD)
def test_a_string_is_read_back_as_it_was(text):
    assert duckdb.sql(f"select {literal(text)}").fetchall() == [(text,)]


@pytest.mark.parametrize("name", [name for name in ODD if name])
def test_a_name_is_read_back_as_it_was(name):
    assert duckdb.sql(f"select 1 as {identifier(name)}").columns == [name]


def test_several_names_are_a_qualified_one():
    assert identifier("marts", 'a"b') == '"marts"."a""b"'
