"""Locks as others see them."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from lakehouse.locks import is_held, is_used, open_lock, try_lock


@pytest.mark.parametrize(
    ("kind", "held", "used"), [(None, False, False), (fcntl.LOCK_SH, False, True), (fcntl.LOCK_EX, True, True)]
)
def test_looking_tells_who_writes_from_who_reads_and_takes_nothing(tmp_path: Path, kind, held, used):
    path = tmp_path / "a.lock"
    assert (is_held(path), is_used(path)) == (False, False)
    assert not path.exists()
    mine = open_lock(path)
    assert kind is None or try_lock(mine, kind)
    assert (is_held(path), is_used(path)) == (held, used)
    other = open_lock(path)
    assert try_lock(other, fcntl.LOCK_SH) is not held
    os.close(mine)
    assert try_lock(other, fcntl.LOCK_EX)
    os.close(other)
    assert not is_used(path)
