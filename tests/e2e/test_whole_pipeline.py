"""From dropped files to the served mart: right values, and a second run that changes nothing."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from figures import readings, statistics
from platforms import Platform

FACTS = (
    "select batch_id, equipment_id, parameter, value_count, avg_value, stddev_value, min_value, max_value"
    " from curated.fact_bioreactor_batch_stats order by 1, 2, 3"
)


def _fingerprints(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, path.stat().st_size)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _mart_identity(platform: Platform) -> list[dict]:
    return platform.query(
        "select c.oid::text, c.relfilenode::text, max(m.xmin::text) as youngest from pg_class c"
        " join marts.mart_bioreactor_overview m on true where c.oid = 'marts.mart_bioreactor_overview'::regclass"
        " group by c.oid, c.relfilenode",
        "--marts",
    )


def test_curated_statistics_equal_pandas_value_by_value(built):
    expected = statistics(built.drop_zone)
    found = pd.DataFrame(built.query(FACTS))
    assert len(found) == len(expected) > 0
    assert list(found["value_count"]) == list(expected["count"])
    for ours, theirs in (("avg_value", "mean"), ("stddev_value", "std"), ("min_value", "min"), ("max_value", "max")):
        pd.testing.assert_series_equal(
            found[ours].astype(float), expected[theirs], check_names=False, rtol=1e-9, obj=ours
        )


def test_the_dimension_has_one_row_per_batch_with_its_time_span(built):
    expected = readings(built.drop_zone).groupby("batch_id")["timestamp"].agg(["min", "max"])
    found = built.query("select batch_id, batch_start, batch_end from curated.dim_batch order by batch_id")
    assert [row["batch_id"] for row in found] == list(expected.index)
    assert [pd.Timestamp(row["batch_start"]) for row in found] == list(expected["min"])
    assert [pd.Timestamp(row["batch_end"]) for row in found] == list(expected["max"])


def test_the_mart_serves_the_curated_figures(built):
    mart = built.query(
        "select batch_id, equipment_id, parameter, avg_value from marts.mart_bioreactor_overview order by 1, 2, 3"
    )
    curated = built.query(
        "select batch_id, equipment_id, parameter, avg_value from curated.fact_bioreactor_batch_stats order by 1, 2, 3"
    )
    assert len(mart) > 0
    assert mart == curated


def test_five_minute_buckets_hold_every_reading_once(built):
    expected = len(readings(built.drop_zone))
    found = built.query("select sum(reading_count)::bigint as n from intermediate.int_bioreactor_downsample_5m")
    assert found == [{"n": expected}]


def test_a_second_run_changes_no_file_no_row_and_no_mart(built):
    lake = built.home / "lake"
    before = (_fingerprints(lake), _mart_identity(built), built.query(FACTS))
    result = built.run()
    assert (_fingerprints(lake), _mart_identity(built), built.query(FACTS)) == before
    assert built.status_of(result)["raw_bioreactor_data"] == "unchanged"
    assert built.status_of(result)["mart_bioreactor_overview"] == "unchanged"


def test_a_corrected_file_replaces_what_it_gave_everywhere(built, tmp_path):
    from lakehouse.sample.replace import corrected

    order = [path.name for path in sorted(built.drop_zone.glob("*.parquet"))]
    target = built.drop_zone / order[0]
    kept = corrected(target, tmp_path / "new.parquet", offsets={"ph": 0.25}, keep=0.5)
    (tmp_path / "new.parquet").replace(target)
    result = built.run()
    assert kept > 0
    assert built.status_of(result)["mart_bioreactor_overview"] == "built"
    expected = statistics(built.drop_zone, [*order[1:], order[0]])
    found = pd.DataFrame(built.query(FACTS))
    assert list(found["value_count"]) == list(expected["count"])
    pd.testing.assert_series_equal(found["avg_value"].astype(float), expected["mean"], check_names=False, rtol=1e-9)


def test_a_late_file_joins_the_batch_it_belongs_to(built):
    source = pd.read_parquet(sorted(built.drop_zone.glob("*.parquet"))[1])
    late = source[source["parameter"] == "ph"].tail(50).assign(value=7.5)
    late["timestamp"] = late["timestamp"] + pd.Timedelta(days=1)
    late.to_parquet(built.drop_zone / "zz late one.parquet", index=False)
    built.run()
    batch = source["batch_id"].iloc[0]
    found = built.query(f"select batch_end from curated.dim_batch where batch_id = '{batch}'")
    assert pd.Timestamp(found[0]["batch_end"]) == late["timestamp"].max()


@pytest.mark.parametrize(
    ("select", "expected"),
    [
        ("dbt_staging_models", {"stg_bioreactor", "stg_bioreactor__files"}),
        (
            "dbt_curated_models",
            {"int_bioreactor_downsample_5m", "dim_batch", "fact_bioreactor_batch_stats"},
        ),
        ("dim_batch", {"dim_batch"}),
        ("fact_bioreactor_batch_stats+", {"fact_bioreactor_batch_stats", "mart_bioreactor_overview"}),
    ],
)
def test_a_selection_builds_just_what_it_names(built, select, expected):
    assert set(built.status_of(built.run("--select", select))) == expected


def test_an_unknown_name_is_refused_with_what_there_is(built):
    done = built.call("run", "--select", "dim_bach")
    assert done.returncode == 2
    assert "Nothing is called dim_bach" in done.stderr
    assert "dim_batch" in done.stderr
    assert "Traceback" not in done.stderr
