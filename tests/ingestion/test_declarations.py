"""Declarations: the one that ships, and every fault named with file, line and field."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion import dbt_sources, declarations, yaml_lines
from ingestion.declarations import DropZoneSource, load, load_all, parse
from lakehouse.errors import ConfigError

TEXT = (declarations.SOURCES / "bioreactor.yml").read_text(encoding="utf-8")
DATA = yaml.safe_load(TEXT)


def declared(folder: Path, text: str, name: str = "bioreactor") -> Path:
    (folder / f"{name}.yml").write_text(text, encoding="utf-8")
    return folder


def test_the_bioreactor_declaration_says_what_the_requirements_say():
    source = load("bioreactor")
    assert (source.asset, source.path, source.pattern) == ("raw_bioreactor_data", "raw/bioreactor", "*.parquet")
    assert [column.name for column in source.columns] == [
        *("timestamp", "batch_id", "equipment_id", "parameter", "value", "unit")
    ]
    assert {parameter.name for parameter in source.parameters} == {
        *("temperature", "ph", "do", "agitation", "feed", "titre")
    }
    assert (source.freshness.column, source.freshness.max_age_hours) == ("batch_start", 24)
    assert list(load_all()) == ["bioreactor"]


def test_an_unknown_source_names_the_known_ones():
    with pytest.raises(ConfigError, match=r"There is no source 'nope'; declared are: bioreactor"):
        load("nope")


def test_all_faults_are_reported_at_once_with_file_line_and_field(tmp_path):
    text = (
        TEXT.replace("path: raw/bioreactor ", "path: /etc ")
        .replace("time_column: timestamp", "time_column: when")
        .replace("min: 10, max: 50", "min: 60, max: 50")
        .replace("extra_columns: evolve", "extra_columns: maybe")
        .replace("owner:", "ownr:")
        .replace("settle_seconds: 2", "settle_seconds: soon")
    )
    with pytest.raises(ConfigError) as caught:
        load("bioreactor", declared(tmp_path, text))
    message = str(caught.value)
    lines = {line.split(":")[0].split()[0]: number for number, line in enumerate(text.splitlines(), 1) if line.strip()}
    assert "The declarations of sources have 7 faults" in message
    for fault in (
        f"bioreactor.yml:{lines['path']}: path must be a folder below raw/",
        f"bioreactor.yml:{lines['time_column']}: time_column when is not one of the columns",
        "parameters[0].min 60 is greater than max 50",
        f"bioreactor.yml:{lines['extra_columns']}: extra_columns Input should be 'evolve', 'freeze' or 'discard'",
        f"bioreactor.yml:{lines['ownr']}: ownr is not a field of a declaration",
        "owner is missing",
        f"bioreactor.yml:{lines['settle_seconds']}: settle_seconds Input should be a valid number",
    ):
        assert fault in message, fault


def test_faults_of_several_files_come_in_one_error(tmp_path):
    declared(tmp_path, "kind: drop_zone\n", "one")
    declared(tmp_path, "kind: carrier_pigeon\n", "two")
    declared(tmp_path, "a: [\n", "three")
    declared(tmp_path, "", "four")
    with pytest.raises(ConfigError) as caught:
        load_all(tmp_path)
    message = str(caught.value)
    assert "one.yml:1: columns is missing" in message
    assert "two.yml:1: kind must be one of drop_zone, not 'carrier_pigeon'" in message
    assert "three.yml:2: is not YAML" in message
    assert "four.yml:1: is empty" in message


def test_a_field_that_stands_twice_is_a_fault(tmp_path):
    with pytest.raises(ConfigError, match="stream stands here a second time"):
        load("bioreactor", declared(tmp_path, TEXT + "\nstream: other\n"))


def test_two_sources_cannot_share_a_drop_zone_or_an_asset(tmp_path):
    declared(tmp_path, TEXT)
    declared(tmp_path, TEXT.replace("source: bioreactor", "source: second"), "second")
    with pytest.raises(ConfigError) as caught:
        load_all(tmp_path)
    assert "raw/bioreactor is already taken by bioreactor.yml" in str(caught.value)
    assert "raw_bioreactor_data is already taken by bioreactor.yml" in str(caught.value)


def test_the_platforms_own_folders_cannot_be_drop_zones(tmp_path):
    with pytest.raises(ConfigError, match="raw/_quarantine is kept for the platform itself"):
        load("bioreactor", declared(tmp_path, TEXT.replace("path: raw/bioreactor ", "path: raw/_quarantine ")))


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_declaration_is_accepted_or_gets_faults_but_never_a_crash(data):
    changed = copy.deepcopy(DATA)
    for _ in range(data.draw(st.integers(1, 3))):
        place = changed
        while True:
            key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else list(range(len(place)))))
            if isinstance(place[key], dict | list) and place[key] and data.draw(st.booleans()):
                place = place[key]
                continue
            place[key] = data.draw(values)
            break
    source, faults = parse(yaml_lines.Document(data=changed), "bioreactor")
    assert (source is None) == bool(faults)
    assert all(fault.text for fault in faults)


@given(values)
def test_any_document_is_judged_without_a_crash(data):
    source, faults = parse(yaml_lines.Document(data=data), "bioreactor")
    assert source is None
    assert faults


def test_dbts_source_files_are_in_step_with_the_declarations():
    assert dbt_sources.stale() == {}, "run `python -m ingestion.dbt_sources` and commit what it writes"


def test_a_changed_declaration_changes_dbts_source_file(tmp_path):
    folder = tmp_path / "sources"
    folder.mkdir()
    declared(folder, TEXT.replace("min_rows: 1 ", "min_rows: 7 "))
    [written] = dbt_sources.write(folder, tmp_path / "dbt")
    assert written == tmp_path / "dbt/models/staging/bioreactor/_bioreactor__sources.yml"
    document = yaml.safe_load(written.read_text(encoding="utf-8"))
    [table] = document["sources"][0]["tables"]
    assert table["config"]["meta"]["min_rows"] == 7
    assert table["config"]["meta"]["row_rules"][0] == {
        "name": "batch_id_present",
        "expression": "trim(batch_id) <> ''",
        "action": "quarantine_file",
    }
    assert table["columns"][0]["data_type"] == "TIMESTAMP"
    assert dbt_sources.write(folder, tmp_path / "dbt") == []


def test_a_loaded_declaration_cannot_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        load("bioreactor").path = "raw/other"
    assert isinstance(load("bioreactor"), DropZoneSource)
