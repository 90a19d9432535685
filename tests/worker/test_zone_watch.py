"""A change in a drop zone rings: by file events, by looking, on a local disk and on S3."""

from __future__ import annotations

import time

import pytest
from object_stores import moto_server, s3_settings
from working import until

from ingestion.watch import zones
from ingestion.watch.bell import Bell
from ingestion.watch.zones import ZoneWatch
from lakehouse.storage import open_lake
from lakehouse.storage.local import LocalLake

ZONE = "raw/zone"


@pytest.fixture
def bell() -> Bell:
    return Bell(quiet=0.02)


@pytest.fixture
def zone(tmp_path):
    path = tmp_path / ZONE
    path.mkdir(parents=True)
    return path


def _watch(tmp_path, bell: Bell, *, events: bool, look_seconds: float = 0.1) -> ZoneWatch:
    return ZoneWatch(LocalLake(tmp_path), [ZONE], bell, look_seconds=look_seconds, events=events)


def _settle(bell: Bell) -> None:
    """Swallow what the beginning of a watch rings for."""
    while bell.wait(0.15):
        pass


def test_events_tell_of_a_rename_of_a_closed_file_and_of_a_link(tmp_path, zone, bell):
    with _watch(tmp_path, bell, events=True) as watch:
        assert watch.by_events
        _settle(bell)
        (tmp_path / "outside").write_bytes(b"1")
        (tmp_path / "outside").rename(zone / "renamed")
        assert bell.wait(5)
        _settle(bell)
        with (zone / "written").open("wb") as stream:
            assert bell.wait(5), "a new name does"
            stream.write(b"1")
            stream.flush()
            assert not bell.wait(0.3), "a write alone tells nothing"
        assert bell.wait(5), "the end of writing does"
        _settle(bell)
        (zone / "linked").hardlink_to(zone / "written")
        assert bell.wait(5)


def test_a_missing_drop_zone_is_made_and_watched(tmp_path, bell):
    with _watch(tmp_path, bell, events=True):
        _settle(bell)
        (tmp_path / ZONE / "a").write_bytes(b"1")
        assert bell.wait(5)


def test_a_folder_put_in_place_of_the_watched_one_is_watched_again(tmp_path, zone, bell, monkeypatch):
    monkeypatch.setattr(zones, "SLOW_LOOK_SECONDS", 0.2)
    with _watch(tmp_path, bell, events=True):
        _settle(bell)
        zone.rename(tmp_path / "elsewhere")
        zone.mkdir()
        assert bell.wait(5), "that there is a new folder is told by the look"
        time.sleep(0.5)
        _settle(bell)
        (zone / "a").write_bytes(b"1")
        assert bell.wait(5)


def test_without_events_the_listing_tells(tmp_path, zone, bell):
    with _watch(tmp_path, bell, events=False) as watch:
        assert not watch.by_events
        _settle(bell)
        (zone / "a").write_bytes(b"1")
        assert bell.wait(5)
        _settle(bell)
        (zone / "a").write_bytes(b"22")
        assert bell.wait(5), "a changed file too"
        _settle(bell)
        (zone / "a").unlink()
        assert not bell.wait(0.4), "a file that goes away asks for nothing"


def test_a_lake_that_cannot_be_listed_is_told_once_and_again_when_it_can(tmp_path, zone, bell):
    told = []
    lake = LocalLake(tmp_path)
    with ZoneWatch(lake, [ZONE], bell, look_seconds=0.05, events=False, on_trouble=told.append):
        _settle(bell)
        zone.rmdir()
        zone.write_bytes(b"a file where a folder was")
        until(lambda: told, 20, "that it is told")
        time.sleep(0.3)
        zone.unlink()
        zone.mkdir()
        until(lambda: len(told) > 1, 20, "that the end of it is told")
        time.sleep(0.3)
    assert len(told) == 2, told
    assert "cannot be listed" in str(told[0])
    assert told[1] is None


def test_the_listing_of_a_bucket_tells(tmp_path, bell):
    with moto_server() as endpoint:
        settings = s3_settings(endpoint, tmp_path)
        lake = open_lake(settings)
        with ZoneWatch(lake, [ZONE], bell, look_seconds=0.1) as watch:
            assert not watch.by_events
            _settle(bell)
            lake.write(f"{ZONE}/a.parquet", b"1")
            assert bell.wait(5)
            _settle(bell)
            assert not bell.wait(0.4)
