"""The life of the embedded server: who starts it, who stops it, what it survives, what it refuses."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from postgres_servers import count, make_settings

from lakehouse.errors import BusyError, ConfigError, LakehouseError
from lakehouse.postgres import binaries, connect, embedded, passfile, ports, server
from lakehouse.postgres import home as homes
from lakehouse.settings import PROJECT_ROOT, Settings


def wait_for(condition, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


def user_process(settings: Settings, body: str, **options: object) -> subprocess.Popen[str]:
    """Another process with the same settings; runs ``body`` within running(settings)."""
    program = f"""
from pathlib import Path
from lakehouse.settings import Settings
from lakehouse.postgres import connect, embedded
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell hands down that it is ignored
settings = Settings(_env_file=None, data_dir=Path({str(settings.data_path)!r}), postgres_port={settings.postgres_port})
with embedded.running(settings):
    print("in", flush=True)
{textwrap.indent(textwrap.dedent(body), "    ")}
print("out", flush=True)
"""
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=PROJECT_ROOT,
        env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
        **options,
    )


def test_the_server_runs_version_18_during_the_block_and_not_after_it(settings):
    with embedded.running(settings):
        assert str(count(connect.state_url(settings), "SHOW server_version")).startswith("18.")
        state = embedded.status(settings)
        assert (state.running, state.in_use, state.port) == (True, True, settings.postgres_port)
    assert not embedded.status(settings).running
    assert ports.listener(settings.postgres_port) is None


def test_nested_users_in_one_process_share_the_server(prepared):
    with embedded.running(prepared):
        first = embedded.status(prepared).pid
        with embedded.running(prepared):
            assert embedded.status(prepared).pid == first
        assert embedded.status(prepared).pid == first


def test_two_processes_share_one_server_and_the_last_one_stops_it(prepared):
    first = user_process(prepared, "input()")
    assert first.stdout.readline() == "in\n"
    pid = embedded.status(prepared).pid
    second = user_process(prepared, "input()")
    assert second.stdout.readline() == "in\n"
    first.communicate("\n")
    assert embedded.status(prepared).pid == pid
    second.communicate("\n")
    assert (first.returncode, second.returncode) == (0, 0)
    assert not embedded.status(prepared).running


def test_many_processes_that_come_and_go_at_once_never_miss_the_server(settings):
    body = "from postgres_servers import count\nassert count(connect.state_url(settings), 'SELECT 41 + 1') == 42"
    users = [
        user_process(settings, f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n{body}")
        for _ in range(6)
    ]
    results = [(user.communicate(timeout=200), user.returncode) for user in users]
    assert [code for _, code in results] == [0] * 6, results
    assert not embedded.status(settings).running


def test_a_killed_user_is_not_counted(prepared):
    killed = user_process(prepared, "input()")
    assert killed.stdout.readline() == "in\n"
    killed.kill()
    killed.wait()
    left_behind = embedded.status(prepared)
    assert (left_behind.running, left_behind.in_use) == (True, False)
    with embedded.running(prepared):
        assert embedded.status(prepared).pid == left_behind.pid
    assert not embedded.status(prepared).running


def test_ctrl_c_in_the_terminal_reaches_the_command_and_not_the_server(prepared):
    with embedded.running(prepared):
        pass  # made beforehand, so that the other process starts it in a moment
    command = user_process(
        prepared,
        """
        import time
        try:
            print("waiting", flush=True)
            time.sleep(30)
        except KeyboardInterrupt:
            from lakehouse.postgres.connect import connect as open_connection
            open_connection(connect.state_url(settings), what="x").close()
            print("still there", flush=True)
        """,
        start_new_session=True,
    )
    assert command.stdout.readline() == "in\n"
    assert command.stdout.readline() == "waiting\n"
    os.killpg(command.pid, signal.SIGINT)
    out, err = command.communicate(timeout=60)
    assert out == "still there\nout\n", err
    assert not embedded.status(prepared).running


def test_a_killed_postmaster_is_healed_by_the_next_user(prepared):
    with embedded.running(prepared):
        count(connect.state_url(prepared), "CREATE TABLE kept AS SELECT 7 AS n")
        old = embedded.status(prepared).pid
        os.kill(old, signal.SIGKILL)
        wait_for(lambda: not server.accepts(prepared.postgres_port))
        with embedded.running(prepared):
            assert embedded.status(prepared).pid != old
            assert count(connect.state_url(prepared), "SELECT n FROM kept") == 7


def test_a_pid_file_from_before_a_reboot_that_names_a_living_process_is_not_believed(prepared):
    with embedded.running(prepared):
        pass
    cluster = homes.locate(prepared).cluster
    lines = [os.getpid(), cluster, int(time.time()), prepared.postgres_port, "", "127.0.0.1", "1 1", "ready"]
    (cluster / "postmaster.pid").write_text("\n".join(map(str, lines)) + "\n")
    assert not embedded.status(prepared).running
    with embedded.running(prepared):
        assert count(connect.state_url(prepared), "SELECT 1") == 1


def test_a_first_start_that_was_killed_midway_leaves_nothing_that_matters(settings):
    home = homes.locate(settings)
    (home.path / "cluster.new" / "base").mkdir(parents=True)
    (home.path / "cluster.new" / "PG_VERSION").write_text("18")
    with embedded.running(settings):
        assert count(connect.state_url(settings), "SELECT 1") == 1
    assert not (home.path / "cluster.new").exists()


def test_a_taken_port_is_reported_with_its_holder_and_a_remedy(settings):
    with socket.socket() as other:
        other.bind(("127.0.0.1", settings.postgres_port))
        other.listen()
        with pytest.raises(BusyError) as caught, embedded.running(settings):
            pass
    assert f"Port {settings.postgres_port}" in str(caught.value)
    assert f"(process {os.getpid()})" in str(caught.value)
    assert "LAKEHOUSE_POSTGRES_PORT=" in caught.value.remedy


def test_a_changed_port_while_the_server_runs_names_the_port_it_runs_on(prepared):
    other = prepared.model_copy(update={"postgres_port": ports.free_port()})
    with embedded.running(prepared):
        with pytest.raises(BusyError, match=f"runs on port {prepared.postgres_port}"), embedded.running(other):
            pass
        assert embedded.status(prepared).running
    with embedded.running(other):
        assert count(connect.state_url(other), "SELECT 1") == 1


def test_a_full_disk_is_refused_before_anything_is_written(settings, monkeypatch):
    monkeypatch.setattr(embedded, "MIN_FREE_BYTES", 10**18)
    with pytest.raises(LakehouseError, match="MB are free on the disk"), embedded.running(settings):
        pass
    assert not homes.locate(settings).cluster.exists()


def test_a_damaged_cluster_is_reported_with_the_end_of_the_server_log(prepared):
    with embedded.running(prepared):
        pass
    (homes.locate(prepared).cluster / "global" / "pg_control").write_bytes(b"\0" * 8192)
    with pytest.raises(LakehouseError) as caught, embedded.running(prepared):
        pass
    assert "does not start. Its log ends with" in str(caught.value)
    assert "FATAL" in str(caught.value) or "PANIC" in str(caught.value)
    assert not embedded.status(prepared).running


def test_a_cluster_of_another_major_version_is_named(prepared):
    with embedded.running(prepared):
        pass
    (homes.locate(prepared).cluster / "PG_VERSION").write_text("16\n")
    with pytest.raises(ConfigError, match="made by PostgreSQL 16; the installed one is 18"), embedded.running(prepared):
        pass


def test_a_missing_wheel_points_to_an_external_server(settings, monkeypatch):
    monkeypatch.setattr(binaries, "WHEEL", "no_such_wheel")
    with pytest.raises(ConfigError) as caught, embedded.running(settings):
        pass
    assert "LAKEHOUSE_STATE_URL and LAKEHOUSE_MARTS_URL" in caught.value.remedy


def test_programs_for_another_machine_point_to_an_external_server(data, monkeypatch):
    (data / "postgres").write_text("not a program")
    (data / "postgres").chmod(0o755)
    with pytest.raises(ConfigError, match="does not run on this machine"):
        binaries.version(data)


def test_lost_passwords_are_replaced_at_the_next_start(prepared):
    with embedded.running(prepared):
        pass
    file = homes.passfile(prepared)
    before = file.read_text()
    file.unlink()
    with embedded.running(prepared):
        assert count(connect.bi_url(prepared).replace("?", "?connect_timeout=3&"), "SELECT 1") == 1
    assert file.read_text() != before
    assert file.stat().st_mode & 0o777 == 0o600


def test_passwords_deleted_while_the_server_runs_are_reported(prepared):
    with embedded.running(prepared):
        homes.passfile(prepared).unlink()
        with pytest.raises(LakehouseError, match="changed or deleted while"), embedded.running(prepared):
            pass


def test_stopping_spares_a_server_in_use_unless_forced(settings):
    assert embedded.stop(settings) is False
    with embedded.running(settings):
        with pytest.raises(BusyError, match="in use"):
            embedded.stop(settings)
        assert embedded.stop(settings, force=True) is True
        assert not embedded.status(settings).running


def test_external_urls_start_nothing(data):
    url = "postgresql://u:p@db.example:5432/x"
    external = make_settings(data / "data", state_url=url, marts_url=url)
    with embedded.running(external):
        assert embedded.status(external).embedded is False
    assert not (data / "data").exists()


def test_threads_share_the_server(prepared):
    seen = []

    def use():
        with embedded.running(prepared):
            seen.append(count(connect.state_url(prepared), "SELECT 1"))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1] * 4
    assert not server.alive(homes.locate(prepared))


def test_a_join_costs_a_fraction_of_a_warm_start(prepared):
    with embedded.running(prepared):
        pass
    started, joined = [], []
    for _ in range(5):  # the best of five: others work on this machine too
        began = time.perf_counter()
        with embedded.running(prepared):
            started.append(time.perf_counter() - began)
            began = time.perf_counter()
            with embedded.running(prepared):
                joined.append(time.perf_counter() - began)
    assert min(joined) < min(started) / 5  # measured: 28 ms and 0.6 ms


def test_passwords_never_appear_in_the_log_or_the_urls(settings):
    with embedded.running(settings):
        passwords = passfile.ensure(homes.passfile(settings)).values()
        urls = connect.state_url(settings) + connect.marts_url(settings) + connect.marts_dsn(settings)
    log = homes.locate(settings).log.read_text()
    assert len(set(passwords)) == 3
    for password in passwords:
        assert password not in log
        assert password not in urls
