"""The real manifest, parsed once per session, and the catalog of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openlineage_schemas import schemas

from lakehouse.dbt.manifest import ensure_manifest
from lakehouse.settings import Settings
from lineage.catalog import Catalog
from lineage.declared import catalog

__all__ = ["schemas"]  # a fixture, found here by the tests beside


@pytest.fixture(scope="session")
def settings(tmp_path_factory) -> Settings:
    return Settings(_env_file=None, data_dir=tmp_path_factory.mktemp("lineage"))


@pytest.fixture(scope="session")
def manifest(settings) -> dict[str, Any]:
    return json.loads((ensure_manifest(settings) / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="session")
def declared(manifest, settings) -> Catalog:
    return catalog(manifest, settings, job_namespace="lakehouse")
