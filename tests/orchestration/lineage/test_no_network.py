"""A lineage server that hangs never meets a run: its process connects to Postgres and to nothing else."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import threading

import pytest
from platforms import CLI
from recorded import told

from lakehouse.postgres import ready

WATCH = """
import json, os, sys
def watch(event, args):
    if event in {"socket.connect", "socket.sendto", "socket.getaddrinfo"}:
        with open(os.environ["WATCHED_SOCKETS"], "a") as file:
            file.write(json.dumps([event, repr(args[1:] if event != "socket.getaddrinfo" else args)]) + "\\n")
sys.addaudithook(watch)
"""
"""As ``sitecustomize`` it sees every connection that Python code of any process of the run asks for."""
TRACE = ("strace", "-f", "-qq", "-e", "trace=connect", "-e", "signal=none", "-o")
CONNECT = re.compile(r"connect\(\d+, \{sa_family=AF_(INET6?|UNIX), (.*?)\}, \d+\)")


@pytest.fixture
def hanging_server():
    """A server that takes connections and never says a word: its port, and how many it took."""
    taken = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def work() -> None:
            while True:
                try:
                    taken.append(server.accept())
                except OSError:
                    return

        threading.Thread(target=work, daemon=True).start()
        yield server.getsockname()[1], taken
        server.shutdown(socket.SHUT_RDWR)
    for connection, _ in taken:
        connection.close()


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace, to see the system calls of all libraries")
def test_a_run_connects_to_postgres_alone_whatever_lineage_server_is_set(platform, tmp_path, hanging_server):
    port, taken = hanging_server
    with socket.create_connection(("127.0.0.1", port)):
        pass  # it does take connections
    platform.sample("--batches", "2", "--scale", "0.02", "--seed", "4")
    (tmp_path / "sitecustomize.py").write_text(WATCH)
    watched, calls = tmp_path / "python.jsonl", tmp_path / "calls.txt"
    watched.touch()
    environment = {
        **platform.environment,
        "OPENLINEAGE_URL": f"http://127.0.0.1:{port}",
        "PYTHONPATH": str(tmp_path),
        "WATCHED_SOCKETS": str(watched),
    }
    with ready(platform.settings):  # the server's own processes stay out of the trace
        done = subprocess.run(
            [*TRACE, str(calls), str(CLI), "run", "--json", "--quiet", "--accept-stale"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=250,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    run_id = json.loads(done.stdout)["run_id"]
    assert len(told(platform, run_id)) == 16, "the run was told to lineage, in the outbox"

    asked = [(family, address) for family, address in CONNECT.findall(calls.read_text())]
    ports = {int(match[1]) for _, address in asked if (match := re.search(r"sin6?_port=htons\((\d+)\)", address))}
    assert ports == {platform.settings.postgres_port}
    hosts = {match[1] for _, address in asked if (match := re.search(r'inet_addr\("([^"]+)"\)', address))}
    assert hosts <= {"127.0.0.1"}
    local = {match[1] for family, address in asked if family == "UNIX" and (match := re.search(r'"([^"]+)"', address))}
    assert {path for path in local if "nscd" not in path and str(platform.home.parent) not in path} == set()
    for line in watched.read_text().splitlines():
        assert str(platform.settings.postgres_port) in line, "Python code asks for Postgres alone, too"
    assert len(taken) == 1, "only our own try"
