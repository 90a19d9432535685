"""A run that went well, and one that had nothing to do: facts and events say what is really there."""

from __future__ import annotations

from datetime import timedelta

import pyarrow.parquet as pq
import pytest
from platforms import a_platform
from recorded import ORDER, PAGE, by_key, ends, events_of, facts_of, told


@pytest.fixture(scope="module")
def runs():
    """A platform on which the pipeline ran twice: it, and both results."""
    with a_platform() as platform:
        platform.sample("--batches", "3", "--scale", "0.05", "--seed", "4")
        first = platform.run("--accept-stale")
        yield platform, first, platform.run()


def test_the_first_run_is_told_as_it_was(runs):
    platform, first, _ = runs
    facts = facts_of(platform, first["run_id"])
    assert (facts.end, facts.job, facts.started_by) == ("COMPLETE", "nightly_pipeline", "lakehouse run")
    assert facts.url == f"{PAGE}/runs/{first['run_id']}"
    assert facts.error is None
    assert facts.tags["lakehouse/accept_stale"] == "true"
    assert not any(tag.endswith(("process", "started_by")) for tag in facts.tags)
    assert [asset.asset_key for asset in facts.assets] == list(ORDER)
    assert set(ends(facts).values()) == {"COMPLETE"}
    assert {asset.attempt for asset in facts.assets} == {0}
    rows = {line["asset"]: line["rows"] for line in first["assets"]}
    assert {key: asset.output.rows for key, asset in by_key(facts).items()} == rows


def test_volumes_are_those_of_the_files_and_relations(runs):
    platform, first, _ = runs
    files = sorted(platform.drop_zone.glob("*.parquet"))
    size, rows = sum(file.stat().st_size for file in files), sum(pq.read_metadata(file).num_rows for file in files)
    assets = by_key(facts_of(platform, first["run_id"]))
    raw = assets["raw_bioreactor_data"]
    assert vars(raw.output) == {"rows": rows, "bytes": size, "files": len(files)}
    assert vars(raw.inputs["raw_bioreactor_data"]) == {"rows": rows, "bytes": size, "files": len(files)}
    assert assets["stg_bioreactor"].output.bytes is None, "a view"
    blocks = platform.query(
        "select count(distinct block_id) as n from pragma_storage_info('curated.dim_batch') where block_id >= 0"
    )
    assert assets["dim_batch"].output.bytes == blocks[0]["n"] * 262_144
    mart = assets["mart_bioreactor_overview"]
    assert mart.output.bytes is not None
    assert mart.output.bytes >= 8192
    assert {key: volume.rows for key, volume in mart.inputs.items()} == {
        "dim_batch": assets["dim_batch"].output.rows,
        "fact_bioreactor_batch_stats": assets["fact_bioreactor_batch_stats"].output.rows,
    }
    assert assets["stg_bioreactor"].inputs["raw_bioreactor_data"].rows == rows
    assert assets["dim_batch"].inputs["int_bioreactor_downsample_5m"].rows == (
        assets["int_bioreactor_downsample_5m"].output.rows
    )


def test_times_are_those_of_each_model_and_lie_within_the_run(runs):
    platform, first, _ = runs
    facts = facts_of(platform, first["run_id"])
    assets = by_key(facts)
    seconds = {line["asset"]: line["seconds"] for line in first["assets"]}
    for key, asset in assets.items():
        assert facts.started_at <= asset.started_at <= asset.ended_at <= facts.ended_at, key
        assert asset.ended_at - asset.started_at == pytest.approx(
            timedelta(seconds=seconds[key]), abs=timedelta(milliseconds=5)
        ), key
    assert assets["raw_bioreactor_data"].ended_at <= assets["stg_bioreactor__files"].started_at
    assert assets["int_bioreactor_downsample_5m"].ended_at <= assets["dim_batch"].started_at
    assert assets["fact_bioreactor_batch_stats"].ended_at <= assets["mart_bioreactor_overview"].started_at


def test_every_check_has_its_verdict_severity_and_column(runs):
    platform, first, _ = runs
    assets = by_key(facts_of(platform, first["run_id"]))
    passed = {line["asset"]: line["passed"] for line in first["assets"]}
    assert {key: sum(check.passed for check in asset.checks) for key, asset in assets.items()} == passed
    [relation] = [check for check in assets["fact_bioreactor_batch_stats"].checks if "relationships" in check.name]
    assert (relation.severity, relation.column, relation.message) == ("error", "batch_id", "")


def test_columns_are_those_of_the_relation(runs):
    platform, first, _ = runs
    assets = by_key(facts_of(platform, first["run_id"]))
    found = platform.query(
        "select column_name, data_type from duckdb_columns() where schema_name = 'curated' and table_name = 'dim_batch'"
        " order by column_index"
    )
    assert [(column.name, column.type) for column in assets["dim_batch"].columns] == [
        (row["column_name"], row["data_type"]) for row in found
    ]
    assert assets["raw_bioreactor_data"].columns is None, "the declared ones count"


def test_the_run_is_in_the_outbox_once_its_command_has_ended(runs):
    platform, first, _ = runs
    children = [(key, kind) for key in ORDER for kind in ("START", "COMPLETE")]
    assert told(platform, first["run_id"]) == [("lakehouse", "START"), *children, ("lakehouse", "COMPLETE")]
    [marks] = platform.state(
        "select r.events = (select count(*) from data_platform.lineage_outbox o where o.order_key = r.run_id),"
        f" r.error is null, r.ended_at is not null from data_platform.lineage_runs r where run_id = '{first['run_id']}'"
    )
    assert marks == (True, True, True)


def test_column_lineage_leads_from_the_mart_to_the_curated_columns(runs):
    platform, first, _ = runs
    [end] = [
        event
        for event in events_of(platform, first["run_id"])
        if event.job.endswith("mart_bioreactor_overview") and event.type == "COMPLETE"
    ]
    fields = end.body["outputs"][0]["facets"]["columnLineage"]["fields"]
    sources = {(item["name"].rpartition(".")[2], item["field"]) for item in fields["avg_value"]["inputFields"]}
    assert ("fact_bioreactor_batch_stats", "avg_value") in sources


def test_a_run_with_nothing_to_do_is_complete_and_says_so(runs):
    platform, first, second = runs
    facts = facts_of(platform, second["run_id"])
    assert [asset.asset_key for asset in facts.assets] == list(ORDER)
    assert set(ends(facts).values()) == {"COMPLETE"}
    assert all(asset.up_to_date for asset in facts.assets)
    before = by_key(facts_of(platform, first["run_id"]))
    for key, asset in by_key(facts).items():
        assert asset.output.rows == before[key].output.rows, key
        assert {check.name for check in asset.checks} == {check.name for check in before[key].checks}, key
    assert vars(by_key(facts)["raw_bioreactor_data"].inputs["raw_bioreactor_data"]) == {
        "rows": 0,
        "bytes": 0,
        "files": 0,
    }
    assert len(told(platform, second["run_id"])) == len(told(platform, first["run_id"]))
