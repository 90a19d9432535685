"""The system clock set back: order goes by sequence, so nothing is lost, doubled or overwritten by something older."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from figures import SMALL

from orchestration import arrivals

SERVED = "select batch_id, sum(reading_count)::bigint as n from marts.mart_bioreactor_overview group by 1 order by 1"


LIBRARY = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/time.h>
#include <time.h>
#define BACK (3 * 86400)
int clock_gettime(clockid_t id, struct timespec *at) {
  int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
  int failed = real(id, at);
  if (!failed && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) at->tv_sec -= BACK;
  return failed;
}
int gettimeofday(struct timeval *at, void *zone) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec;
  at->tv_usec = now.tv_nsec / 1000;
  return 0;
}
time_t time(time_t *at) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
"""


@pytest.fixture
def back() -> Iterator[dict[str, str]]:
    """Variables that set the wall clock of a process and of all it starts back by three days.

    A library of our own: faketime breaks sleeping on the monotonic clock, which stays as it is.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler to make the library that sets the clock back")
    folder = Path(tempfile.mkdtemp(prefix="lakehouse-clock-"))
    folder.chmod(0o755)  # the embedded server's account reads it too
    source, library = folder / "back.c", folder / "back.so"
    source.write_text(LIBRARY)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    yield {"LD_PRELOAD": str(library)}
    shutil.rmtree(folder)


def _readings(platform, name: str, rows: int) -> None:
    whole = pd.read_parquet(sorted(platform.drop_zone.glob("*.parquet"))[0])
    whole.head(rows).assign(batch_id=name).to_parquet(platform.drop_zone / f"{name}.parquet", index=False)


def test_files_that_arrive_after_the_clock_was_set_back_replace_what_came_before(platform, back):
    platform.sample(*SMALL)
    _readings(platform, "B900", 90)
    platform.run()
    before = {row["batch_id"]: row["n"] for row in platform.query(SERVED)}
    assert before["B900"] == 90

    _readings(platform, "B900", 60)  # replaced
    _readings(platform, "B901", 30)  # new
    result = platform.run(**back)
    assert platform.status_of(result)["mart_bioreactor_overview"] == "built"
    (seconds,) = platform.state("select max(start_time) - min(start_time) from runs")[0]
    assert timedelta(seconds=seconds) > timedelta(days=2), "the clock of the second run really was behind"
    expected = {**before, "B900": 60, "B901": 30}
    assert {row["batch_id"]: row["n"] for row in platform.query(SERVED)} == expected

    again = platform.status_of(platform.run())
    assert again["raw_bioreactor_data"] == "unchanged"
    assert again["mart_bioreactor_overview"] == "unchanged"
    assert {row["batch_id"]: row["n"] for row in platform.query(SERVED)} == expected
    status = platform.call("status", **back)
    assert status.returncode == 0, status.stdout + status.stderr


@pytest.mark.parametrize(("minutes_ago", "paused"), [(1, True), (9, True), (11, False), (-60, False)])
def test_a_failure_dated_in_the_future_holds_up_no_file(minutes_ago, paused):
    record = SimpleNamespace(create_timestamp=datetime.now(UTC) - timedelta(minutes=minutes_ago), end_time=None)
    assert arrivals._recent(record) is paused
