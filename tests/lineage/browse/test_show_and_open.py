"""``lakehouse lineage show`` and ``open``, as a user types them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import urllib.error
import urllib.request

import pytest
from handmade import BATCH, MART, RAW, STAGING, checks, comes_from, dataset, pair
from platforms import CLI

from lineage.names import Dataset, Field

PUBLISHED = Dataset("postgres://127.0.0.1:15432", "marts.marts.dim_batch")
LAYERED = {RAW: "raw", STAGING: "staging", BATCH: "curated", MART: "mart", PUBLISHED: "mart"}


def placed(of, columns="", **facets):
    return dataset(of, columns, lakehouse={"layer": LAYERED[of], "domain": "bioreactor"}, **facets)


@pytest.fixture
def runs(recorded):
    """Five tables; the mart failed, a check of the batches did too."""
    verdicts = checks(unique_batch_id=True, not_null_batch_id=False)
    lineage = comes_from(batch_id=Field(RAW, "batch_id"))
    bad = {"errorMessage": {"message": "Binder Error: no column ph\nLINE 1"}}
    recorded(
        [
            *pair("COMPLETE", "raw", "r1", 0, [], [placed(RAW, "batch_id:VARCHAR")]),
            *pair("COMPLETE", "stg", "r2", 5, [RAW], [placed(STAGING, "batch_id:VARCHAR", columnLineage=lineage)]),
            *pair(
                "COMPLETE",
                "dim",
                "r3",
                10,
                [STAGING],
                [
                    placed(
                        BATCH,
                        "batch_id:VARCHAR",
                        columnLineage=comes_from(batch_id=Field(STAGING, "batch_id")),
                        dataQualityAssertions=verdicts,
                    )
                ],
            ),
            *pair("COMPLETE", "publish", "r4", 15, [BATCH], [placed(PUBLISHED)]),
            *pair("FAIL", "mart", "r5", 20, [BATCH], [placed(MART)], run_facets=bad),
        ]
    )


def lines(done):
    return [re.sub(r"[│├└─]+", "", line).strip() for line in done.stdout.splitlines()]


def test_nothing_recorded_says_what_to_do(browsed, connection):
    done = browsed.call("lineage", "show", "dim_batch")
    assert done.returncode == 3
    assert "No lineage is recorded yet." in done.stderr
    assert "lakehouse run" in done.stderr


def test_a_tree_shows_layer_state_age_and_checks(browsed, runs):
    done = browsed.call("lineage", "show", "mart_bioreactor_overview")
    assert done.returncode == 0, done.stderr
    shown = lines(done)
    assert re.fullmatch(r"mart_bioreactor_overview  mart · failed \d+ d ago", shown[0])
    assert shown[1:3] == ["Binder Error: no column ph", "LINE 1"]
    assert shown[3] == "made from"
    assert re.fullmatch(r"dim_batch  curated · completed \d+ d ago · 1 of 2 checks failed: not_null_batch_id", shown[4])
    assert re.match("stg_bioreactor  staging", shown[5])
    assert re.match("raw/bioreactor  raw", shown[6])
    assert shown[7:] == ["goes into", "nothing that is known reads it"]


def test_up_and_down_and_depth_choose_what_is_shown(browsed, runs):
    up = browsed.call("lineage", "show", "stg_bioreactor", "--up").stdout
    assert "raw/bioreactor" in up
    assert "dim_batch" not in up
    down = browsed.call("lineage", "show", "stg_bioreactor", "--down", "--depth", "1").stdout
    assert "dim_batch" in down
    assert "mart_bioreactor_overview" not in down
    assert "raw/bioreactor" not in down


def test_a_column_is_followed_through_all_layers(browsed, runs):
    done = browsed.call("lineage", "show", "stg_bioreactor.BATCH_ID", "--json")
    told = json.loads(done.stdout)
    assert (told["name"], told["column"]) == ("stg_bioreactor", "batch_id")
    assert [(step["name"], step["column"], step["steps"]) for step in told["up"]] == [("raw/bioreactor", "batch_id", 1)]
    assert [(step["name"], step["column"]) for step in told["down"]] == [("dim_batch", "batch_id")]


def test_json_tells_the_state_and_the_failed_checks(browsed, runs):
    told = json.loads(browsed.call("lineage", "show", "curated.dim_batch", "--json", "--up").stdout)
    assert (told["state"], told["checks"], told["failed_checks"]) == ("COMPLETED", 2, ["not_null_batch_id"])
    assert [(step["name"], step["steps"]) for step in told["up"]] == [("stg_bioreactor", 1), ("raw/bioreactor", 2)]
    assert "down" not in told


def test_a_name_of_several_tables_asks_which(browsed, runs):
    done = browsed.call("lineage", "show", "dim_batch")
    assert done.returncode == 2
    assert "Several datasets are called dim_batch." in done.stderr
    assert "lakehouse.curated.dim_batch (duckdb curated)" in done.stderr
    assert "marts.marts.dim_batch (postgres marts)" in done.stderr


def test_an_unknown_name_is_answered_with_similar_ones(browsed, runs):
    done = browsed.call("lineage", "show", "mart_bioreactor_overveiw")
    assert done.returncode == 2
    assert "Did you mean mart_bioreactor_overview" in done.stderr
    column = browsed.call("lineage", "show", "stg_bioreactor.nope")
    assert "stg_bioreactor has no column nope." in column.stderr
    assert "batch_id" in column.stderr


def test_the_page_is_written_to_a_file(browsed, runs, tmp_path):
    done = browsed.call("lineage", "open", "--output", str(tmp_path / "lineage.html"))
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "lineage.html").read_text(encoding="utf-8")
    assert "mart_bioreactor_overview" in text
    assert "Binder Error: no column ph" in text


def test_the_page_is_served_on_this_machine_only_until_ctrl_c(browsed, runs):
    started = subprocess.Popen(
        [str(CLI), "lineage", "open", "--no-browser", "stg_bioreactor.batch_id"],
        env=browsed.environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert started.stdout is not None
        address = started.stdout.readline().strip()
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+/#dataset=stg_bioreactor&column=batch_id", address)
        page = urllib.request.urlopen(address.partition("#")[0], timeout=30).read().decode()
        assert "mart_bioreactor_overview" in page
        strange = urllib.request.Request(address.partition("#")[0], headers={"Host": "evil.example:80"})
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(strange, timeout=30)
    finally:
        started.send_signal(signal.SIGINT)
        assert started.wait(30) == 0
