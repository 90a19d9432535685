"""The supervisor of ``lakehouse up``: starts in order, starts again what dies or hangs, leaves no orphan."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lakehouse.code_version import code_version
from lakehouse.errors import BusyError, LakehouseError, UnavailableError
from lakehouse.services import child, record, supervisor
from lakehouse.services.house import House
from lakehouse.services.processes import Service, services, workspace_text
from lakehouse.services.supervisor import Supervisor
from lakehouse.services.taken_ports import require_ports
from lakehouse.settings import Settings

LISTEN = """
import socket, subprocess, sys, time
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=False)
print("grandchild", child.pid, flush=True)
while True:
    connection, _ = s.accept()
    connection.sendall(b"!")
    connection.close()
"""

QUIET = """
import multiprocessing, socket, sys
event = multiprocessing.get_context("spawn").Event()  # starts the resource tracker, as the first run does
s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1]))); s.listen()
while True:
    connection, _ = s.accept()
    connection.sendall(b"!")
    connection.close()
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _listener(name: str, program: str = LISTEN, **more) -> Service:
    port = _free_port()
    return Service(name, (sys.executable, "-c", program, str(port)), port=port, **more)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _wait_until(condition, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


class Neighbours(House):
    """A house whose services are asked by a connection: one that works says something."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        self.said: list[str] = []
        self.alerts: list[str] = []
        self.trouble: list[Exception] = []
        self.ports = ports
        self.checkout = folder / "checkout"
        self.looks = 0
        self.told_database = 0
        super().__init__(Settings(_env_file=None, data_dir=folder), self.said.append)

    def probe(self, service, pid, since):
        def ask() -> None:
            if self.trouble:
                raise self.trouble.pop()
            try:
                with socket.create_connection(("127.0.0.1", self.ports[service]), timeout=1) as connection:
                    assert connection.recv(1) == b"!"
            except OSError as error:
                raise UnavailableError(f"It does not answer: {error}") from error

        return ask

    def database_works(self) -> bool:
        return True

    def code_version(self) -> int:
        self.looks += 1
        return code_version(self.checkout)

    def change_code(self) -> None:
        model = self.checkout / "dbt_project" / "models" / "mart.sql"
        model.parent.mkdir(parents=True, exist_ok=True)
        model.write_text(f"select {self.looks}")

    def look_again(self) -> None:
        """Wait until the supervisor has looked at the code twice more."""
        seen = self.looks
        _wait_until(lambda: self.looks >= seen + 2)

    def _in_state(self, work) -> None:
        self.told_database += 1

    def alert(self, service: str, message: str) -> None:
        self.alerts.append(message)

    def resolve(self, service: str) -> None:
        self.alerts.clear()

    def pid(self, service: str) -> int | None:
        return next(item["pid"] for item in record._stored(self._settings)["services"] if item["name"] == service)


@pytest.fixture
def service(request):
    program = getattr(request, "param", None)
    return _listener("web", program, follows_code=True) if program else _listener("web")


@pytest.fixture
def supervised(tmp_path, service, monkeypatch):
    monkeypatch.setattr(supervisor, "CODE_LOOK_SECONDS", 0.2)
    house = Neighbours(tmp_path, {"web": service.port})
    running = Supervisor([service], os.environ, house)
    running.start()
    yield running, service, house
    running.request_stop()
    running.stop()


@pytest.fixture
def watching(supervised):
    thread = threading.Thread(target=supervised[0].watch)
    thread.start()
    yield supervised
    supervised[0].request_stop()
    thread.join()


def _grandchild(house: Neighbours) -> int:
    log = house.log_file("web")
    _wait_until(lambda: "grandchild" in log.read_text())
    return int(log.read_text().split()[-1])


def test_a_started_service_works_and_is_recorded(supervised):
    _, service, house = supervised
    socket.create_connection(("127.0.0.1", service.port), timeout=1).close()
    assert house.said == ["web is up"]
    entry = record._stored(house._settings)["services"][0]
    assert (entry["name"], entry["state"], entry["restarts"]) == ("web", "up", 0)
    assert _alive(entry["pid"])


def test_a_question_that_fails_in_an_unforeseen_way_is_asked_again(tmp_path):
    service = _listener("web")
    house = Neighbours(tmp_path, {"web": service.port})
    house.trouble = [ValueError("an answer that makes no sense")]
    running = Supervisor([service], os.environ, house)
    running.start()
    assert (house.trouble, house.said) == ([], ["web is up"])
    running.stop()


def test_what_an_earlier_supervisor_could_not_take_back_is_taken_back(tmp_path, monkeypatch):
    monkeypatch.setattr(supervisor, "STABLE_AFTER_SECONDS", 0.0)
    service = _listener("web")
    house = Neighbours(tmp_path, {"web": service.port})
    house.alerts = ["of an earlier one"]
    running = Supervisor([service], os.environ, house)
    running.start()
    running.stop()
    assert house.alerts == []
    assert house.told_database == 1, "that the disk is not low"
    house.next_care = 0.0
    house.care(time.monotonic())
    assert house.told_database == 1


def test_what_runs_goes_on_though_it_cannot_be_recorded(watching, monkeypatch):
    _, _, house = watching
    former = house.pid("web")

    def full(*_) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(record, "write", full)
    os.kill(former, signal.SIGKILL)
    _wait_until(lambda: "web works again after" in house.said[-1])
    monkeypatch.undo()
    house.tell_record()
    assert house.pid("web") != former


def test_stopping_ends_a_service_and_what_it_started(supervised):
    running, service, house = supervised
    grandchild = _grandchild(house)
    running.stop()
    _wait_until(lambda: not _alive(grandchild))
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", service.port), timeout=1)


def test_a_service_that_is_killed_is_started_again_at_once_and_an_alert_says_so(watching):
    _, _, house = watching
    _grandchild(house)
    former = house.pid("web")
    os.kill(former, signal.SIGKILL)
    _wait_until(lambda: house.alerts == ["The web ended by SIGKILL; it was started again."])
    assert "web ended by SIGKILL; it is started again now" in house.said[1]
    assert "web works again after" in house.said[2]
    assert house.pid("web") != former


def test_a_service_that_dies_again_and_again_is_started_later_each_time(watching):
    _, _, house = watching
    for round_, delay in ((0, "now"), (1, "in 1 s"), (2, "in 3 s")):
        _wait_until(lambda round_=round_: len(house.alerts) == round_, 30)
        before = len(house.said)
        os.kill(house.pid("web"), signal.SIGKILL)
        _wait_until(lambda before=before: len(house.said) > before)
        assert f"it is started again {delay}" in house.said[before]


def test_a_service_that_hangs_is_started_again(watching, monkeypatch):
    _, _, house = watching
    monkeypatch.setattr(supervisor, "HANG_SECONDS", 3.0)
    monkeypatch.setattr(supervisor.Watch.__init__, "__defaults__", (0.2,))
    os.kill(house.pid("web"), signal.SIGKILL)  # its successor is asked every 0.2 s
    _wait_until(lambda: len(house.alerts) == 1)
    former = house.pid("web")
    os.kill(former, signal.SIGSTOP)
    _wait_until(lambda: len(house.alerts) == 2)
    assert "has not worked for 3 s (It does not answer: timed out)" in house.alerts[1]
    assert not _alive(former)


@pytest.mark.parametrize("service", [QUIET], indirect=True, ids=["quiet"])
def test_a_service_whose_code_has_changed_is_started_anew_once_and_nobody_is_alerted(watching):
    _, _, house = watching
    former = house.pid("web")
    _wait_until(lambda: len(list(child.session(former))) == 2)
    house.look_again()
    assert house.pid("web") == former
    house.change_code()
    _wait_until(lambda: "web works again after" in house.said[-1])
    assert house.said[1] == "code has changed: web started anew"
    present = house.pid("web")
    assert present != former
    assert not list(child.session(former)), "what it had started ended with it"
    house.look_again()
    assert (house.pid("web"), len(house.said), house.alerts) == (present, 3, [])


@pytest.mark.parametrize("service", [LISTEN], indirect=True, ids=["with a run"])
def test_a_service_with_a_run_is_started_anew_only_when_the_run_has_ended(watching):
    _, _, house = watching
    former, run = house.pid("web"), _grandchild(house)
    house.look_again()
    house.change_code()
    house.look_again()
    assert (house.pid("web"), house.said) == (former, ["web is up"])
    assert _alive(run)
    os.kill(run, signal.SIGKILL)
    _wait_until(lambda: "web works again after" in house.said[-1])
    assert house.pid("web") != former


def test_a_service_that_does_not_follow_the_code_is_left_alone(watching):
    _, _, house = watching
    house.change_code()
    time.sleep(5 * supervisor.CODE_LOOK_SECONDS)
    assert (house.said, house.looks) == (["web is up"], 0)


def test_a_service_that_needs_another_is_started_after_it(tmp_path):
    first, second = _listener("first"), _listener("second")
    second = Service("second", second.command, port=second.port, after=("first",))
    house = Neighbours(tmp_path, {"first": first.port, "second": second.port})
    running = Supervisor([second, first], os.environ, house)
    running.start()
    assert house.said == ["first is up", "second is up"]
    running.stop()


def test_a_service_that_cannot_start_shows_the_end_of_its_log(tmp_path):
    service = Service("web", (sys.executable, "-c", "raise SystemExit('no such workspace')"), port=_free_port())
    running = Supervisor([service], os.environ, Neighbours(tmp_path, {"web": service.port}))
    with pytest.raises(LakehouseError, match="no such workspace"):
        running.start()
    running.stop()


def test_what_a_killed_supervisor_left_is_ended_by_the_next_one(tmp_path, monkeypatch):
    monkeypatch.setattr(record, "LEFTOVER_SECONDS", 1.0)
    deaf = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + LISTEN
    port = _free_port()
    script = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import os
from pathlib import Path
from test_supervisor import Neighbours, Service, Supervisor
running = Supervisor(
    [Service("web", (sys.executable, "-c", {deaf!r}, "{port}"), port={port})], os.environ,
    Neighbours(Path({str(tmp_path)!r}), {{"web": {port}}}),
)
running.start()
print("started", flush=True)
running.watch()
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert parent.stdout.readline() == "started\n"
    settings = Settings(_env_file=None, data_dir=tmp_path)
    child = record._stored(settings)["services"][0]["pid"]
    grandchild = int((tmp_path / "logs" / "web.log").read_text().split()[-1])
    parent.kill()
    parent.wait()
    time.sleep(0.5)
    assert _alive(child), "it ignores the kernel's SIGTERM"
    began = time.monotonic()
    with record.only_one(settings):
        assert record.end_leftovers(settings) == ["web"]
    assert time.monotonic() - began < record.LEFTOVER_SECONDS + 10
    _wait_until(lambda: not _alive(child) and not _alive(grandchild))


def test_children_end_when_the_supervisor_is_killed(tmp_path):
    script = f"""
import os
from pathlib import Path
from lakehouse.services import child
print(child.spawn(("/bin/sleep", "600"), os.environ, Path({str(tmp_path / "log")!r})).pid, flush=True)
os.read(0, 1)
"""
    parent = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    _wait_until(lambda: b"sleep" in Path(f"/proc/{child}/cmdline").read_bytes()[:20])
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
    processes = services(settings, Path("workspace.yaml"), lineage=False)
    assert [service.name for service in processes] == ["code server", "webserver", "worker", "daemon"]
    for service in processes[:2]:
        assert service.command[service.command.index("--host") + 1] == "127.0.0.1"
    assert "port: 4266" in workspace_text(settings)
