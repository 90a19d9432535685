"""A real instrument's run, dropped into an empty lake, reaches the mart without an edit."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from figures import statistics

REAL = os.environ.get("LAKEHOUSE_TEST_REAL_DATA")
pytestmark = pytest.mark.skipif(
    not REAL, reason="LAKEHOUSE_TEST_REAL_DATA names no folder with a real instrument's run; CI sets it"
)


@pytest.fixture
def dropped(platform):
    for path in sorted(Path(REAL).glob("*.parquet")):
        shutil.copy(path, platform.drop_zone)
    return platform


def test_a_real_run_comes_through_to_the_mart_and_equals_pandas(dropped):
    done = dropped.call("run")
    assert done.returncode == 0, done.stdout + done.stderr
    told = " ".join(done.stdout.split())
    assert "2019" in told, "the freshness check says how old the newest batch is"
    assert "--accept-stale" in told, "and which option accepts it"
    expected = statistics(dropped.drop_zone)
    found = pd.DataFrame(
        dropped.query(
            "select batch_id, equipment_id, parameter, avg_value, min_value, max_value"
            " from marts.mart_bioreactor_overview order by 1, 2, 3"
        )
    )
    assert len(found) == len(expected) == 144
    assert set(found["parameter"]) == {"backscatter_bs3", "ph", "do"}
    for ours, theirs in (("avg_value", "mean"), ("min_value", "min"), ("max_value", "max")):
        pd.testing.assert_series_equal(found[ours].astype(float), expected[theirs], check_names=False, rtol=1e-9)


def test_old_dates_are_accepted_with_the_option(dropped):
    result = dropped.run("--accept-stale")
    fresh = [line for line in result["assets"] if line["asset"] == "dim_batch"]
    assert fresh[0]["warned"] == 0
    raw = next(line for line in result["assets"] if line["asset"] == "raw_bioreactor_data")
    assert raw["rows"] == 14112
