"""dbt works without the platform around it, as the requirements' commands show."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from figures import SMALL
from platforms import ROOT

DBT = Path(sys.executable).parent / "dbt"


def _environment(platform) -> dict[str, str]:
    lines = platform.call("env").stdout.splitlines()
    exported = dict(line.removeprefix("export ").split("=", 1) for line in lines)
    return {**platform.environment, **{name: value.strip("'") for name, value in exported.items()}}


def _dbt(platform, *args: str) -> subprocess.CompletedProcess[str]:
    target = platform.home / "dbt-alone"
    return subprocess.run(
        [str(DBT), *args, "--target-path", str(target), "--log-path", str(target)],
        cwd=ROOT / "dbt_project",
        env=_environment(platform),
        capture_output=True,
        text=True,
        check=False,
    )


def test_dbt_build_and_the_marts_command_work_after_an_ingest(platform):
    from lakehouse import postgres

    platform.sample(*SMALL)
    assert platform.call("ingest").returncode == 0
    with postgres.ready(platform.settings):
        built = _dbt(platform, "build")
        assert built.returncode == 0, built.stdout
        marts = _dbt(platform, "run", "--select", "tag:mart", "--target", "postgres")
        assert marts.returncode == 0, marts.stdout
        assert "PASS=1" in marts.stdout
    rows = platform.query("select count(distinct batch_id) as n from marts.mart_bioreactor_overview")
    assert rows == [{"n": 3}]


def test_dbt_build_never_needs_the_marts_server(platform):
    platform.sample(*SMALL)
    assert platform.call("ingest").returncode == 0
    built = _dbt(platform, "build")  # the embedded server is stopped again
    assert built.returncode == 0, built.stdout
    assert "ERROR=0" in built.stdout
