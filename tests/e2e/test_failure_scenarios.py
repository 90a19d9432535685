"""The three failure scenarios of the requirements, and how each is mended."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from figures import SMALL
from platforms import Platform, a_platform, free_port

from lakehouse.postgres import embedded
from lakehouse.postgres.home import passfile
from lakehouse.postgres.passfile import ensure
from lakehouse.settings import Settings


def test_scenario_1_no_raw_files_is_an_empty_status_and_an_alert(platform):
    result = platform.run()
    statuses = platform.status_of(result)
    assert statuses.pop("raw_bioreactor_data") == "empty"
    assert {"stg_bioreactor", "dim_batch", "mart_bioreactor_overview"} <= statuses.keys()
    assert set(statuses.values()) == {"skipped"}
    alerts = platform.alerts("drop_zone_empty")
    assert len(alerts) == 1
    platform.run()
    assert len(platform.alerts("drop_zone_empty")) == 1, "the same open alert is not repeated"
    platform.sample(*SMALL)
    assert platform.status_of(platform.run())["mart_bioreactor_overview"] == "built"
    assert platform.alerts("drop_zone_empty") == [], "and it is closed once files are there"


def test_scenario_2_a_failing_staging_model_blocks_what_follows_until_it_is_mended(platform):
    platform.sample(*SMALL)
    platform.run()
    before = platform.query("select count(*) as n, max(avg_value) as m from marts.mart_bioreactor_overview")
    # A new file that validation accepted and that rots before staging reads it.
    victim = platform.drop_zone / "B900.parquet"
    pd.read_parquet(sorted(platform.drop_zone.glob("*.parquet"))[0]).assign(batch_id="B900").to_parquet(victim)
    platform.run("--select", "raw")
    good, stat = victim.read_bytes(), victim.stat()
    victim.write_bytes(b"PAR1" + b"\0" * (len(good) - 8) + b"PAR1")
    os.utime(victim, ns=(stat.st_atime_ns, stat.st_mtime_ns))

    failed = platform.run("--select", "dbt_staging_models+", code=1)
    staging = next(line for line in failed["assets"] if line["asset"] == "stg_bioreactor")
    assert staging["status"] == "failed" or staging["failed"] > 0
    assert platform.status_of(failed)["mart_bioreactor_overview"] == "skipped"

    alone = platform.run("--select", "dbt_postgres_marts", code=6)
    assert platform.status_of(alone)["mart_bioreactor_overview"] == "blocked"
    assert "stg_bioreactor" in alone["errors"][0]
    assert platform.query("select count(*) as n, max(avg_value) as m from marts.mart_bioreactor_overview") == before

    victim.write_bytes(good)
    os.utime(victim, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert platform.status_of(platform.run())["mart_bioreactor_overview"] == "built"
    assert platform.query("select count(*) > 0 as there from curated.dim_batch where batch_id = 'B900'") == [
        {"there": True}
    ]


def test_force_builds_past_a_gate_and_is_recorded(platform):
    platform.sample(*SMALL)
    platform.run()
    _fail_a_check(platform)
    platform.run("--select", "dbt_postgres_marts", code=6)
    platform.run("--select", "dbt_postgres_marts", "--force")
    rows = platform.state("select message from data_platform.alert_history where kind = 'gate_forced'")
    assert len(rows) == 1
    assert "unique_combination_dim_batch_batch_id" in rows[0][0]


def _fail_a_check(platform: Platform) -> None:
    from lakehouse import state
    from lakehouse.postgres.connect import connect, state_url

    with embedded.running(platform.settings):
        connection = connect(state_url(platform.settings), what="state database")
        state.record(
            connection,
            "test",
            [],
            [
                state.CheckResult(
                    "dim_batch", "unique_combination_dim_batch_batch_id", False, "error", "one row too many"
                )
            ],
        )
        connection.close()


@contextlib.contextmanager
def _server() -> Iterator[Settings]:
    folder = Path(tempfile.mkdtemp(prefix="lakehouse-server-"))
    folder.chmod(0o755)
    settings = Settings(_env_file=None, data_dir=folder / "data", postgres_port=free_port())
    try:
        yield settings
    finally:
        embedded.stop(settings, force=True)
        shutil.rmtree(folder, ignore_errors=True)


def _url(settings: Settings, role: str, database: str) -> str:

    passwords = ensure(passfile(settings))
    return f"postgresql://{role}:{passwords[role]}@127.0.0.1:{settings.postgres_port}/{database}"


@pytest.fixture
def two_servers() -> Iterator[tuple[Platform, Settings]]:
    """A platform whose state and marts live on servers of their own, and the settings of the marts server."""
    with (
        a_platform() as platform,
        _server() as state,
        _server() as marts,
        embedded.running(state),
        embedded.running(marts),
    ):
        platform.variables["LAKEHOUSE_STATE_URL"] = _url(state, "lakehouse_writer", "lakehouse_state")
        platform.variables["LAKEHOUSE_MARTS_URL"] = _url(marts, "lakehouse_writer", "lakehouse")
        platform.variables["LAKEHOUSE_MARTS_ADMIN_URL"] = _url(marts, "postgres", "lakehouse")
        yield platform, marts


def test_scenario_3_a_dead_marts_server_leaves_curated_valid_and_a_rerun_of_the_marts_heals(two_servers):
    platform, marts = two_servers
    platform.sample(*SMALL)
    platform.run()
    served = "select count(*) as n from marts.mart_bioreactor_overview"
    before = platform.query(served)
    platform.sample("--batches", "5", "--scale", "0.05", "--seed", "4")

    embedded.stop(marts, force=True)
    failed = platform.run("--retry-delay", "0", code=1)
    statuses = platform.status_of(failed)
    assert statuses["dim_batch"] == "built"
    assert statuses["fact_bioreactor_batch_stats"] == "built"
    assert statuses["mart_bioreactor_overview"] in {"failed", "skipped"}
    assert "marts" in failed["errors"][-1]
    assert platform.query("select count(*) as n from curated.dim_batch") == [{"n": 5}]

    with embedded.running(marts):
        assert platform.query(served) == before, "the mart is as it was"
        healed = platform.run("--select", "dbt_postgres_marts")
        assert platform.status_of(healed) == {"mart_bioreactor_overview": "built"}
        assert platform.query("select count(distinct batch_id) as n from marts.mart_bioreactor_overview") == [{"n": 5}]
