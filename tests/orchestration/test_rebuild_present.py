"""Files that a rebuild puts back into the drop zone for a moment."""

from __future__ import annotations

from types import SimpleNamespace

from lakehouse.settings import Settings
from lakehouse.storage import open_lake
from orchestration.rebuild import Plan, _present


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
