"""One lake per kind of store; every test of the interface runs on all of them."""

from __future__ import annotations

import uuid

import object_stores
import pytest

from lakehouse.settings import Settings
from lakehouse.storage import Lake, open_lake


@pytest.fixture(scope="session")
def moto_endpoint():
    with object_stores.moto_server() as endpoint:
        object_stores.client(endpoint).create_bucket(Bucket=object_stores.BUCKET)
        yield endpoint


@pytest.fixture(scope="session")
def minio_endpoint(tmp_path_factory):
    with object_stores.minio_server(tmp_path_factory.mktemp("minio")) as endpoint:
        object_stores.client(endpoint).create_bucket(Bucket=object_stores.BUCKET)
        yield endpoint


def s3_settings(endpoint: str, data_dir, **changes) -> Settings:
    values = {
        "data_dir": data_dir,
        "lake_url": f"s3://{object_stores.BUCKET}/{uuid.uuid4().hex}",
        "s3_endpoint": endpoint,
        "s3_access_key": object_stores.ACCESS_KEY,
        "s3_secret_key": object_stores.SECRET_KEY,
    }
    return Settings(_env_file=None, **(values | changes))


@pytest.fixture(params=["local", "moto", pytest.param("minio", marks=pytest.mark.prove)])
def settings(request, tmp_path) -> Settings:
    if request.param == "local":
        return Settings(_env_file=None, data_dir=tmp_path)
    return s3_settings(request.getfixturevalue(f"{request.param}_endpoint"), tmp_path)


@pytest.fixture(params=["moto", pytest.param("minio", marks=pytest.mark.prove)])
def s3(request, tmp_path) -> Settings:
    return s3_settings(request.getfixturevalue(f"{request.param}_endpoint"), tmp_path)


@pytest.fixture
def lake(settings) -> Lake:
    return open_lake(settings)
