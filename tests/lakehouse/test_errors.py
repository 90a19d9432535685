"""What is quoted of an error."""

from __future__ import annotations

import pytest

from lakehouse.errors import ConfigError, first_line


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError("\n wrong \nLINE 4: x"), "wrong "),
        (ConfigError("No such mart.", remedy="List them."), "No such mart."),
        (ValueError(), "ValueError"),
        (TimeoutError(" \n"), "TimeoutError"),
    ],
)
def test_one_line_is_quoted_of_any_error_and_its_kind_where_it_says_nothing(error, said):
    assert first_line(error) == said
