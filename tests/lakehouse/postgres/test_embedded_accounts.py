"""Which account runs the embedded server, and where its files may lie: root, ordinary users, private homes."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

import pytest
from postgres_servers import count, make_settings

from lakehouse.errors import ConfigError
from lakehouse.postgres import binaries, connect, embedded
from lakehouse.postgres import home as homes
from lakehouse.postgres.service_user import Account

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root steps down to another account")


@needs_root
def test_root_runs_the_server_as_an_unprivileged_account(settings):
    with embedded.running(settings):
        owner = Path(f"/proc/{embedded.status(settings).pid}").stat().st_uid
        assert owner != 0
        assert homes.locate(settings).cluster.stat().st_uid == owner
        assert homes.passfile(settings).stat().st_uid == 0


@needs_root
def test_a_private_home_keeps_its_mode_and_the_cluster_goes_to_the_shared_root(data, shared_root):
    private = data / "root"
    private.mkdir(mode=0o700)
    settings = make_settings(private / "checkout" / "data")
    with embedded.running(settings):
        assert count(connect.state_url(settings), "SELECT 1") == 1
        home = homes.locate(settings)
        assert home.path.is_relative_to(shared_root)
        assert home.passfile == settings.data_path / "postgres" / "pgpass"
    assert private.stat().st_mode & 0o777 == 0o700
    with embedded.running(settings):
        assert homes.locate(settings) == home


@needs_root
def test_a_deleted_data_folder_does_not_come_back_with_its_old_database(data, shared_root):
    import shutil

    private = data / "root"
    private.mkdir(mode=0o700)
    settings = make_settings(private / "data")
    with embedded.running(settings):
        count(connect.state_url(settings), "CREATE TABLE old AS SELECT 1")
    shutil.rmtree(settings.data_path)
    with embedded.running(settings):
        assert count(connect.state_url(settings), "SELECT to_regclass('old')") is None
    assert len(list(shared_root.glob("*/postgres.orphan-*"))) == 1


@needs_root
def test_a_moved_private_data_folder_is_told_how_to_find_its_database(data, shared_root):
    private = data / "root"
    private.mkdir(mode=0o700)
    settings = make_settings(private / "data")
    with embedded.running(settings):
        pass
    (private / "data").rename(private / "moved")
    with pytest.raises(ConfigError, match="was moved or copied") as caught:
        homes.locate(make_settings(private / "moved"))
    subprocess.run(caught.value.remedy.split("`")[1], shell=True, check=True)
    moved = make_settings(private / "moved")
    with embedded.running(moved):
        assert count(connect.state_url(moved), "SELECT 1") == 1


@needs_root
def test_programs_in_a_private_home_are_copied_to_where_the_account_can_run_them(data, shared_root, monkeypatch):
    import shutil

    source = binaries.find().parent
    private = data / "root"
    private.mkdir(mode=0o700)
    site = private / "site-packages"
    shutil.copytree(source, site / binaries.WHEEL / binaries.INSTALL, ignore=shutil.ignore_patterns("include", "*.a"))
    shutil.copytree(source.parent.parent / f"{binaries.WHEEL}.libs", site / f"{binaries.WHEEL}.libs")
    monkeypatch.setattr(binaries, "find", lambda: site / binaries.WHEEL / binaries.INSTALL / "bin")
    old = os.umask(0o077)
    try:
        settings = make_settings(private / "data")
        with embedded.running(settings):
            program = Path(f"/proc/{embedded.status(settings).pid}/exe").readlink()
            assert program.is_relative_to(shared_root / f"pgsql-{binaries.version(source / 'bin')}")
    finally:
        os.umask(old)


def as_nobody(work) -> str:
    """Run ``work`` as the user nobody in a fork (this interpreter may be out of that user's reach); what it returns."""
    import psycopg2  # noqa: F401  # nobody may be unable to import it later

    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        said = "the child failed"
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            said = work()
        except Exception as error:
            said = repr(error)
        finally:
            os.write(writer, said.encode())
            os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    with os.fdopen(reader, encoding="utf-8") as pipe:
        return pipe.read()


@needs_root
def test_an_ordinary_user_runs_the_server_as_itself(data, shared_root, monkeypatch):
    folder = data / "theirs"
    folder.mkdir(mode=0o700)
    os.chown(folder, 65534, 65534)
    programs = binaries.for_account(Account("nobody", 65534, 65534))
    monkeypatch.setattr(binaries, "find", lambda: programs)
    settings = make_settings(folder / "data")

    def work():
        with embedded.running(settings):
            owner = Path(f"/proc/{embedded.status(settings).pid}").stat().st_uid
            return f"{owner} {count(connect.state_url(settings), 'SELECT current_user')}"

    assert as_nobody(work) == "65534 lakehouse_writer"


@needs_root
def test_the_database_of_another_user_is_refused_by_name(data):
    settings = make_settings(data / "data")
    with embedded.running(settings):
        pass

    def work():
        with contextlib.suppress(KeyError), embedded.running(settings):
            return "it was used"
        return "no error"

    assert f"The lock {data}/data/postgres/users.lock belongs to another user." in as_nobody(work)
