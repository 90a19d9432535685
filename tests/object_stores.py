"""S3 servers for tests: moto's in this process, and a real MinIO for the proofs.

Used by the conftest of every test folder that runs on more than one kind of lake.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from lakehouse.settings import Settings

ACCESS_KEY, SECRET_KEY, BUCKET = "lakekey", "lakesecret", "lake"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def client(endpoint: str):
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        config=Config(s3={"addressing_style": "path"}),
    )


def s3_settings(endpoint: str, data_dir: Path, **changes) -> Settings:
    """Settings of a lake under a prefix of its own."""
    values = {
        "data_dir": data_dir,
        "lake_url": f"s3://{BUCKET}/{uuid.uuid4().hex}",
        "s3_endpoint": endpoint,
        "s3_access_key": ACCESS_KEY,
        "s3_secret_key": SECRET_KEY,
    }
    return Settings(_env_file=None, **(values | changes))


def lake_variables(endpoint: str) -> dict[str, str]:
    """The environment of a platform whose lake is there."""
    return {
        "LAKEHOUSE_LAKE_URL": f"s3://{BUCKET}/prod",
        "LAKEHOUSE_S3_ENDPOINT": endpoint,
        "LAKEHOUSE_S3_ACCESS_KEY": ACCESS_KEY,
        "LAKEHOUSE_S3_SECRET_KEY": SECRET_KEY,
    }


def _make_bucket(endpoint: str) -> None:
    with closing(client(endpoint)) as store:
        store.create_bucket(Bucket=BUCKET)


@contextmanager
def moto_server() -> Iterator[str]:
    """Moto's S3 in a thread, with an empty bucket; yields its endpoint."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        endpoint = f"http://{host}:{port}"
        _make_bucket(endpoint)
        yield endpoint
    finally:
        server.stop()


def minio_binary() -> str | None:
    """LAKEHOUSE_TEST_MINIO, `minio` on the path, or the cache that `make prove` fills."""
    cached = Path.home() / ".cache/lakehouse/bin/minio"
    named = os.environ.get("LAKEHOUSE_TEST_MINIO")
    return named or shutil.which("minio") or (str(cached) if cached.exists() else None)


@contextmanager
def minio_server(folder: Path) -> Iterator[str]:
    """A real MinIO on a free port, with an empty bucket; yields its endpoint.

    Where Go is there the binary can be built, so its absence is a failure; elsewhere the test is skipped.
    """
    binary = minio_binary()
    if binary is None or not Path(binary).exists():
        reason = f"no MinIO binary at {binary or 'LAKEHOUSE_TEST_MINIO, on PATH or in ~/.cache/lakehouse/bin'}"
        if shutil.which("go"):
            pytest.fail(f"{reason}, although Go is here to build it: go install github.com/minio/minio@latest")
        pytest.skip(reason)
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}"
    log = folder / "minio.log"
    command = [binary, "server", str(folder / "data"), "--address", f"127.0.0.1:{port}"]
    keys = {"MINIO_ROOT_USER": ACCESS_KEY, "MINIO_ROOT_PASSWORD": SECRET_KEY, "HOME": str(folder)}
    with (
        log.open("wb") as output,
        subprocess.Popen(command, env=os.environ | keys, stdout=output, stderr=subprocess.STDOUT) as server,
    ):
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(f"{endpoint}/minio/health/live", timeout=1).close()
                    break
                except (urllib.error.URLError, OSError):
                    if server.poll() is not None:
                        break
                    time.sleep(0.1)
            else:
                pytest.fail(f"MinIO did not start: {log.read_text()}")
            if server.poll() is not None:
                pytest.fail(f"MinIO ended at once: {log.read_text()}")
            _make_bucket(endpoint)
            yield endpoint
        finally:
            server.terminate()
            server.wait(20)
