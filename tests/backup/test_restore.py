"""Restoring: refusals before anything is touched, and everything as it was afterwards."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from contents import everything
from lives import ask
from platforms import CLI, Platform

from lakehouse import postgres
from lakehouse.postgres import connect, embedded


def restore(platform: Platform, *args: str) -> dict:
    done = platform.call("restore", "--json", *args)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def drop_batch(platform: Platform, name: str) -> None:
    """A file with another batch."""
    frame = pd.read_parquet(sorted(platform.drop_zone.glob("*.parquet"))[0]).assign(batch_id=name)
    frame.to_parquet(platform.drop_zone / f"{name}.parquet")


def now(platform: Platform):
    with postgres.ready(platform.settings):
        return everything(platform.settings)


def test_restoring_over_a_platform_that_went_on_brings_every_value_back(original):
    drop_batch(original, "B900")
    original.run()
    with postgres.ready(original.settings):
        ask(original, "DROP VIEW reports.hottest; CREATE VIEW reports.later AS TABLE marts.mart_bioreactor_overview")
    assert now(original) != original.then
    refused = original.call("restore", str(original.backup))
    assert refused.returncode == 2
    assert "not empty: it has a warehouse, a ledger, published marts" in refused.stderr
    done = restore(original, "--force", str(original.backup))
    found = now(original)
    assert found.pop("view reports.later"), "what others made since stays"
    assert found == original.then
    assert Path(done["safety_copy"]).name.endswith("-before-restore")
    assert original.call("backup", "--verify", done["safety_copy"]).returncode == 0
    with postgres.ready(original.settings):
        ask(original, "DROP VIEW reports.later")


def test_an_empty_platform_gets_everything_and_an_unchanged_lake_then_does_no_work(original):
    data = original.home
    embedded.stop(original.settings, force=True)
    aside = data.with_name("aside")
    aside.mkdir()
    (data / "lake").rename(aside / "lake")
    original.backup.parent.rename(aside / "backups")
    shutil.rmtree(data)
    data.mkdir()
    (aside / "lake").rename(data / "lake")
    (aside / "backups").rename(data / "backups")
    # The lake is as it was when the backup was made: what came later goes.
    held = {row["file_key"] for row in json.loads((original.backup / "manifest.json").read_text())["raw_files"]}
    for path in original.drop_zone.glob("*.parquet"):
        if f"raw/bioreactor/{path.name}" not in held:
            path.unlink()
    done = restore(original, str(original.backup))
    assert done["safety_copy"] is None
    assert done["roles_created"] == ["analyst"]
    assert now(original) == original.then


def test_a_view_that_does_not_fit_what_comes_back_is_named_and_nothing_is_changed(original):
    with postgres.ready(original.settings):
        ask(original, "ALTER TABLE marts.mart_bioreactor_overview ADD COLUMN later int")
        ask(original, "CREATE VIEW reports.newer AS SELECT later FROM marts.mart_bioreactor_overview")
    before = now(original)
    done = original.call("restore", "--force", "--no-safety-copy", str(original.backup))
    assert done.returncode == 1
    assert "later" in done.stderr
    assert original.call("status").returncode == 0, "nothing was cut off"
    assert now(original) == before
    with postgres.ready(original.settings):
        ask(original, "DROP VIEW reports.newer")
    restore(original, "--force", "--no-safety-copy", str(original.backup))
    assert now(original) == original.then


def test_a_restore_is_refused_while_something_works_on_the_platform_and_names_it(original):
    with postgres.ready(original.settings):
        refused = original.call("restore", "--force", str(original.backup))
    assert refused.returncode == 5
    assert f"process {os.getpid()}" in refused.stderr


def test_a_session_of_another_host_is_found_in_the_state_database(original):
    with embedded.running(original.settings):
        url = connect.state_url(original.settings) + "&application_name=worker-on-host-b"
        with contextlib.closing(connect.connect(url, what="state")):
            refused = original.call("restore", "--force", str(original.backup))
    assert refused.returncode == 5
    assert "worker-on-host-b" in refused.stderr


def test_a_restore_that_was_cut_off_stops_everything_else_and_is_finished_by_the_next(original):
    child = subprocess.Popen(
        [str(CLI), "restore", "--force", "--no-safety-copy", str(original.backup)],
        env=original.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 30
    while not (original.home / "operation.json").exists():
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.001)
    child.send_signal(signal.SIGKILL)
    child.wait()
    stopped = original.call("status")
    assert stopped.returncode == 1
    assert f"lakehouse restore {original.backup}" in stopped.stderr
    restore(original, str(original.backup))
    assert now(original) == original.then
    assert original.call("status").returncode == 0


@pytest.mark.parametrize("part", ["versions", "migrations"])
def test_a_backup_of_a_newer_platform_is_refused(original, tmp_path, part):
    copy = tmp_path / "newer"
    shutil.copytree(original.backup, copy)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["versions" if part == "versions" else "migrations"]["lakehouse" if part == "versions" else "state"] = (
        "9999"
    )
    (copy / "manifest.json").write_text(json.dumps(manifest))
    done = original.call("restore", "--force", str(copy))
    assert done.returncode == 3
    assert "newer platform" in done.stderr
    assert "9999" in done.stderr


@pytest.mark.prove
def test_after_a_restore_files_that_are_gone_from_the_lake_are_named_and_a_run_works(original):
    gone = sorted(original.drop_zone.glob("*.parquet"))[0]
    content = gone.read_bytes()
    gone.unlink()
    done = restore(original, "--force", "--no-safety-copy", str(original.backup))
    assert done["raw_files_missing"] == [f"raw/bioreactor/{gone.name}"]
    assert original.run()["success"]
    gone.write_bytes(content)
    restore(original, "--force", "--no-safety-copy", str(original.backup))
    result = original.status_of(original.run())
    assert result["mart_bioreactor_overview"] == "unchanged"
