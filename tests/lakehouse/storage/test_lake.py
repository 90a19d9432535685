"""What holds on every lake: local directory, moto's S3, real MinIO."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta

import duckdb
import pytest

from lakehouse.duckdb.connect import connect
from lakehouse.storage import ChangedError, open_lake

ODD_NAMES = [
    "plain.parquet",
    "with space.parquet",
    "ünïcode-批次.parquet",
    'it\'s "quoted".parquet',
    "brackets[1].parquet",
    "braces{a,b}.parquet",
    "hash#1.parquet",
    "percent%20.parquet",
    "plus+and&=.parquet",
    "semi;colon:x.parquet",
]


def test_a_written_object_is_listed_and_read_back(lake):
    lake.write("raw/a.bin", b"hello")
    [item] = lake.list("raw")
    assert (item.key, item.size, item.kind, item.name) == ("raw/a.bin", 5, "file", "a.bin")
    assert item.modified.tzinfo is UTC
    assert abs(datetime.now(UTC) - item.modified) < timedelta(minutes=5)
    assert lake.read("raw/a.bin") == b"hello"
    assert lake.stat("raw/a.bin").version == item.version


def test_a_listing_is_sorted_and_names_folders_without_entering_them(lake):
    for key in ("raw/b.bin", "raw/a.bin", "raw/x.parquet/part-0", "raw/sub/deep/c.bin", "other/z.bin"):
        lake.write(key, b"1")
    found = [(item.key, item.kind) for item in lake.list("raw")]
    assert found == [
        ("raw/a.bin", "file"),
        ("raw/b.bin", "file"),
        ("raw/sub", "directory"),
        ("raw/x.parquet", "directory"),
    ]
    assert [item.key for item in lake.walk("raw")] == [
        "raw/a.bin",
        "raw/b.bin",
        "raw/sub/deep/c.bin",
        "raw/x.parquet/part-0",
    ]


def test_a_folder_is_not_a_prefix_of_a_name(lake):
    lake.write("raw/bioreactor/a", b"1")
    lake.write("raw/bioreactor_old/b", b"1")
    assert [item.key for item in lake.list("raw/bioreactor")] == ["raw/bioreactor/a"]


def test_dot_names_are_left_out(lake):
    lake.write("raw/.hidden", b"1")
    lake.write("raw/.folder/a", b"1")
    lake.write("raw/seen", b"1")
    assert [item.key for item in lake.list("raw")] == ["raw/seen"]
    assert [item.key for item in lake.walk("raw")] == ["raw/seen"]


def test_a_missing_folder_is_empty(lake):
    assert list(lake.list("nothing/here")) == []
    assert list(lake.walk("nothing/here")) == []


def test_more_objects_than_one_page_are_all_listed(lake):
    for number in range(1005):
        lake.write(f"many/{number:04}", b"")
    assert len(list(lake.list("many"))) == 1005


def test_missing_objects_raise_file_not_found(lake):
    for call in (lake.stat, lake.open, lake.read):
        with pytest.raises(FileNotFoundError):
            call("raw/none.bin")
    with pytest.raises(FileNotFoundError):
        lake.copy("raw/none.bin", "raw/copy.bin")
    with pytest.raises(FileNotFoundError):
        lake.move("raw/none.bin", "raw/moved.bin")
    assert not lake.exists("raw/none.bin")
    lake.delete("raw/none.bin")


def test_writing_again_replaces_and_changes_version_and_fingerprint(lake):
    lake.write("a", b"one")
    first = lake.stat("a")
    first_print = lake.fingerprint(first)
    lake.write("a", b"two")
    second = lake.stat("a")
    assert lake.read("a") == b"two"
    assert second.version != first.version
    assert lake.fingerprint(second) != first_print


def test_the_same_content_has_the_same_fingerprint_under_another_name(lake):
    lake.write("a", b"same")
    lake.write("b", b"same")
    assert lake.fingerprint(lake.stat("a")) == lake.fingerprint(lake.stat("b"))


def test_a_local_file_is_uploaded_whole(lake, tmp_path):
    source = tmp_path / "big.bin"
    source.write_bytes(bytes(range(256)) * 40_000)
    lake.write("raw/big.bin", source)
    with lake.open("raw/big.bin") as stream:
        assert hashlib.file_digest(stream, "sha256").digest() == hashlib.sha256(source.read_bytes()).digest()
    assert source.exists()


def test_a_stream_can_seek_nothing_but_reads_in_pieces(lake):
    lake.write("a", b"0123456789")
    with lake.open("a") as stream:
        assert stream.read(4) == b"0123"
        assert stream.read() == b"456789"


def test_copy_keeps_and_move_takes_away(lake):
    lake.write("a", b"x")
    lake.copy("a", "deep/er/b")
    lake.move("a", "c")
    assert (lake.exists("a"), lake.read("deep/er/b"), lake.read("c")) == (False, b"x", b"x")


def test_a_move_never_replaces_its_target(lake):
    lake.write("a", b"new")
    lake.write("b", b"old")
    with pytest.raises(FileExistsError):
        lake.move("a", "b")
    assert (lake.read("a"), lake.read("b")) == (b"new", b"old")


def test_a_move_leaves_an_object_that_was_replaced_meanwhile(lake):
    lake.write("drop/a", b"broken")
    looked_at = lake.stat("drop/a")
    lake.write("drop/a", b"mended!")
    with pytest.raises(ChangedError, match="drop/a was replaced while it was looked at"):
        lake.move("drop/a", "quarantine/a", expected=looked_at)
    assert lake.read("drop/a") == b"mended!"
    assert not lake.exists("quarantine/a")


@pytest.mark.parametrize("key", ["", "/etc/passwd", "raw/../../etc/passwd"])
def test_keys_never_leave_the_lake(lake, key):
    with pytest.raises(ValueError, match="is not a path inside the lake"):
        lake.uri(key)


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_survive_every_call(lake, name):
    lake.write(f"raw/{name}", b"1")
    assert [item.name for item in lake.list("raw")] == [name]
    lake.copy(f"raw/{name}", f"copy/{name}")
    lake.move(f"copy/{name}", f"moved/{name}", expected=lake.stat(f"copy/{name}"))
    assert lake.read(f"moved/{name}") == b"1"
    lake.delete(f"moved/{name}")
    assert list(lake.walk("moved")) == []


# DuckDB takes "[", "*" and "?" for a pattern, so ingestion refuses such names; every other name must be read as it is.
@pytest.mark.parametrize("name", [name for name in ODD_NAMES if "[" not in name])
def test_duckdb_reads_what_uri_names_and_gives_it_back_as_filename(settings, lake, tmp_path, name):
    local = tmp_path / "local.parquet"
    duckdb.sql("select 42 as answer").write_parquet(str(local))
    lake.write(f"raw/{name}", local)
    uri = lake.uri(f"raw/{name}")
    with connect(settings) as connection:
        found = connection.execute("select answer, filename from read_parquet(?)", [[uri]]).fetchall()
    assert found == [(42, uri)]


def test_duckdb_writes_into_the_lake_and_it_is_listed(settings, lake):
    lake.write("out/.keep", b"")
    with connect(settings) as connection:
        connection.execute(f"copy (select range as n from range(1000)) to '{lake.uri('out/n.parquet')}'")
    [item] = lake.list("out")
    assert (item.key, item.size > 0) == ("out/n.parquet", True)


def test_check_passes_on_a_reachable_lake(settings):
    open_lake(settings).check()
