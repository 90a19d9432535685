"""The code location as Dagster sees it: names, groups, layers, checks, schedule; all derived."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

ASK = """
import json, warnings
from dagster import BetaWarning
warnings.filterwarnings("ignore", category=BetaWarning)
from orchestration.definitions import defs
graph = defs.resolve_asset_graph()
schedule = defs.resolve_schedule_def("nightly_pipeline_schedule") if hasattr(defs, "resolve_schedule_def") else None
schedule = schedule or defs.get_schedule_def("nightly_pipeline_schedule")
print(json.dumps({
    "assets": {
        spec.key.to_user_string(): {
            "group": spec.group_name, "layer": spec.tags.get("layer"), "owners": list(spec.owners),
            "deps": sorted(dep.asset_key.to_user_string() for dep in spec.deps),
            "file": spec.metadata["dagster/code_references"].code_references[0].file_path.rsplit("/", 1)[-1],
        } for spec in defs.resolve_all_asset_specs()
    },
    "checks": sorted(f"{key.asset_key.to_user_string()}:{key.name}" for key in graph.asset_check_keys),
    "ops": sorted({definition.node_def.name for definition in defs.assets}),
    "cron": schedule.cron_schedule, "zone": schedule.execution_timezone,
}))
"""


@pytest.fixture(scope="module")
def location():
    """Asked in a process of its own, with other settings than the defaults."""
    from platforms import a_platform

    with a_platform() as platform:
        platform.variables |= {"LAKEHOUSE_TIMEZONE": "Europe/Berlin", "LAKEHOUSE_NIGHTLY_CRON": "30 3 * * *"}
        done = subprocess.run(
            [sys.executable, "-c", ASK], env=platform.environment, capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_layers_carry_the_names_of_the_requirements(location):
    assert {"raw_bioreactor_data", "dbt_staging_models", "dbt_curated_models", "dbt_postgres_marts"} <= set(
        location["ops"]
    )


def test_the_mart_hangs_on_the_raw_asset_through_every_layer(location):
    assets = location["assets"]
    assert assets["stg_bioreactor__files"]["deps"] == ["raw_bioreactor_data"]
    assert "stg_bioreactor" in assets["int_bioreactor_downsample_5m"]["deps"]
    assert "int_bioreactor_downsample_5m" in assets["fact_bioreactor_batch_stats"]["deps"]
    assert {"dim_batch", "fact_bioreactor_batch_stats"} <= set(assets["mart_bioreactor_overview"]["deps"])


def test_groups_are_domains_and_layers_are_tags(location):
    assert {item["group"] for item in location["assets"].values()} == {"bioreactor"}
    assert {name: item["layer"] for name, item in location["assets"].items() if name.startswith(("dim", "mart"))} == {
        "dim_batch": "curated",
        "mart_bioreactor_overview": "mart",
    }


def test_every_asset_has_an_owner_and_links_its_source_file(location):
    for name, item in location["assets"].items():
        assert item["owners"], name
        assert item["file"] == ("bioreactor.yml" if name.startswith("raw_") else f"{name}.sql")


def test_declared_validations_and_dbt_tests_are_checks(location):
    checks = location["checks"]
    assert "raw_bioreactor_data:no_null_batch_ids" in checks
    assert "raw_bioreactor_data:row_count_above_threshold" in checks
    assert "raw_bioreactor_data:fresh" in checks
    assert any(check.startswith("dim_batch:unique_combination") for check in checks)
    assert any(check.startswith("mart_bioreactor_overview:every_equipment_has_data") for check in checks)
    assert any(check.startswith("fact_bioreactor_batch_stats:average_as_declared") for check in checks)


def test_the_schedule_follows_the_settings(location):
    assert (location["cron"], location["zone"]) == ("30 3 * * *", "Europe/Berlin")
