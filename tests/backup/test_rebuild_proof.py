"""``lakehouse rebuild --from-lake``: equal to the original, value by value; without a gap; after any kill."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import psycopg2
import pytest
from contents import differences, everything
from lives import live
from platforms import CLI, Platform, a_platform

from lakehouse import postgres
from lakehouse.postgres import connect
from lakehouse.postgres.home import locate

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600)]
REBUILD = ("rebuild", "--from-lake", "--yes", "--json")


@pytest.fixture(scope="module")
def lived() -> Iterator[Platform]:
    with a_platform() as made:
        made.variables["LAKEHOUSE_ACCEPT_STALE"] = "true"
        live(made)
        with postgres.ready(made.settings):
            made.then = everything(made.settings, runs=False)
        made.alerts_then = sorted((alert["kind"], alert["subject"], alert["message"]) for alert in made.alerts())
        yield made


def now(platform: Platform) -> dict:
    with postgres.ready(platform.settings):
        return everything(platform.settings, runs=False)


def rebuild(platform: Platform, *args: str) -> str:
    done = platform.call(*REBUILD, *args)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stderr


@contextlib.contextmanager
def reading(platform: Platform) -> Iterator[list[str]]:
    """Someone who asks the mart all the time; yields what went wrong for them."""
    faults: list[str] = []
    answers = [0]
    ended = threading.Event()
    url = connect.bi_url(platform.settings)
    held = len(platform.then["table marts.mart_bioreactor_overview"][-1])

    def poll() -> None:
        with contextlib.closing(connect.connect(url, what="marts")) as connection, connection.cursor() as cursor:
            connection.autocommit = True
            while not ended.is_set():
                try:
                    cursor.execute("SELECT count(*) FROM marts.mart_bioreactor_overview")
                    if (found := cursor.fetchone()[0]) != held:
                        faults.append(f"{found} rows instead of {held}")
                    answers[0] += 1
                except psycopg2.Error as error:
                    faults.append(str(error))
                    return

    thread = threading.Thread(target=poll)
    with postgres.embedded.running(platform.settings):
        thread.start()
        try:
            yield faults
        finally:
            ended.set()
            thread.join()
    assert answers[0] > 100


def test_a_life_leaves_every_kind_of_file_and_what_they_gave(lived):
    rows = lived.then["data_platform.ingestion_runs"]
    statuses = {(row["file_key"].rpartition("/")[2], row["status"]) for row in rows}
    assert statuses >= {
        *{("B001.parquet", "superseded"), ("B001.parquet", "accepted"), ("B002.parquet", "missing")},
        *{("B003.parquet", "missing"), ("B003.parquet", "quarantined"), ("broken.parquet", "quarantined")},
        *{("M1.parquet", "missing"), ("half.parquet", "accepted")},
    }
    batches = {row[0] for row in lived.then["warehouse curated.dim_batch"][1]}
    assert batches == {"B001", "B002", "B003", "B011", "B012", "B013", "B020"}


def test_everything_rebuilt_equals_the_original_and_readers_see_no_gap(lived):
    with reading(lived) as faults:
        rebuild(lived)
    assert faults == []
    assert differences(now(lived), lived.then) == []
    alerts = sorted((alert["kind"], alert["subject"], alert["message"]) for alert in lived.alerts())
    assert alerts == lived.alerts_then
    result = lived.status_of(lived.run())
    assert set(result.values()) == {"unchanged"}, "nothing is left to do"


def test_a_rebuild_killed_at_any_moment_is_finished_by_the_next(lived):
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for _ in range(4):
        child = subprocess.Popen(
            [str(CLI), *REBUILD], env=lived.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(chance.uniform(1.0, 16.0))
        child.send_signal(signal.SIGKILL)
        child.wait()
    rebuild(lived)
    assert differences(now(lived), lived.then) == []
    assert not [path.name for path in lived.drop_zone.iterdir() if path.name in {"B002.parquet", "M1.parquet"}]


def test_with_state_warehouse_and_the_database_itself_gone_all_data_comes_back(lived):
    rest = {name: value for name, value in lived.then.items() if name.startswith(("warehouse", "data_platform"))}
    mart = lived.then["table marts.mart_bioreactor_overview"][-1]
    cluster = locate(lived.settings).cluster
    (cluster / "global" / "pg_control").write_bytes(b"\0" * 8192)
    shutil.rmtree(lived.home / "dagster")
    shutil.rmtree(lived.home / "dbt")
    lived.settings.warehouse.write_bytes(b"not a warehouse")
    refused = lived.call(*REBUILD)
    assert refused.returncode == 1
    assert "--discard-postgres" in refused.stderr
    rebuild(lived, "--discard-postgres")
    found = now(lived)
    assert differences({name: found[name] for name in rest}, rest) == []
    assert differences({"mart": found["table marts.mart_bioreactor_overview"][-1]}, {"mart": mart}) == []
