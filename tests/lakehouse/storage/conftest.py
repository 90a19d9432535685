"""One lake per kind of store; every test of the interface runs on all of them."""

from __future__ import annotations

import object_stores
import pytest

from lakehouse.settings import Settings
from lakehouse.storage import Lake, open_lake


@pytest.fixture(scope="session")
def moto_endpoint():
    with object_stores.moto_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def minio_endpoint(tmp_path_factory):
    with object_stores.minio_server(tmp_path_factory.mktemp("minio")) as endpoint:
        yield endpoint


@pytest.fixture(params=["local", "moto", pytest.param("minio", marks=pytest.mark.prove)])
def settings(request, tmp_path) -> Settings:
    if request.param == "local":
        return Settings(_env_file=None, data_dir=tmp_path)
    return object_stores.s3_settings(request.getfixturevalue(f"{request.param}_endpoint"), tmp_path)


@pytest.fixture(params=["moto", pytest.param("minio", marks=pytest.mark.prove)])
def s3(request, tmp_path) -> Settings:
    return object_stores.s3_settings(request.getfixturevalue(f"{request.param}_endpoint"), tmp_path)


@pytest.fixture
def lake(settings) -> Lake:
    return open_lake(settings)
