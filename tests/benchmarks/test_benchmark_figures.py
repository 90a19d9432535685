"""Ratios pair by pair, verdicts, and the table."""

from __future__ import annotations

import pytest

from benchmarks.figures import Figure, Limit
from benchmarks.table import amount, render

SIDES = {"unit": "s", "ours": [2.0, 30.0, 4.0], "against": "bare", "baseline": [1.0, 20.0, 4.0]}


def test_ratio_and_excess_are_medians_over_pairs():
    figure = Figure("x", **SIDES)
    assert figure.ratio == 1.5  # of 2, 1.5, 1; the ratio of the medians would be 1
    assert figure.excess == 1.0


def test_sides_of_different_length_are_refused():
    with pytest.raises(ValueError, match="shorter"):
        _ = Figure("x", "s", [1.0, 2.0], "bare", [1.0]).ratio


@pytest.mark.parametrize(
    ("limit", "verdict"),
    [
        (None, "–"),
        (Limit("ratio", 1.5), "ok"),
        (Limit("ratio", 1.49), "OVER"),
        (Limit("excess", 1.0), "ok"),
        (Limit("excess", 0.9), "OVER"),
        (Limit("ours", 4.0), "ok"),
        (Limit("ours", 3.9), "OVER"),
    ],
)
def test_verdict(limit, verdict):
    assert Figure("x", **SIDES, limit=limit).verdict == verdict


def test_a_figure_without_baseline_has_no_ratio():
    figure = Figure("x", "s", [0.2], limit=Limit("ours", 0.3))
    assert figure.ratio is None
    assert figure.verdict == "ok"
    assert figure.as_dict()["baseline_median"] is None


def test_amounts():
    assert [amount(*item) for item in ((0.2141, "s"), (2.5, "s"), (12.34, "s"), (1234.5, "MB"))] == [
        "0.214 s",
        "2.50 s",
        "12.3 s",
        "1,234 MB",
    ]


def test_table_is_aligned_and_shows_what_was_missed():
    text = render([Figure("short", **SIDES, limit=Limit("ratio", 1.3)), Figure("much longer name", "MB", [5.0])])
    lines = text.splitlines()
    assert lines[0].startswith("measure ")
    assert lines[2].endswith("OVER")
    assert lines[2].index("bare") == lines[0].index("baseline") + len("baseline") + 2
    assert "1.50x" in lines[2]
    assert "≤ 1.3x" in lines[2]
