"""A full disk: a clear message, nothing lost, and once there is room the next run makes everything right.

The disks are small real file systems; mounting them takes root.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pandas as pd
import pytest
from figures import SMALL
from platforms import Platform, a_platform

from lakehouse.postgres import embedded

SERVED = "select count(distinct batch_id) as n, sum(reading_count)::bigint as r from marts.mart_bioreactor_overview"


class Disk:
    """A small file system that can be filled to the last block and emptied again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self) -> None:
        with self._filler.open("wb", buffering=0) as file:
            for size in (1 << 20, 1 << 12):
                try:
                    while True:
                        file.write(b"\0" * size)
                except OSError:
                    continue
            while os.statvfs(self.path).f_bavail:  # somebody gave some back meanwhile
                with suppress(OSError):
                    file.write(b"\0" * (1 << 12))

    def make_room(self) -> None:
        self._filler.unlink()


@contextmanager
def a_disk(path: Path, megabytes: int) -> Iterator[Disk]:
    path.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", str(path)],
        capture_output=True,
        text=True,
    )
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def _drop_another(platform: Platform, zone: Path) -> None:
    first = sorted(zone.glob("*.parquet"))[0]
    pd.read_parquet(first).assign(batch_id="B900").to_parquet(zone / "B900.parquet", index=False)


def _fails_and_heals(platform: Platform, disk: Disk, *said: str) -> None:
    before = platform.query(SERVED)
    disk.fill()
    done = platform.call("run", "--retry-delay", "0")
    assert done.returncode != 0, done.stdout
    told = done.stdout + done.stderr
    assert "Traceback" not in told, told
    for text in said:
        assert text in told, told
    assert platform.query(SERVED) == before, "what was served is served"
    disk.make_room()
    platform.run()
    assert platform.query(SERVED)[0]["n"] == before[0]["n"] + 1
    assert platform.query("select count(*) as n from curated.dim_batch where batch_id = 'B900'") == [{"n": 1}]


def test_the_disk_of_the_warehouse(platform):
    with a_disk(platform.home.parent / "small", 40) as disk:
        platform.variables["LAKEHOUSE_WAREHOUSE_PATH"] = str(disk.path / "lakehouse.duckdb")
        platform.sample(*SMALL)
        platform.run()
        _drop_another(platform, platform.drop_zone)
        _fails_and_heals(platform, disk, "The disk is full", "Make room")


def test_the_disk_of_the_lake(platform):
    with a_disk(platform.home.parent / "small", 40) as disk:
        platform.variables["LAKEHOUSE_LAKE_URL"] = str(disk.path)
        platform.sample(*SMALL)
        platform.run()
        _drop_another(platform, disk.path / "raw" / "bioreactor")
        _fails_and_heals(platform, disk, "There is no space left to write", str(disk.path))


def test_the_disk_of_the_embedded_postgres_before_it_starts():
    with a_platform() as platform, a_disk(platform.home, 900) as disk:
        platform.variables |= _elsewhere(platform)
        platform.sample(*SMALL)
        platform.run()
        disk.fill()
        done = platform.call("run")
        assert done.returncode == 1
        assert "the embedded Postgres needs 500 MB to start" in done.stderr
        assert "Make room" in done.stderr
        disk.make_room()
        platform.run()
        embedded.stop(platform.settings, force=True)


def test_the_disk_of_the_embedded_postgres_while_it_runs():
    with a_platform() as platform, a_disk(platform.home, 900) as disk:
        platform.variables |= _elsewhere(platform)
        platform.sample(*SMALL)
        platform.run()
        before = platform.query(SERVED)
        zone = Path(platform.variables["LAKEHOUSE_LAKE_URL"]) / "raw" / "bioreactor"
        _drop_another(platform, zone)
        with embedded.running(platform.settings):
            disk.fill()
            done = platform.call("run", "--retry-delay", "0")
            told = done.stdout + done.stderr
            assert done.returncode != 0, told
            assert "Traceback" not in told, told
            assert "The disk is full" in told or "No space left on device" in told, told
            disk.make_room()
        platform.run()
        assert platform.query(SERVED)[0]["n"] == before[0]["n"] + 1
        embedded.stop(platform.settings, force=True)


def _elsewhere(platform: Platform) -> dict[str, str]:
    """Lake and warehouse on another disk, so that the small one holds the database."""
    other = platform.home.parent
    return {
        "LAKEHOUSE_LAKE_URL": str(other / "lake"),
        "LAKEHOUSE_WAREHOUSE_PATH": str(other / "warehouse" / "lakehouse.duckdb"),
    }
