"""What only a store over the network can be: down, refusing, without a bucket."""

from __future__ import annotations

import time

import object_stores
import pytest

from lakehouse.errors import ConfigError, UnavailableError
from lakehouse.storage import open_lake
from lakehouse.storage import s3 as s3_module


def test_a_store_that_is_down_is_unavailable_within_seconds(s3):
    dead = s3.model_copy(update={"s3_endpoint": f"http://127.0.0.1:{object_stores.free_port()}"})
    started = time.monotonic()
    with pytest.raises(UnavailableError, match=r"cannot be reached.*\n.*LAKEHOUSE_S3_ENDPOINT") as caught:
        open_lake(dead).check()
    assert time.monotonic() - started < 20
    assert caught.value.transient


def test_a_missing_bucket_is_a_config_error(s3):
    lake = open_lake(s3.model_copy(update={"lake_url": "s3://no-such-bucket"}))
    for call in (lake.check, lambda: list(lake.list("raw")), lambda: lake.write("a", b"")):
        with pytest.raises(ConfigError, match=r"The bucket of the lake s3://no-such-bucket.* does not exist"):
            call()


def test_a_missing_bucket_is_named_by_a_large_upload_too(s3, tmp_path, monkeypatch):
    monkeypatch.setattr(s3_module, "PART_BYTES", 5 << 20)
    (tmp_path / "big").write_bytes(bytes(6 << 20))
    lake = open_lake(s3.model_copy(update={"lake_url": "s3://no-such-bucket"}))
    with pytest.raises(ConfigError, match="does not exist"):
        lake.write("big", tmp_path / "big")


def test_large_files_go_up_and_are_moved_in_parts(s3, tmp_path, monkeypatch):
    monkeypatch.setattr(s3_module, "PART_BYTES", 5 << 20)
    (tmp_path / "big").write_bytes(bytes(range(256)) * 50_000)
    lake = open_lake(s3)
    lake.write("big", tmp_path / "big")
    assert "-" in lake.stat("big").version  # a multipart ETag
    lake.move("big", "moved", expected=lake.stat("big"))
    assert lake.read("moved") == (tmp_path / "big").read_bytes()
    assert not lake.exists("big")


def test_missing_credentials_are_a_config_error(s3, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    bare = s3.model_copy(update={"s3_access_key": type(s3.s3_access_key)("")})
    with pytest.raises(ConfigError, match=r"no S3 credentials.*\n.*LAKEHOUSE_S3_ACCESS_KEY"):
        open_lake(bare).check()


def test_a_marker_of_an_empty_folder_is_not_an_object(s3):
    lake = open_lake(s3)
    bucket, _, prefix = s3.lake_root.removeprefix("s3://").partition("/")
    object_stores.client(s3.s3_endpoint).put_object(Bucket=bucket, Key=f"{prefix}/raw/bioreactor/", Body=b"")
    assert list(lake.list("raw/bioreactor")) == []
    assert [item.kind for item in lake.list("raw")] == ["directory"]


@pytest.mark.prove
def test_a_wrong_key_is_a_config_error_and_never_printed(minio_endpoint, tmp_path):
    lake = open_lake(object_stores.s3_settings(minio_endpoint, tmp_path, s3_secret_key="not-the-secret"))
    with pytest.raises(ConfigError, match=r"refuses the S3 key \(SignatureDoesNotMatch\)") as caught:
        lake.check()
    assert "not-the-secret" not in str(caught.value)
    lake = open_lake(object_stores.s3_settings(minio_endpoint, tmp_path, s3_access_key="nobody"))
    with pytest.raises(ConfigError, match=r"refuses the S3 key \(InvalidAccessKeyId\)"):
        lake.check()


def test_a_move_that_was_cut_off_between_copy_and_delete_is_finished(s3):
    lake = open_lake(s3)
    lake.write("drop/a", b"broken")
    lake.copy("drop/a", "quarantine/a")
    lake.move("drop/a", "quarantine/a", expected=lake.stat("drop/a"))
    assert not lake.exists("drop/a")
    assert lake.read("quarantine/a") == b"broken"
