"""A vacuum that the server started by itself must not hold up a publication."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from mart_project import MART

if TYPE_CHECKING:
    from mart_project import MartProject


def test_a_running_autovacuum_gives_way_to_a_publication(project: MartProject) -> None:
    sql = "select i as id, {{ var('version') }} as version from range(200000) as r (i)"
    project.model(sql, mode="swap")
    project.publish(version=1)
    # A vacuum that would take minutes: it sleeps after every page.
    slow = "autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1, autovacuum_vacuum_threshold = 1"
    try:
        project.sql("alter system set autovacuum_naptime = '1s'", "select pg_reload_conf()")
        project.sql(f"alter table {MART} set ({slow}, autovacuum_vacuum_scale_factor = 0)")
        project.sql(f"delete from {MART} where id % 2 = 0")
        deadline = time.monotonic() + 60
        while not project.sql(f"select 1 from pg_stat_progress_vacuum where relid = '{MART}'::regclass"):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        began = time.monotonic()
        assert project.publish(version=2) == "PUBLISHED 200000"
        assert time.monotonic() - began < 60
        assert project.sql(f"select distinct version from {MART}") == [(2,)]
    finally:
        project.sql("alter system reset autovacuum_naptime", "select pg_reload_conf()")
