"""Backup, restore and rebuild with two external PostgreSQL servers and a lake on MinIO; moving to other servers."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from contents import differences, everything
from lives import live
from object_stores import lake_variables, minio_server
from platforms import Platform, a_platform, free_port

from lakehouse import postgres
from lakehouse.duckdb.extensions import extension_directory
from lakehouse.postgres import embedded, passfile
from lakehouse.settings import Settings

pytestmark = [pytest.mark.prove, pytest.mark.timeout(600)]


@contextlib.contextmanager
def a_server() -> Iterator[dict[str, str]]:
    """A PostgreSQL server of somebody else's; yields URLs with passwords by role."""
    folder = Path(tempfile.mkdtemp(prefix="lakehouse-server-"))
    folder.chmod(0o755)
    made = Settings(_env_file=None, data_dir=folder / "data", postgres_port=free_port())
    try:
        with postgres.ready(made):
            passwords = passfile.ensure(made.data_path / "postgres" / "pgpass")
            yield {
                role: f"postgresql://{role}:{password}@127.0.0.1:{made.postgres_port}"
                for role, password in passwords.items()
            }
    finally:
        embedded.stop(made, force=True)
        shutil.rmtree(folder, ignore_errors=True)


def use(platform: Platform, state: dict[str, str], marts: dict[str, str]) -> None:
    platform.variables |= {
        "LAKEHOUSE_STATE_URL": f"{state[passfile.WRITER]}/lakehouse_state",
        "LAKEHOUSE_MARTS_URL": f"{marts[passfile.WRITER]}/lakehouse",
        "LAKEHOUSE_MARTS_ADMIN_URL": f"{marts[passfile.SUPERUSER]}/lakehouse",
    }


def values(platform: Platform, **options: bool) -> dict:
    with postgres.ready(platform.settings):
        return everything(platform.settings, **options)


def test_two_servers_and_a_lake_on_minio(tmp_path):
    with (
        minio_server(tmp_path) as endpoint,
        a_server() as state,
        a_server() as marts,
        a_server() as other_state,
        a_server() as other_marts,
        a_platform() as platform,
    ):
        platform.variables |= lake_variables(endpoint) | {"LAKEHOUSE_ACCEPT_STALE": "true"}
        use(platform, state, marts)
        live(platform)
        then = values(platform)
        made = platform.call("backup", "--json", str(tmp_path / "backups"))
        assert made.returncode == 0, made.stderr
        folder = json.loads(made.stdout)["backup"]

        done = platform.call("rebuild", "--from-lake", "--yes", "--json")
        assert done.returncode == 0, done.stderr
        found = values(platform, runs=False)
        assert differences(found, {name: then[name] for name in found}) == []

        done = platform.call("restore", "--force", "--no-safety-copy", folder)
        assert done.returncode == 0, done.stderr
        assert values(platform) == then

        # Both servers and the machine are lost: others take their place.
        shutil.rmtree(platform.home)
        extension_directory.cache_clear()  # this process has seen its links
        use(platform, other_state, other_marts)
        done = platform.call("restore", "--json", folder)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["roles_created"] == ["analyst"]
        assert values(platform) == then
        assert platform.run()["success"]
