"""``python -m ingestion``: what it prints and its exit codes."""

from __future__ import annotations

import json

import pytest

from ingestion import __main__ as command
from lakehouse import settings as settings_module


@pytest.fixture
def run(zone, monkeypatch, capsys):
    monkeypatch.setattr(settings_module, "load_settings", lambda: zone.settings)

    def call(*arguments):
        code = command.main(list(arguments))
        return code, *capsys.readouterr()

    return call


def test_it_prints_a_readable_report(zone, run):
    zone.drop("B001.parquet")
    zone.drop("bad.parquet", b"a,b\n")
    code, out, err = run("bioreactor")
    assert code == 0
    assert "bioreactor: ok: 1 accepted (60 rows), 1 quarantined" in out
    assert "quarantined raw/bioreactor/bad.parquet: it is not Parquet but CSV: text beginning with 'a,b'" in out
    assert "passed  row_count_above_threshold: 60 rows accepted, at least 1 expected" in out
    assert "validating 1/2: raw/bioreactor/B001.parquet" in err


def test_json_is_all_that_is_printed(zone, run):
    zone.drop("B001.parquet")
    code, out, _ = run("bioreactor", "--json")
    report = json.loads(out)
    assert (code, report["status"], report["metadata"]["rows"], len(report["checks"])) == (0, "ok", 60, 7)


def test_an_unknown_source_ends_with_code_2_and_no_stack_trace(run):
    code, out, err = run("nope")
    assert (code, out) == (2, "")
    assert err.startswith("error: There is no source 'nope'")


def test_too_much_broken_ends_with_code_3(zone, run):
    for number in range(10):
        zone.drop(f"bad{number}.parquet", b"x")
    code, _, err = run("bioreactor")
    assert code == 3
    assert "10 of 10 files looked at were quarantined" in err


def test_replay_brings_everything_back(zone, run):
    zone.drop("bad.parquet", b"x")
    run("bioreactor")
    code, out, err = run("bioreactor", "--replay")
    assert code == 0
    assert "is back at raw/bioreactor/bad.parquet" in err
    assert "0 accepted (0 rows), 1 quarantined" in out
