"""What only a directory can be: links, folders with file names, permissions, crashes."""

from __future__ import annotations

import multiprocessing
import os
import time
import uuid
from datetime import timedelta
from pathlib import Path

import pytest

from lakehouse.errors import ConfigError
from lakehouse.storage import ChangedError
from lakehouse.storage.local import LocalLake


@pytest.fixture
def lake(tmp_path):
    return LocalLake(tmp_path / "lake")


def test_a_dangling_link_is_named_and_can_be_moved(lake, tmp_path):
    lake.write("raw/good", b"1")
    (tmp_path / "lake/raw/link.parquet").symlink_to("gone.parquet")
    [_, link] = lake.list("raw")
    assert (link.key, link.kind) == ("raw/link.parquet", "dangling")
    lake.move(link.key, "away/link.parquet", expected=link)
    assert (tmp_path / "lake/away/link.parquet").readlink() == tmp_path / "lake/raw/gone.parquet"


def test_what_is_kept_of_a_link_is_the_content_it_leads_to(lake, tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"data")
    lake.write("raw/x", b"")
    (tmp_path / "lake/raw/link.parquet").symlink_to(tmp_path / "elsewhere")
    for _ in range(2):
        lake.keep([("raw/link.parquet", "kept/one.parquet")])
        (tmp_path / "elsewhere").unlink(missing_ok=True)
    assert lake.read("kept/one.parquet") == b"data"


def test_a_link_to_a_file_is_a_file_and_stays_readable_when_moved(lake, tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"data")
    lake.write("raw/x", b"")
    (tmp_path / "lake/raw/link").symlink_to("../../elsewhere")
    item = lake.stat("raw/link")
    assert (item.kind, item.size) == ("file", 4)
    lake.move("raw/link", "a/b/link", expected=item)
    assert lake.read("a/b/link") == b"data"
    assert (tmp_path / "elsewhere").read_bytes() == b"data"


def test_links_that_form_a_loop_end(lake, tmp_path):
    lake.write("raw/a", b"1")
    (tmp_path / "lake/raw/loop").symlink_to(".")
    (tmp_path / "lake/raw/self").symlink_to("self")
    assert [item.key for item in lake.walk("raw")] == ["raw/a", "raw/self"]
    assert {item.key: item.kind for item in lake.list("raw")} == {
        "raw/a": "file",
        "raw/loop": "directory",
        "raw/self": "dangling",
    }


def test_a_pipe_is_neither_file_nor_folder(lake, tmp_path):
    lake.write("raw/a", b"1")
    os.mkfifo(tmp_path / "lake/raw/pipe")
    assert lake.stat("raw/pipe").kind == "other"


def test_touching_a_file_changes_its_version_but_not_its_fingerprint(lake, tmp_path):
    lake.write("a", b"1")
    before = lake.stat("a")
    os.utime(tmp_path / "lake/a", (1, 1))
    after = lake.stat("a")
    assert after.version != before.version
    assert lake.fingerprint(after) == lake.fingerprint(before)


def test_a_failed_write_leaves_the_old_object_and_no_rubbish(lake, tmp_path):
    lake.write("raw/a", b"old")
    with pytest.raises(FileNotFoundError):
        lake.write("raw/a", tmp_path / "no such source")
    assert lake.read("raw/a") == b"old"
    assert [file.name for file in (tmp_path / "lake/raw").iterdir()] == ["a"]


def test_a_move_that_meets_a_newer_file_twice_loses_neither(lake, monkeypatch):
    lake.write("drop/a", b"first")
    looked_at = lake.stat("drop/a")
    lake.write("drop/a", b"second")
    rename = type(lake._file("drop/a")).rename

    def rename_while_a_third_arrives(self, target):
        rename(self, target)
        lake.write("drop/a", b"third")

    monkeypatch.setattr(type(lake._file("drop/a")), "rename", rename_while_a_third_arrives)
    with pytest.raises(ChangedError):
        lake.move("drop/a", "away/a", expected=looked_at)
    assert (lake.read("drop/a"), lake.read("away/a")) == (b"third", b"second")


def test_a_root_that_is_a_file_is_a_config_error_with_a_remedy(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be made.*\n.*LAKEHOUSE_LAKE_URL"):
        LocalLake(tmp_path / "file").check()


def test_a_folder_that_is_a_file_is_a_config_error(lake):
    lake.write("raw", b"")
    with pytest.raises(ConfigError, match="raw cannot be listed: Not a directory"):
        list(lake.list("raw"))


def test_what_a_killed_writer_left_is_swept_once_it_is_old_and_nothing_else(lake, tmp_path):
    ours = _left_by_a_killed_writer(lake, tmp_path, "raw/_ledger/deep/a")
    folder = ours.parent
    young, linked = (folder / f".{uuid.uuid4().hex}.tmp" for _ in range(2))
    names = (".DS_Store", ".upload.tmp", ours.name[1:], f"{ours.name}.bak", f".{'0' * 32}.tmp")
    theirs = [folder / name for name in names]
    for file in (young, *theirs):
        file.write_bytes(b"x")
    linked.symlink_to(theirs[0])
    for file in (ours, *theirs, linked):
        os.utime(file, (time.time() - 7200,) * 2, follow_symlinks=False)
    assert lake.sweep("raw/_kept", older_than=timedelta(hours=1)) == 0
    assert lake.sweep("raw/_ledger", older_than=timedelta(hours=1)) == 1
    assert sorted(folder.iterdir()) == sorted([young, linked, *theirs])


def _left_by_a_killed_writer(lake: LocalLake, tmp_path: Path, key: str) -> Path:
    """The only file in the folder of ``key``, after ``kill -9`` in the middle of writing it."""
    pipe, target = tmp_path / "slow source", Path(lake.uri(key))
    os.mkfifo(pipe)
    writer = multiprocessing.get_context("fork").Process(target=lake.write, args=(key, pipe))
    writer.start()
    with pipe.open("wb", buffering=0) as stream:
        stream.write(b"x" * (3 << 20))  # it takes up what it has read, and waits for more
        writer.kill()
        writer.join()
    (left,) = target.parent.iterdir()
    return left
