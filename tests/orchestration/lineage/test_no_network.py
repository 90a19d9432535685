"""A lineage server that hangs never meets a run: its process connects to Postgres and to nothing else."""

from __future__ import annotations

import json
import subprocess

from connections import Watched, hanging_server, needs_strace
from platforms import CLI
from recorded import told

from lakehouse.postgres import ready


@needs_strace
def test_a_run_connects_to_postgres_alone_whatever_lineage_server_is_set(platform, tmp_path):
    platform.sample("--batches", "2", "--scale", "0.02", "--seed", "4")
    watched = Watched(tmp_path)
    with hanging_server() as (port, taken), ready(platform.settings):  # Postgres' own processes stay out of the trace
        process = subprocess.Popen(
            [*watched.command, str(CLI), "run", "--json", "--quiet", "--accept-stale"],
            env={**platform.environment, **watched.variables, "OPENLINEAGE_URL": f"http://127.0.0.1:{port}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        said, complaints = process.communicate(timeout=250)
        assert process.returncode == 0, said + complaints
        assert len(told(platform, json.loads(said)["run_id"])) == 16, "the run was told to lineage, in the outbox"
        assert watched.elsewhere(platform, process.pid) == []
        assert len(taken) == 1, "only our own try"
