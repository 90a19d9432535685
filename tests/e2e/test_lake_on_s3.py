"""The whole pipeline with its lake on S3: moto's server always, a real MinIO among the proofs."""

from __future__ import annotations

from pathlib import Path

import pytest
from figures import SMALL
from object_stores import lake_variables, minio_server, moto_server


def _on_s3(platform, endpoint: str) -> None:
    platform.variables |= lake_variables(endpoint)
    platform.sample(*SMALL, "--broken", "truncated")
    assert platform.status_of(platform.run())["mart_bioreactor_overview"] == "built"
    again = platform.status_of(platform.run())
    assert again["raw_bioreactor_data"] == "unchanged"
    assert again["mart_bioreactor_overview"] == "unchanged"
    assert platform.query("select count(*) as n from curated.dim_batch") == [{"n": 3}]
    assert platform.query("select count(*) > 0 as readable from staging.stg_bioreactor") == [{"readable": True}]
    assert len(platform.alerts("file_quarantined")) == 1
    assert not list((platform.home / "lake").glob("raw/**/*")), "nothing went to the local disk"


def test_the_pipeline_runs_with_its_lake_on_s3(platform):
    with moto_server() as endpoint:
        _on_s3(platform, endpoint)


@pytest.mark.prove
def test_the_pipeline_runs_with_its_lake_on_a_real_minio(platform, tmp_path: Path):
    with minio_server(tmp_path) as endpoint:
        _on_s3(platform, endpoint)
