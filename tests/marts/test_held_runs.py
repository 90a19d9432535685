"""Rollback as a user does it: through the command line, with runs in between."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from platforms import Platform

MART = "mart_bioreactor_overview"


def rollback(platform: Platform, *args: str, code: int = 0) -> dict[str, Any]:
    done = platform.call("rollback", MART, "--json", *args)
    assert done.returncode == code, done.stderr
    return json.loads(done.stdout)


def nearly(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows to nine digits: a rebuild adds up in another order, and the last digits of a mean differ."""
    return [
        {name: float(f"{value:.9g}") if isinstance(value, float) else value for name, value in row.items()}
        for row in rows
    ]


@pytest.mark.prove
@pytest.mark.timeout(300)
def test_a_bad_mart_is_rolled_back_held_through_runs_and_published_again_after_its_release(platform: Platform) -> None:
    platform.call("sample", "bioreactor", "--batches", "2", "--scale", "0.05", "--late", "0")
    first = platform.run("--accept-stale")
    good = platform.query(f"select * from marts.{MART} order by 1, 2, 3, 4")
    platform.call("sample", "bioreactor", "--batches", "3", "--scale", "0.05", "--late", "0")
    second = platform.run("--accept-stale")
    bad = platform.query(f"select * from marts.{MART} order by 1, 2, 3, 4")
    assert len(bad) > len(good) > 0

    listed = rollback(platform)
    assert [version["run_id"] for version in listed["versions"]] == [second["run_id"], first["run_id"]]
    assert [version["rows"] for version in listed["versions"]] == [len(bad), len(good)]
    assert all(version["size_bytes"] > 0 for version in listed["versions"])
    assert "marts" not in platform.call("rollback", MART, "--to", "no-such-run").stdout
    assert platform.call("rollback", MART, "--to", "no-such-run").returncode == 2

    held = rollback(platform, "--to", first["run_id"][:8])
    assert held["versions"][0]["run_id"] == first["run_id"]
    assert platform.query(f"select * from marts.{MART} order by 1, 2, 3, 4") == good

    # Nothing new, and everything once more: the mart is left as it is, and said to be held.
    for options in ((), ("--full-refresh",)):
        result = platform.run("--accept-stale", *options)
        (line,) = [line for line in result["assets"] if line["asset"] == MART]
        assert line["status"] == "held"
        assert f"to what run {first['run_id']} published" in line["reason"]
    assert platform.query(f"select * from marts.{MART} order by 1, 2, 3, 4") == good
    status = json.loads(platform.call("status", "--json").stdout)
    assert [(alert["kind"], alert["subject"]) for alert in status["alerts"]] == [("mart_held", MART)]
    assert f"lakehouse rollback {MART} --release" in status["alerts"][0]["remedy"]

    assert rollback(platform, "--release")["held"] is None
    assert platform.status_of(platform.run("--accept-stale"))[MART] == "built"
    assert nearly(platform.query(f"select * from marts.{MART} order by 1, 2, 3, 4")) == nearly(bad)
    assert json.loads(platform.call("status", "--json").stdout)["alerts"] == []
    assert platform.status_of(platform.run("--accept-stale"))[MART] == "unchanged"
