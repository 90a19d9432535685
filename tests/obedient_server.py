"""A lineage server in this process that answers what a test tells it to, and remembers what came."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Reply:
    """What is answered.

    Attributes:
        status: of HTTP; 0 cuts the connection.
        text: body.
        headers: further ones.
        after: seconds before it is answered.
        held: not answered before this happens.
    """

    status: int = 201
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    after: float = 0.0
    held: threading.Event | None = None


@dataclass
class Arrival:
    """What came."""

    path: str
    headers: dict[str, str]
    event: dict[str, Any]
    connection: int
    at: float


class Obedient(ThreadingHTTPServer):
    """Answers with what ``reply`` gives for an event and how often it has come before."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.reply: Callable[[dict[str, Any], int], Reply] = lambda event, arrival: Reply()
        self.arrivals: list[Arrival] = []
        self.at_once = self.most_at_once = 0
        self.key = ""
        """Demanded where it is set; whoever does not bring it is answered with 401 and not remembered."""
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def keys(self) -> list[str]:
        """Keys of the events in the order they came, each as often as it came."""
        return [arrival.event["key"] for arrival in self.arrivals]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Obedient

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        if self.server.key and self.headers.get("Authorization") != f"Bearer {self.server.key}":
            self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        event = json.loads(body)
        with self.server.lock:
            before = sum(1 for arrival in self.server.arrivals if arrival.event.get("key") == event.get("key"))
            self.server.arrivals.append(
                Arrival(self.path, dict(self.headers), event, self.client_address[1], time.monotonic())
            )
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        reply = self.server.reply(event, before)
        time.sleep(reply.after)
        if reply.held is not None:
            reply.held.wait(20)
        with self.server.lock:
            self.server.at_once -= 1
        if not reply.status:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.text)))
        self.end_headers()
        self.wfile.write(reply.text.encode())

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


@contextlib.contextmanager
def obedient() -> Iterator[Obedient]:
    """The server for the length of the block."""
    server = Obedient()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
