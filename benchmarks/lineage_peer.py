"""The two programs beside the drainer: a lineage server that takes its time, and a bare client for it.

``python -m benchmarks.lineage_peer serve`` prints its port; ``… post URL FILE CLIENTS`` posts the lines of a file.
Nothing of the platform is imported.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import sys
import threading
import time
from pathlib import Path

ANSWER_SECONDS = 0.020
"""Marquez answers in 25 ms when it is alone with its database."""
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n"


class Peer(asyncio.Protocol):
    """One connection: answers each POST after a while, each GET with what has come since the last GET of ``/reset``."""

    count, first, last = 0, 0.0, 0.0

    def __init__(self) -> None:
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take whole requests from what has come."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end]
            found = LENGTH.search(head)
            size = end + 4 + (int(found.group(1)) if found else 0)
            if len(self._buffer) < size:
                return
            self._buffer = self._buffer[size:]
            if head.startswith(b"GET"):
                self._tell(reset=b"/reset" in head)
            else:
                asyncio.get_running_loop().call_later(ANSWER_SECONDS, self._answer)

    def _answer(self) -> None:
        now = time.monotonic()
        Peer.first = Peer.first or now
        Peer.last = now
        Peer.count += 1
        self._write(CREATED)

    def _tell(self, *, reset: bool) -> None:
        text = json.dumps({"count": Peer.count, "seconds": Peer.last - Peer.first}).encode()
        if reset:
            Peer.count, Peer.first, Peer.last = 0, 0.0, 0.0
        self._write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text))

    def _write(self, data: bytes) -> None:
        if isinstance(self._transport, asyncio.WriteTransport) and not self._transport.is_closing():
            self._transport.write(data)


async def serve() -> None:
    """Listen on a free port until killed."""
    server = await asyncio.get_running_loop().create_server(Peer, "127.0.0.1", 0, backlog=64)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def post(url: str, file: Path, clients: int) -> None:
    """Post every line of a file, by so many threads over connections that are kept."""
    import urllib3

    pool = urllib3.connection_from_url(url, maxsize=clients)
    bodies = file.read_bytes().splitlines()
    numbers = itertools.count()

    def work() -> None:
        while (number := next(numbers)) < len(bodies):
            answer = pool.urlopen("POST", "/api/v1/lineage", bodies[number], {"Content-Type": "application/json"})
            if answer.status != 201:
                raise RuntimeError(f"answered {answer.status}")

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve())
    else:
        post(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
