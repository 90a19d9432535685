"""Files that a rebuild puts back into the drop zone for a moment."""

from __future__ import annotations

from types import SimpleNamespace

from lakehouse.settings import Settings
from lakehouse.storage import open_lake
from orchestration.rebuild import Plan, _gone_unbuilt, _present


def test_they_go_again_but_for_one_that_somebody_has_dropped_anew(tmp_path):
    settings = Settings(_env_file=None, data_dir=tmp_path)
    lake = open_lake(settings)
    plan = Plan(SimpleNamespace(kept_folder="raw/_kept/s"), None)
    rows = [{"batch_key": name, "file_key": f"raw/s/{name}.parquet", "status": "missing"} for name in ("one", "two")]
    for row in rows:
        lake.write(f"raw/_kept/s/{row['batch_key']}.parquet", b"kept")
    with _present(settings, lake, [plan], [rows]):
        assert [item.name for item in lake.list("raw/s")] == ["one.parquet", "two.parquet"]
        lake.write("raw/s/two.parquet", b"delivered again")
    assert {item.key: lake.read(item.key) for item in lake.list("raw/s")} == {"raw/s/two.parquet": b"delivered again"}
    assert [lake.read(item.key) for item in lake.list("raw/_kept/s")] == [b"kept", b"kept"]


def test_a_file_that_left_before_it_was_built_counts_as_gone_after_everything_that_had_arrived():
    here = {"status": "accepted", "ingestion_id": 7, "facts": {}}
    unbuilt = {"status": "accepted", "ingestion_id": 3, "facts": {"read_from": "raw/_kept/s/one.parquet"}}
    former = {"status": "superseded", "ingestion_id": 2, "facts": {"read_from": "raw/_kept/s/two.parquet"}}
    rows = [former, unbuilt, here]
    _gone_unbuilt(rows)
    assert [(row["status"], row["facts"].get("gone_after")) for row in rows] == [
        ("superseded", None),
        ("missing", 7),
        ("accepted", None),
    ]
