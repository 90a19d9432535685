"""What `lakehouse up` prints once everything works: a line for each thing a person needs next."""

from __future__ import annotations

import shutil

import click
import pytest

from ingestion.declarations import SOURCES
from lakehouse.cli.up import drop_zones, pages
from lakehouse.errors import ConfigError
from lakehouse.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(_env_file=None, data_dir=str(tmp_path / "data"), lake_url=str(tmp_path / "lake"))


@pytest.fixture
def declarations(tmp_path):
    """The declarations of the checkout, in a folder of their own."""
    return shutil.copytree(SOURCES, tmp_path / "sources")


def test_every_declared_drop_zone_is_printed_and_none_other(settings, declarations):
    declared = (declarations / "bioreactor.yml").read_text(encoding="utf-8")
    (declarations / "bioreactor.yml").unlink()
    for name in ("freezers", "vials"):
        (declarations / f"{name}.yml").write_text(declared.replace("bioreactor", name), encoding="utf-8")
    zones = drop_zones(settings, declarations)
    assert zones == [f"{settings.lake_root}/raw/freezers/", f"{settings.lake_root}/raw/vials/"]
    text = click.unstyle(pages(settings, None, zones))
    assert f"  Drop zone        {zones[0]}\n                   {zones[1]}\n  Marts  " in text
    assert "raw/bioreactor" not in text


def test_faults_of_declarations_are_told_before_anything_is_started(settings, declarations):
    (declarations / "bioreactor.yml").write_text("source: 7\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"bioreactor\.yml:1: kind must be one of drop_zone"):
        drop_zones(settings, declarations)


def test_the_lineage_line_names_the_server_where_there_is_one(settings):
    assert "  Lineage          lakehouse lineage open\n" in pages(settings, None, [])
    assert "  Lineage          delivered to http://marquez\n" in pages(settings, "http://marquez", [])
