"""Which connections a process and its children ask for, and a server that takes them and never says a word.

All system calls are seen by strace; what Python code asks for, names to be looked up included, by an audit hook.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from platforms import Platform

HOOK = """
import json, os, sys
def watch(event, args):
    if event in {"socket.connect", "socket.sendto", "socket.getaddrinfo"}:
        with open(os.environ["WATCHED_SOCKETS"], "a") as file:
            file.write(json.dumps([event, repr(args[1:] if event != "socket.getaddrinfo" else args)]) + "\\n")
sys.addaudithook(watch)
"""
"""As ``sitecustomize`` it is in every Python process."""
CONNECT = re.compile(r"connect\(\d+, \{sa_family=AF_(INET6?|UNIX), (.*?)\}, \d+")
"""Also a call that another thread's interrupted: its line ends there."""

needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None, reason="needs strace, to see the system calls of all libraries"
)


class Watched:
    """One process tree.

    Args:
        folder: for what is seen; empty.

    Attributes:
        command: what its command begins with. The process itself is the one that is started: strace is beside it.
        variables: of its environment.
    """

    def __init__(self, folder: Path) -> None:
        self._calls, self._python = folder / "calls.txt", folder / "python.jsonl"
        (folder / "sitecustomize.py").write_text(HOOK)
        self._python.touch()
        self.command = ["strace", "-D", "-f", "-q", "-e", "trace=connect", "-e", "signal=none", "-o", str(self._calls)]
        self.variables = {"PYTHONPATH": str(folder), "WATCHED_SOCKETS": str(self._python)}

    def elsewhere(self, platform: Platform, pid: int) -> list[str]:
        """Connections to anything but the platform's Postgres; that there was none to it is told, too.

        Args:
            platform: whose Postgres.
            pid: of the process, which has ended.
        """
        deadline = time.monotonic() + 60
        while not re.search(rf"^{pid} +\+\+\+ exited", self._calls.read_text(), re.MULTILINE):
            assert time.monotonic() < deadline, "strace does not write down the end of the process"
            time.sleep(0.05)
        port = str(platform.settings.postgres_port)
        asked = CONNECT.findall(self._calls.read_text())
        remote = [address for family, address in asked if family != "UNIX"]
        found = [text for text in remote if f"htons({port})" not in text or '"127.0.0.1"' not in text]
        local = [address for family, address in asked if family == "UNIX"]
        found += [text for text in local if "nscd" not in text and str(platform.home.parent) not in text]
        found += [line for line in self._python.read_text().splitlines() if port not in line]
        return found if remote else [*found, "no connection to Postgres was seen"]


@contextlib.contextmanager
def hanging_server() -> Iterator[tuple[int, list[object]]]:
    """A server that takes connections and never says a word: its port, and those it took, the first our own try."""
    taken: list[tuple[socket.socket, object]] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def work() -> None:
            while True:
                try:
                    taken.append(server.accept())
                except OSError:
                    return

        threading.Thread(target=work, daemon=True).start()
        with socket.create_connection(server.getsockname()):
            pass  # it does take connections
        yield server.getsockname()[1], taken
        server.shutdown(socket.SHUT_RDWR)
    for connection, _ in taken:
        connection.close()
