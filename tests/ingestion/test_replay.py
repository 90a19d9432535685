"""A quarantined or accepted file is given a second look."""

from __future__ import annotations

import pyarrow as pa
import pytest
from readings import readings

from ingestion import declarations
from ingestion.replay import replay
from lakehouse.errors import ConfigError


def test_a_quarantined_file_is_replayed_after_a_fix(zone):
    zone.drop("B001.parquet", readings(value=pa.array(["37"] * 60)))
    moved = zone.ingest().quarantined[0].moved_to
    again = replay(zone.settings, "bioreactor", moved)
    assert [item.cause for item in again.quarantined] == ["types"]
    assert zone.lake.exists(again.quarantined[0].moved_to)
    bioreactor = declarations.load("bioreactor")
    columns = tuple(
        column.model_copy(update={"accepts": (*column.accepts, "VARCHAR")}) if column.name == "value" else column
        for column in bioreactor.columns
    )
    report = replay(zone.settings, bioreactor.model_copy(update={"columns": columns}))
    assert [item.key for item in report.accepted] == ["raw/bioreactor/B001.parquet"]
    assert zone.ledger() == {"B001.parquet": ["accepted"]}
    assert zone.open_alerts() == []


def test_an_accepted_file_can_be_validated_again_where_it_is(zone):
    key = zone.drop()
    zone.ingest()
    report = replay(zone.settings, "bioreactor", key)
    assert [item.key for item in report.accepted] == [key]
    assert report.arrival_after > report.arrival_before


def test_a_replay_names_every_key_that_cannot_be_replayed(zone):
    zone.drop("B001.parquet", b"rubbish")
    moved = zone.ingest().quarantined[0].moved_to
    zone.drop("B001.parquet")
    with pytest.raises(ConfigError) as caught:
        replay(zone.settings, "bioreactor", moved, "raw/_quarantine/bioreactor/none.parquet")
    assert "raw/bioreactor/B001.parquet is taken by another file" in str(caught.value)
    assert "none.parquet: there is no such file" in str(caught.value)
    assert zone.lake.exists(moved)
