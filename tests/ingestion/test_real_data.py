"""A real instrument's run goes through untouched: parameters and equipment nobody declared, dates years back."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = os.environ.get("LAKEHOUSE_TEST_REAL_DATA")
pytestmark = pytest.mark.skipif(not FOLDER, reason="LAKEHOUSE_TEST_REAL_DATA names no folder of real files")


def test_every_real_file_is_accepted_and_the_unknown_parameter_counted(zone):
    files = sorted(Path(FOLDER).glob("*.parquet"))
    assert len(files) == 48
    for file in files:
        zone.drop(file.name, file.read_bytes())
    report = zone.ingest()
    assert (report.status, len(report.accepted), report.quarantined) == ("ok", 48, [])
    found = report.metadata
    assert (found["rows"], found["batches"], found["equipment_ids"]) == (14_112, 48, ["BL-BLPro-107"])
    assert {name: (fact["rows"], fact["known"]) for name, fact in found["parameters"].items()} == {
        "backscatter_bs3": (4704, False),
        "do": (4704, True),
        "ph": (4704, True),
    }
    assert [check.name for check in report.checks if not check.passed] == []
    assert "backscatter_bs3 is not declared (4,704 rows)" in str([check.message for check in report.checks])
