"""Runs the services of a resolved compose file as native processes on this machine, in the file's order.

Command, environment, health check, order, restart policy, stop signal and grace period are those of the file. What an
engine would isolate is mapped: a service's host name and port to 127.0.0.1 and a free port, a volume to a folder.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import third_party
from dockerfile import ROOT, stages
from platforms import free_port

from lakehouse.postgres.service_user import run_as, service_account

ACCOUNT = {"user": 10001, "group": 10001, "extra_groups": []}
"""The image's USER; only root can become it."""
LOADED = 6
"""A proof may run beside others on all cores: so many grace periods are granted."""


@dataclass
class Stack:
    """The services of one compose file.

    Attributes:
        config: the resolved file.
        image: what is /opt/lakehouse in our image.
        folder: for volumes and logs.
    """

    config: dict[str, Any]
    image: Path
    folder: Path
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    ports: dict[tuple[str, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = "|".join(sorted(self.services, key=len, reverse=True))
        self._address = re.compile(rf"(?<![\w.-])({names}):(\d+)(?=[/\"]|$)")
        for name, port in self._address.findall(json.dumps(self.services)):
            self.ports.setdefault((name, int(port)), free_port())
        for name, body in self.services.items():
            for port in body.get("ports", []):
                self.ports.setdefault((name, port["target"]), free_port())
            environment = body.get("environment") or {}
            for variable, value in environment.items():  # NAME_HOST and NAME_PORT
                port = environment.get(variable.removesuffix("_HOST") + "_PORT")
                if variable.endswith("_HOST") and value in self.services and port:
                    self.ports.setdefault((value, int(port)), free_port())

    @property
    def services(self) -> dict[str, Any]:
        """By name."""
        return self.config["services"]

    # -- what an engine would isolate --------------------------------------------------------------------------------

    def map(self, service: str, text: str) -> str:
        """A word of the file as it must read here."""
        text = self._address.sub(lambda found: f"127.0.0.1:{self.ports[found[1], int(found[2])]}", text)
        for (name, port), here in self.ports.items():
            if name == service:
                text = re.sub(rf"(^|127\.0\.0\.1):{port}(?!\d)", rf"\g<1>:{here}", text)
                text = re.sub(rf"^(--port=){port}$", rf"\g<1>{here}", text)
        for target, source in self.volumes(service).items():
            if text == target or text.startswith(f"{target}/"):
                return str(source) + text.removeprefix(target)
        return text.replace("/opt/lakehouse", str(self.image)).replace("0.0.0.0", "127.0.0.1")

    def volumes(self, service: str) -> dict[str, Path]:
        """Target → folder here."""
        found = {}
        for volume in self.services[service].get("volumes") or []:
            bound = volume["type"] == "bind"
            found[volume["target"]] = Path(volume["source"]) if bound else self.folder / "volumes" / volume["source"]
        return found

    def environment(self, service: str) -> dict[str, str]:
        """Image's and service's variables; of the machine's own nothing but what a container has too."""
        body = self.services[service]
        own = {name: str(value) for name, value in (body.get("environment") or {}).items() if value is not None}
        mapped = {name: self.map(service, value) for name, value in own.items()}
        for name, value in own.items():
            port = own.get(name.removesuffix("_HOST") + "_PORT")
            if name.endswith("_HOST") and value in self.services and port:
                mapped[name] = "127.0.0.1"
                mapped[name.removesuffix("_HOST") + "_PORT"] = str(self.ports[value, int(port)])
        base = {"PATH": os.environ["PATH"], "HOME": str(self.folder / "tmp"), "TMPDIR": str(self.folder / "tmp")}
        if self.ours(service):
            image = {
                name: ":".join(self.map(service, part) for part in value.split(":"))  # PATH is a list
                for name, value in stages()[-1].environment.items()
            }
            base |= image | {"HOME": base["HOME"]}
        elif body["image"].startswith("postgres:"):
            base["PATH"] = f"{third_party.postgres_programs()}:{base['PATH']}"
        else:
            base["PATH"] = f"{third_party.client_folder()}:{base['PATH']}"
        return base | mapped

    def ours(self, service: str) -> bool:
        """Whether it runs our own image."""
        return "build" in self.services[service]

    def command(self, service: str) -> list[str]:
        """Entry point and command, as an engine would join them."""
        body = self.services[service]
        command = [self.map(service, part) for part in body.get("command") or []]
        if body.get("entrypoint"):
            return [self.map(service, part) for part in body["entrypoint"]] + command
        if self.ours(service):
            last = stages()[-1]
            return json.loads(last.last("ENTRYPOINT")) + (command or json.loads(last.last("CMD")))
        environment = self.environment(service)
        if body["image"].startswith("postgres:"):
            port = self.ports[service, 5432]
            return third_party.postgres(command, environment, self.volumes(service)["/var/lib/postgresql"], port)
        return third_party.object_store(command, environment, self.folder)

    # -- life --------------------------------------------------------------------------------------------------------

    def up(self) -> None:
        """Start everything in the order of ``depends_on``, and wait as its conditions say."""
        (self.folder / "tmp").mkdir(mode=0o777)
        (self.folder / "tmp").chmod(0o1777)
        for name in self.order():
            self._make_volumes(name)
            for other, how in self.waits_for(name).items():
                if how["condition"] == "service_completed_successfully":
                    assert self.running[other].wait(120) == 0, f"{other}: {self.log(other)}"
                else:
                    self.wait_healthy(other)
            self.start(name)
        for name in self.staying():
            self.wait_healthy(name)

    def waits_for(self, name: str) -> dict[str, Any]:
        """Other services and their conditions, without those it can do without and that no profile has brought in."""
        wanted = self.services[name].get("depends_on") or {}
        return {other: how for other, how in wanted.items() if how["required"] or other in self.services}

    def order(self) -> list[str]:
        """Every service after those it depends on."""
        found: list[str] = []

        def visit(name: str) -> None:
            for other in sorted(self.waits_for(name)):
                visit(other)
            if name not in found:
                found.append(name)

        for name in self.services:
            visit(name)
        return found

    def staying(self) -> list[str]:
        """Services that are to run until stopped."""
        return [name for name in self.order() if self.services[name]["restart"] != "no"]

    def start(self, name: str) -> None:
        """Start one service."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                self.command(name),
                env=self.environment(name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                **self._as(name),
            )
        self.started.append(name)

    def execute(self, service: str, *command: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
        """``docker compose exec``."""
        return subprocess.run(
            command,
            env=self.environment(service),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            **self._as(service),
        )

    def healthy(self, name: str) -> bool:
        """One health check."""
        body = self.services[name]["healthcheck"]
        kind, *command = body["test"]
        assert kind == "CMD"
        try:
            done = self.execute(name, *(self.map(name, part) for part in command), timeout=seconds(body["timeout"]))
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0

    def wait_healthy(self, name: str, within: float = 120, *, restart: bool = False) -> float:
        """Ask until it is healthy; returns the seconds that took.

        With ``restart`` a service that ended is started again, as its restart policy says.
        """
        began = time.monotonic()
        while not self.healthy(name):
            ended = self.running[name].poll() is not None
            if ended and restart and self.services[name]["restart"] == "unless-stopped":
                self.start(name)
            else:
                assert not ended, f"{name} ended: {self.log(name)}"
            assert time.monotonic() - began < within, f"{name} is not healthy after {within} s: {self.log(name)}"
            time.sleep(0.5)
        return time.monotonic() - began

    def down(self) -> dict[str, float]:
        """Stop everything, the last started first, each within its grace period; returns the seconds each took."""
        took = {}
        for name in reversed(list(dict.fromkeys(self.started))):
            process = self.running[name]
            if process.poll() is not None:
                continue
            began = time.monotonic()
            process.send_signal(
                signal.SIGINT if self.services[name]["image"].startswith("postgres:") else signal.SIGTERM
            )
            grace = seconds(self.services[name].get("stop_grace_period", "10s"))
            try:
                process.wait(LOADED * grace)
            except subprocess.TimeoutExpired:
                raise AssertionError(f"{name} did not stop within {grace} s:\n{self.log(name)}") from None
            took[name] = time.monotonic() - began
        return took

    def kill(self) -> None:
        """End whatever still runs, without grace."""
        for process in self.running.values():
            if process.poll() is None:
                process.kill()
                process.wait()

    def log(self, name: str) -> str:
        """The end of what it printed."""
        return (self.folder / f"{name}.log").read_text(errors="replace")[-3000:]

    def _make_volumes(self, name: str) -> None:
        for target, source in self.volumes(name).items():
            if source.is_relative_to(self.folder) and not source.exists():
                source.mkdir(parents=True)
                account = self._as(name)
                if "user" in account:  # as an engine does: a new volume belongs to whom the image's folder belongs to
                    os.chown(source, account["user"], account["group"])
                assert target.startswith("/")

    def _as(self, name: str) -> Mapping[str, Any]:
        if self.ours(name):
            where: Mapping[str, Any] = {"cwd": self.image}
            return where | ACCOUNT if becomes_image_user(self.image) else where
        if self.services[name]["image"].startswith("postgres:"):
            return {"cwd": "/", **run_as(service_account(Path("/nonexistent")))}
        return {"cwd": ROOT}


def becomes_image_user(image: Path) -> bool:
    """Whether we may run as the image's user, and that user can reach the image."""
    if os.geteuid() != 0:
        return False
    python = image / ".venv" / "bin" / "python"
    try:
        return subprocess.run([python, "-c", ""], **ACCOUNT, cwd="/", check=False).returncode == 0
    except OSError:
        return False


def seconds(text: str) -> float:
    """A duration such as ``1m30s``."""
    units = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([\d.]+)(ms|h|m|s)", text))
