"""Backups: whole or not there, all parts of one moment, and proof of it."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

import pytest
from platforms import CLI, Platform

from lakehouse import postgres
from lakehouse.duckdb.lock import exclusive


@pytest.fixture
def built(original):
    return original


def backup(platform: Platform, *args: str, **variables: str) -> dict:
    done = platform.call("backup", "--json", *args, **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_backup_counts_what_the_platform_holds_and_lists_the_raw_files(built):
    made = backup(built)
    folder = Path(made["backup"])
    assert folder.parent == built.home / "backups"
    assert folder.stat().st_mode & 0o077 == 0, "only its owner reads a backup"
    rows = {name: part["rows"] for name, part in made["parts"].items()}
    assert rows["warehouse"]["curated.dim_batch"] == 2
    assert rows["state"]["data_platform.ingestion_runs"] == len(list(built.drop_zone.glob("*.parquet")))
    assert rows["state"]["public.runs"] >= 1
    assert (
        rows["marts"]["marts.mart_bioreactor_overview"]
        == built.query("select count(*) as n from marts.mart_bioreactor_overview")[0]["n"]
    )
    assert made["raw_files"] == len(list(built.drop_zone.glob("*.parquet")))
    assert made["versions"]["lakehouse"] == "0.1.0"


def test_no_password_and_no_key_is_in_a_backup(built):
    folder = Path(backup(built)["backup"])
    passwords = [line.rsplit(":", 1)[1] for line in (built.home / "postgres" / "pgpass").read_text().splitlines()]
    for file in folder.iterdir():
        content = file.read_bytes()
        assert not any(password.encode() in content for password in passwords), file


def test_keep_deletes_all_but_the_newest(built, tmp_path):
    names = []
    for _ in range(3):
        names.append(Path(backup(built, str(tmp_path), "--keep", "2")["backup"]).name)
        time.sleep(1.1)
    assert sorted(path.name for path in tmp_path.iterdir() if not path.name.startswith(".")) == names[1:]


def test_keep_never_deletes_the_one_just_made_though_the_clock_was_set_back(built, tmp_path):
    first = Path(backup(built, str(tmp_path))["backup"])
    first.rename(tmp_path / "2999-01-31T02-30-00Z")
    made = Path(backup(built, str(tmp_path), "--keep", "1")["backup"])
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith(".")] == [made.name]


def test_verify_finds_a_changed_byte_a_missing_file_and_says_which(built, tmp_path):
    folder = Path(backup(built, str(tmp_path))["backup"])
    assert built.call("backup", "--verify", str(folder)).returncode == 0
    dump = folder / "state.dump"
    content = bytearray(dump.read_bytes())
    content[len(content) // 2] ^= 1
    dump.write_bytes(content)
    (folder / "marts.dump").unlink()
    done = built.call("backup", "--verify", str(folder))
    assert done.returncode == 3
    assert "state.dump (state) has another checksum" in done.stderr
    assert "marts.dump (marts) is missing" in done.stderr
    assert "warehouse" not in done.stderr
    refused = built.call("restore", "--force", str(folder))
    assert refused.returncode == 3
    assert "is damaged" in refused.stderr


def test_a_backup_waits_for_the_step_that_writes_and_names_it(built, tmp_path):
    child = [str(CLI), "backup", str(tmp_path)]
    with exclusive(built.settings.warehouse, "dbt_curated_models, run 12345678", timeout=5):
        refused = built.call("backup", str(tmp_path), LAKEHOUSE_LOCK_TIMEOUT_SECONDS="0.5")
        assert refused.returncode == 5
        assert "dbt_curated_models, run 12345678" in refused.stderr
        assert not [path for path in tmp_path.iterdir() if path.name != ".lock"]
        waiting = subprocess.Popen(child, env=built.environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
        said = next(line for line in waiting.stderr if b"waiting" in line).decode()
        assert waiting.poll() is None
    waiting.communicate(timeout=60)
    assert waiting.returncode == 0
    assert "waiting for the warehouse: dbt_curated_models, run 12345678" in said


def test_a_full_disk_leaves_no_backup_and_says_so(built, tmp_path):
    limited = ["prlimit", "--fsize=300000", str(CLI), "backup", str(tmp_path)]
    with postgres.ready(built.settings):  # the server is not to be limited
        done = subprocess.run(limited, env=built.environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "no space left" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [".lock"]


def test_a_killed_backup_leaves_nothing_that_looks_like_one_and_the_next_clears_it_away(built, tmp_path):
    (tmp_path / ".partial-2026-01-01T00-00-00Z").mkdir()
    (tmp_path / ".partial-2026-01-01T00-00-00Z" / "manifest.json").write_text("{}")
    made = Path(backup(built, str(tmp_path))["backup"])
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", made.name]


def test_a_folder_of_backups_is_not_a_backup_and_the_message_names_them(built, tmp_path):
    made = Path(backup(built, str(tmp_path))["backup"])
    done = built.call("backup", "--verify", str(tmp_path))
    assert done.returncode == 3
    assert made.name in done.stderr
