"""A lineage server that hangs never meets the worker: what it executes and maps connects to Postgres alone."""

from __future__ import annotations

import pytest
from connections import Watched, hanging_server, needs_strace
from working import until, working

TOLD = """
select job, type from data_platform.lineage_outbox where kind = 'run' and order_key = %s order by event_id
"""


@needs_strace
@pytest.mark.prove
@pytest.mark.timeout(400)
def test_the_worker_connects_to_postgres_alone_whatever_lineage_server_is_set(platform, tmp_path):
    watched = Watched(tmp_path)
    with (
        hanging_server() as (port, taken),
        working(platform, watched=watched, OPENLINEAGE_URL=f"http://127.0.0.1:{port}") as worker,
    ):
        worker.drop("A001")
        worker.wait_for("A001", seconds=200)
        until(lambda: worker.beat()[:4] == ("idle", 1, 0, 1), 60, "the report of the run")
        [(run_id, status)] = worker.runs()
        assert status == "SUCCESS"
        until(lambda: worker.ask(TOLD, run_id), 60, "its events in the outbox")
        told = worker.ask(TOLD, run_id)
        assert (told[0][1], told[-1][1], len(told)) == ("START", "COMPLETE", 16)
        assert worker.stop(60) == 0, worker.text
        assert watched.elsewhere(platform, worker.process.pid) == []
        assert len(taken) == 1, "only our own try"
