"""Everything but the lake is deleted and built again: lineage starts anew and works; a backup brings it back."""

from __future__ import annotations

import json

import pytest
from platforms import a_platform
from recorded import ORDER, told

TELL = "select order_key, event_key, body from data_platform.lineage_outbox order by event_id"
MARKS = "select run_id, events, ended_at from data_platform.lineage_runs order by run_id"
MODELS = "select asset_key, manifest_key, compiled_sql, columns from data_platform.lineage_models order by asset_key"


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_lineage_outlives_a_restore_and_starts_anew_with_a_rebuild():
    with a_platform() as platform:
        platform.sample("--batches", "2", "--scale", "0.02", "--seed", "4")
        first = platform.run()["run_id"]
        before = [platform.state(sql) for sql in (TELL, MARKS, MODELS)]
        assert [bool(rows) for rows in before] == [True, True, True]

        done = platform.call("backup", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        saved = json.loads(done.stdout)["backup"]
        platform.run("--full-refresh")
        done = platform.call("restore", "--force", saved)
        assert done.returncode == 0, done.stdout + done.stderr
        assert [platform.state(sql) for sql in (TELL, MARKS, MODELS)] == before

        done = platform.call("rebuild", "--from-lake", "--yes", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        runs = [row[0] for row in platform.state("select run_id from runs order by id")]
        assert first not in runs, "Dagster's storage was deleted"
        assert {row[0] for row in platform.state("select run_id from data_platform.lineage_runs")} == set(runs)
        children = [(key, kind) for key in ORDER for kind in ("START", "COMPLETE")]
        assert told(platform, runs[-1]) == [("lakehouse", "START"), *children, ("lakehouse", "COMPLETE")]
        assert [row[0] for row in platform.state(MODELS)] == sorted(set(ORDER) - {"raw_bioreactor_data"})
        after = platform.run()["run_id"]
        assert len(told(platform, after)) == 16
