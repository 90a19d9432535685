"""A lineage server that misbehaves on a seeded script; run as a process of its own, so that it can die.

Usage: ``python unruly_server.py PORT FOLDER SEED``. What it has stored stands in ``FOLDER/stored.jsonl`` before it
answers. What it does to the n-th arrival of an event is decided by seed, key and n alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import socket
import struct
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

SLOW_SECONDS = 0.5
"""Longer than the drainer of these tests waits."""

MISDEEDS = {
    "fine": 70,
    "500 before": 4,
    "500 after": 2,
    "503": 2,
    "429": 1,
    "502 after": 1,
    "slow after": 0.4,
    "never": 0.4,
    "cut before": 4,
    "cut after": 4,
    "half body": 3,
    "half answer": 2,
    "die before": 0.2,
    "die after": 0.2,
}
"""What may happen to an arrival, by weight; "after" means that it was stored."""
UNRULY_ARRIVALS = 3
"""From the next on an event is treated well, unless it is poison."""


def poison(seed: int, key: str) -> int | None:
    """The status with which this event is refused for ever, if it is."""
    dice = random.Random(f"{seed} poison {key}")
    return dice.choice([400, 413, 422, 500]) if dice.random() < 0.02 else None


def misdeed(seed: int, key: str, arrival: int) -> str:
    """What happens to an arrival (from 0) of an event."""
    if arrival >= UNRULY_ARRIVALS:
        return "fine"
    dice = random.Random(f"{seed} {key} {arrival}")
    return dice.choices(list(MISDEEDS), list(MISDEEDS.values()))[0]


class Memory:
    """What arrived and what was stored, on disk: it outlives the process."""

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._arrived: dict[str, int] = {}
        arrivals = folder / "arrivals.txt"
        if arrivals.exists():
            for key in arrivals.read_text().splitlines():
                self._arrived[key] = self._arrived.get(key, 0) + 1
        self._arrivals = os.open(arrivals, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._stored = os.open(folder / "stored.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def arrival(self, key: str) -> int:
        """Count an arrival; the first is 0."""
        with self._lock:
            number = self._arrived.get(key, 0)
            self._arrived[key] = number + 1
            os.write(self._arrivals, f"{key}\n".encode())
        return number

    def store(self, body: bytes) -> None:
        """Keep an event for good."""
        os.write(self._stored, json.dumps(json.loads(body)).encode() + b"\n")


class Unruly(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    memory: Memory
    seed: int
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length // 2)
        (key,) = re.findall(rb'"key": "([^"]+)"', body)  # it stands early in the body
        key = key.decode()
        what = misdeed(self.seed, key, self.memory.arrival(key))
        status = poison(self.seed, key)
        if status is None and what == "half body":
            self._reset()
            return
        body += self.rfile.read(length - len(body))
        if status is not None:
            self._answer(status, f"I will never take {key}")
            return
        getattr(self, "_" + what.split()[0])(body, what)

    def _fine(self, body: bytes, what: str) -> None:
        self.memory.store(body)
        self._answer(201)

    def _500(self, body: bytes, what: str) -> None:
        if what.endswith("after"):
            self.memory.store(body)
        self._answer(500, "out of luck")

    def _503(self, body: bytes, what: str) -> None:
        self._answer(503, "come back", {"Retry-After": "0"})

    def _429(self, body: bytes, what: str) -> None:
        self._answer(429, "too fast")

    def _502(self, body: bytes, what: str) -> None:
        self.memory.store(body)
        self._answer(502, "somebody in between")

    def _slow(self, body: bytes, what: str) -> None:
        self.memory.store(body)
        time.sleep(SLOW_SECONDS)
        self._answer(201)

    def _never(self, body: bytes, what: str) -> None:
        time.sleep(SLOW_SECONDS)
        self.close_connection = True

    def _cut(self, body: bytes, what: str) -> None:
        if what.endswith("after"):
            self.memory.store(body)
        self._reset()

    def _half(self, body: bytes, what: str) -> None:
        self.memory.store(body)
        self.wfile.write(b"HTTP/1.1 20")
        self._reset()

    def _die(self, body: bytes, what: str) -> None:
        if what.endswith("after"):
            self.memory.store(body)
        os._exit(9)

    def _reset(self) -> None:
        """End the connection rudely (RST)."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def _answer(self, status: int, text: str = "", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the other side has gone, or we have cut it off
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            super().finish()

    def log_message(self, format: str, *args: Any) -> None:
        """Silent."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    allow_reuse_address = True


def main() -> None:
    port, folder, seed = int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    Unruly.memory, Unruly.seed = Memory(folder), seed
    Server(("127.0.0.1", port), Unruly).serve_forever()


if __name__ == "__main__":
    main()
