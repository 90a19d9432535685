"""Files that are wrong in every way a person can cause: named with file, column and remedy; the rest goes on."""

from __future__ import annotations

import json

import pandas as pd
from figures import SMALL

# Kind of broken file → what its reason must say.
EXPECTED = {
    "truncated": "truncated",
    "csv": "not Parquet but CSV",
    "wrong_types": "timestamp",
    "missing_column": "value",
    "empty": "no row",
    "null_batch_ids": "batch_id",
    "directory": "folder",
}


def test_every_kind_of_broken_file_is_named_and_the_good_ones_reach_the_mart(platform):
    broken = [part for kind in (*EXPECTED, "extra_column") for part in ("--broken", kind)]
    platform.sample("--batches", "8", "--scale", "0.02", *broken)
    result = platform.run()
    assert platform.status_of(result)["mart_bioreactor_overview"] == "built"
    quarantine = platform.home / "lake" / "raw" / "_quarantine" / "bioreactor"
    reasons = {}
    for path in quarantine.rglob("*.reason.json"):
        note = json.loads(path.read_text())
        reasons[note["file"].rsplit("/", 1)[-1]] = json.dumps(note, ensure_ascii=False)
    alerts = {alert["subject"].rsplit("/", 1)[-1]: alert for alert in platform.alerts("file_quarantined")}
    for kind, words in EXPECTED.items():
        name = f"broken-{kind.replace('_', '-')}.parquet"
        told = reasons.get(name) or alerts[name]["message"]
        assert words.lower() in told.lower(), f"{name}: {told}"
        assert alerts[name]["remedy"]
    batches = platform.query("select distinct batch_id from marts.mart_bioreactor_overview")
    names = {row["batch_id"] for row in batches}
    assert "BROKEN-EXTRA-COLUMN" in names, "an undeclared column is no reason to refuse a file"
    assert not any(name.startswith("BROKEN-") for name in names - {"BROKEN-EXTRA-COLUMN"})


def test_a_mended_file_comes_through_with_one_command(platform):
    platform.sample(*SMALL)
    good = pd.read_parquet(sorted(platform.drop_zone.glob("*.parquet"))[0])
    broken = good.assign(batch_id="B777").drop(columns="value")
    broken.to_parquet(platform.drop_zone / "B777.parquet", index=False)
    platform.run()
    listed = platform.call("replay", "bioreactor", "--list").stdout.split()
    assert len(listed) == 1
    assert listed[0].endswith("B777.parquet")
    good.assign(batch_id="B777").to_parquet(platform.home / "lake" / listed[0], index=False)
    done = platform.call("replay", "bioreactor", listed[0])
    assert done.returncode == 0, done.stdout + done.stderr
    platform.run()
    found = platform.query("select count(*) as n from marts.mart_bioreactor_overview where batch_id = 'B777'")
    assert found[0]["n"] > 0
    assert platform.alerts("file_quarantined") == []


def test_a_deleted_file_keeps_its_served_history_and_is_told(platform):
    platform.sample(*SMALL)
    platform.run()
    victim = sorted(platform.drop_zone.glob("*.parquet"))[0]
    victim.unlink()
    platform.run()
    assert platform.query("select count(distinct batch_id) as n from marts.mart_bioreactor_overview") == [{"n": 3}]
    assert victim.name in platform.alerts("file_missing")[0]["message"]
    platform.run("--full-refresh")
    assert platform.query("select count(distinct batch_id) as n from marts.mart_bioreactor_overview") == [{"n": 2}]
