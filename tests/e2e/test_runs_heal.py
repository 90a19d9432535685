"""A killed run leaves nothing that the next one cannot pick up; two runs at once queue."""

from __future__ import annotations

import os
import signal
import subprocess
import time

from figures import SMALL
from holders import hold
from platforms import CLI


def _waits(platform, holder, *args: str) -> tuple[str, str]:
    """Run a command until it says that it waits, then end the holder: what it said, and its output."""
    child = subprocess.Popen(
        [str(CLI), *args], env=platform.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    said = next(line for line in child.stderr if "Waiting for the warehouse" in line)
    assert child.poll() is None
    holder.kill()
    holder.wait()
    out, err = child.communicate(timeout=120)
    assert child.returncode == 0, err
    return said, out


def test_a_run_waits_for_the_warehouse_and_says_for_whom(platform):
    platform.sample(*SMALL)
    holder = hold(platform, 300)
    said, _ = _waits(platform, holder, "run")
    assert f"Waiting for the warehouse: somebody's backfill (process {holder.pid}" in said


def test_a_query_waits_for_a_writer_and_says_for_whom(platform):
    platform.sample(*SMALL)
    platform.run()
    said, out = _waits(platform, hold(platform, 300), "query", "select count(*) as n from curated.dim_batch")
    assert "Waiting for the warehouse: somebody's backfill" in said
    assert "3" in out


def test_a_killed_run_is_failed_by_the_next_one_which_succeeds(platform):
    platform.sample("--batches", "6", "--scale", "0.5")
    holder = hold(platform, 300)
    victim = subprocess.Popen(
        [str(CLI), "run"], env=platform.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    for line in victim.stderr:
        if "Waiting for the warehouse" in line:
            break
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    holder.kill()
    holder.wait()
    began = time.monotonic()
    done = platform.call("run")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "had died and is now marked failed" in done.stderr
    assert time.monotonic() - began < 150, "it waited for nobody: what the dead one held is free"
    assert platform.query("select count(*) as n from curated.dim_batch") == [{"n": 6}]


def test_what_a_killed_run_had_accepted_is_built_also_where_the_drop_zone_was_emptied_meanwhile(platform):
    platform.sample(*SMALL)
    platform.run()
    before = platform.query("select * from marts.mart_bioreactor_overview order by 1, 2, 3, 4")
    platform.sample("--batches", "5", "--scale", "0.05", "--seed", "4")
    holder = hold(platform, 300)
    victim = subprocess.Popen(
        [str(CLI), "run"], env=platform.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    for line in victim.stderr:
        if "Waiting for the warehouse" in line:
            break  # the files are accepted, nothing is built of them
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    holder.kill()
    holder.wait()
    files = list(platform.drop_zone.glob("*.parquet"))
    for file in files:
        file.unlink()

    statuses = platform.status_of(platform.run())
    assert statuses["mart_bioreactor_overview"] == "built"
    mart = platform.query("select * from marts.mart_bioreactor_overview order by 1, 2, 3, 4")
    assert len({row["batch_id"] for row in mart}) == 5 > len({row["batch_id"] for row in before}) == 3
    assert platform.alerts("file_missing") == []

    statuses = platform.status_of(platform.run())
    assert statuses.pop("raw_bioreactor_data") == "empty"
    assert set(statuses.values()) == {"skipped"}
    assert platform.query("select * from marts.mart_bioreactor_overview order by 1, 2, 3, 4") == mart
    assert len(platform.alerts("file_missing")) == len(files)


def test_a_run_that_waits_for_a_killed_one_goes_on(platform):
    platform.sample(*SMALL)
    holder = hold(platform, 300)
    victim = subprocess.Popen(
        [str(CLI), "run"], env=platform.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    for line in victim.stderr:
        if "Waiting for the warehouse" in line:
            break
    waiting = subprocess.Popen(
        [str(CLI), "run"], env=platform.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    for line in waiting.stderr:
        if "raw_bioreactor_data" in line and "rows" in line:
            break  # its next step waits for the first run
    time.sleep(2)
    os.kill(victim.pid, signal.SIGKILL)
    victim.wait()
    holder.kill()
    holder.wait()
    out, err = waiting.communicate(timeout=90)
    assert waiting.returncode == 0, out + err


def test_two_runs_at_once_queue_instead_of_failing(platform):
    platform.sample(*SMALL)
    runs = [
        subprocess.Popen(
            [str(CLI), "run", "--json", "--quiet"],
            env=platform.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    results = [process.communicate(timeout=240) for process in runs]
    assert [process.returncode for process in runs] == [0, 0], results
    assert platform.query("select count(*) as n from curated.dim_batch") == [{"n": 3}]
