"""The supervisor of ``lakehouse up``: starts in order, restarts what dies, leaves no orphan, names taken ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lakehouse.errors import BusyError, LakehouseError
from lakehouse.services.processes import Service, services, workspace_text
from lakehouse.services.supervisor import Supervisor, require_ports
from lakehouse.settings import Settings

LISTEN = """
import socket, subprocess, sys, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=False)
print("grandchild", child.pid, flush=True)
time.sleep(600)
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _listener(name: str) -> Service:
    port = _free_port()
    return Service(name, (sys.executable, "-c", LISTEN, str(port)), port=port)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _wait_until(condition, seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture
def supervised(tmp_path):
    said: list[str] = []
    service = _listener("web")
    supervisor = Supervisor([service], os.environ, tmp_path, said.append)
    supervisor.start()
    yield supervisor, service, said, tmp_path
    supervisor.request_stop()
    supervisor.stop()


def _grandchild(logs: Path) -> int:
    log = logs / "web.log"
    _wait_until(lambda: "grandchild" in log.read_text())
    return int(log.read_text().split()[-1])


def test_a_started_service_answers_on_its_port(supervised):
    _, service, said, _ = supervised
    socket.create_connection(("127.0.0.1", service.port), timeout=1).close()
    assert said == ["web is up"]


def test_stopping_ends_a_service_and_what_it_started(supervised):
    supervisor, service, _, logs = supervised
    grandchild = _grandchild(logs)
    supervisor.stop()
    _wait_until(lambda: not _alive(grandchild))
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", service.port), timeout=1)


def test_a_service_that_is_killed_is_started_again(supervised):
    supervisor, _service, said, logs = supervised
    thread = threading.Thread(target=supervisor.watch)
    thread.start()
    _grandchild(logs)
    pid = supervisor._running["web"].pid
    os.kill(pid, signal.SIGKILL)
    _wait_until(lambda: "web restarted" in said)
    assert any("ended with code -9; again in 1 s" in text for text in said)
    _wait_until(lambda: supervisor._running["web"].pid != pid)
    supervisor.request_stop()
    thread.join()


def test_a_service_that_cannot_start_shows_the_end_of_its_log(tmp_path):
    service = Service("web", (sys.executable, "-c", "raise SystemExit('no such workspace')"), port=_free_port())
    supervisor = Supervisor([service], os.environ, tmp_path, lambda _: None)
    with pytest.raises(LakehouseError, match="no such workspace"):
        supervisor.start()
    supervisor.stop()


def test_children_end_when_the_supervisor_is_killed(tmp_path):
    port = _free_port()
    script = f"""
import os, sys, time
from pathlib import Path
from lakehouse.services.processes import Service
from lakehouse.services.supervisor import Supervisor
service = Service("web", (sys.executable, "-c", {LISTEN!r}, "{port}"), port={port})
supervisor = Supervisor([service], os.environ, Path({str(tmp_path)!r}), lambda text: None)
supervisor.start()
print(supervisor._running["web"].pid, flush=True)
supervisor.watch()
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    _wait_until(lambda: not _alive(child))


def test_every_taken_port_is_named_with_its_holder_and_the_variable_that_moves_it():
    with socket.socket() as one, socket.socket() as two:
        ports = []
        for holder in (one, two):
            holder.bind(("127.0.0.1", 0))
            holder.listen()
            ports.append(holder.getsockname()[1])
        wanted = [Service("webserver", ("x",), port=ports[0]), Service("code server", ("x",), port=ports[1])]
        with pytest.raises(BusyError) as error:
            require_ports(
                wanted, {"webserver": "LAKEHOUSE_WEBSERVER_PORT", "code server": "LAKEHOUSE_CODE_SERVER_PORT"}
            )
    text = str(error.value)
    for port in ports:
        assert f"port {port}" in text
    assert f"(process {os.getpid()})" in text
    assert "LAKEHOUSE_WEBSERVER_PORT=" in text
    assert "LAKEHOUSE_CODE_SERVER_PORT=" in text


def test_services_listen_on_the_loopback_interface_only():
    settings = Settings(_env_file=None)
    processes = services(settings, Path("workspace.yaml"))
    assert [service.name for service in processes] == ["code server", "webserver", "daemon"]
    for service in processes[:2]:
        assert service.command[service.command.index("--host") + 1] == "127.0.0.1"
    assert "port: 4266" in workspace_text(settings)
