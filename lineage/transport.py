"""Sends one event to where events go, and says what came of it.

What belongs here: one attempt at one event, over HTTP or into a file. What does not: trying again, order and the
outbox (:mod:`lineage.drainer`).
"""

from __future__ import annotations

import contextlib
import email.utils
import fcntl
import gzip
import os
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from lineage.openlineage_config import FileTarget, HttpTarget, Target

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, HTTPConnectionPool

CONNECT_SECONDS = 5.0
ANSWER_BYTES = 2000
"""How much of an answer is read: enough for its error."""
SHOWN_CHARACTERS = 500
GZIP_LEVEL = 3
"""As openlineage-python: higher ones are twice as slow."""
REPAIR_BYTES = 64 * 1024


class Outcome(Enum):
    """What an attempt came to."""

    DELIVERED = "delivered"
    REFUSED = "refused"
    """This event will never be taken: a dead letter."""
    FAILED = "failed"
    """The server broke on it: perhaps poison, perhaps bad luck."""
    UNANSWERED = "unanswered"
    """Nobody knows whether it was stored: a timeout or a connection that was cut."""
    AWAY = "away"
    """The server takes no events now."""
    MISCONFIGURED = "misconfigured"
    """The server takes no events from us until somebody changes a setting."""


@dataclass(frozen=True)
class Answer:
    """What came of one attempt.

    Attributes:
        outcome: what follows from it.
        status: of HTTP; None where no answer came.
        error: for a person; empty where delivered.
        wait: seconds the server asked to be left alone (Retry-After).
    """

    outcome: Outcome
    status: int | None = None
    error: str = ""
    wait: float = 0.0


class Transport(Protocol):
    """Takes events; used by several threads at once."""

    clients: int
    """How many threads may send at the same time."""

    def send(self, body: bytes) -> Answer:
        """Send one event (JSON) and wait for what comes of it; never raises for what the far side does."""

    def close(self) -> None:
        """Give up connections."""


AWAY_STATUS = {408, 425, 429, 503}
GATEWAY_STATUS = {502, 504}
"""A proxy could not get an answer: whether the server stored the event is unknown."""
SETTINGS_STATUS = {401, 403, 404, 405, 407}


def outcome_of(status: int) -> Outcome:
    """What an HTTP status means for an event."""
    if 200 <= status < 300:
        return Outcome.DELIVERED
    if status in AWAY_STATUS:
        return Outcome.AWAY
    if status in GATEWAY_STATUS:
        return Outcome.UNANSWERED
    if status in SETTINGS_STATUS or 300 <= status < 400:
        return Outcome.MISCONFIGURED
    return Outcome.REFUSED if 400 <= status < 500 else Outcome.FAILED


def open_transport(target: Target, *, clients: int, timeout: float) -> Transport:
    """The transport for a target.

    Args:
        target: where events go.
        clients: how many threads will send.
        timeout: seconds to wait for an answer where the target sets none.
    """
    if isinstance(target, FileTarget):
        return FileTransport(target)
    return HttpTransport(target, clients=clients, timeout=target.timeout or timeout)


class HttpTransport:
    """Posts events over connections that are kept.

    Args:
        target: the server.
        clients: connections at most.
        timeout: seconds between two bytes of an answer.
    """

    def __init__(self, target: HttpTarget, *, clients: int, timeout: float) -> None:
        from urllib3 import Timeout

        self.clients = clients
        self._target = target
        self._pool, self._path = connections(target, clients)
        self._timeout = Timeout(connect=min(CONNECT_SECONDS, timeout), read=timeout)
        self._headers = dict(target.headers)
        if target.gzip:
            self._headers["Content-Encoding"] = "gzip"

    def send(self, body: bytes) -> Answer:
        """Post one event."""
        from urllib3 import exceptions

        if self._target.gzip:
            body = gzip.compress(body, compresslevel=GZIP_LEVEL)
        try:
            answer = self._pool.urlopen(
                "POST",
                self._path,
                body=body,
                headers=self._headers,
                timeout=self._timeout,
                retries=False,
                redirect=False,
                preload_content=False,
            )
            text = _text(answer)
        except exceptions.SSLError as error:
            return Answer(Outcome.MISCONFIGURED, error=_shown(str(error)))
        except (exceptions.NewConnectionError, exceptions.ConnectTimeoutError, exceptions.ProxyError) as error:
            return Answer(Outcome.AWAY, error=_shown(str(error)))
        except (exceptions.HTTPError, OSError) as error:
            return Answer(Outcome.UNANSWERED, error=_shown(f"{type(error).__name__}: {error}"))
        outcome = outcome_of(answer.status)
        if outcome is Outcome.DELIVERED:
            return Answer(outcome, answer.status)
        return Answer(outcome, answer.status, _shown(text), _wait(answer.headers.get("Retry-After")))

    def close(self) -> None:
        """Close the connections."""
        self._pool.close()


def connections(target: HttpTarget, clients: int) -> tuple[HTTPConnectionPool, str]:
    """The connections to a server, through the proxy of the environment where it names one, and the path to ask for."""
    import urllib3

    parts = urlsplit(target.url)
    options: dict[str, Any] = {"maxsize": clients, "block": False}
    if parts.scheme == "https":
        options |= {"cert_reqs": "CERT_REQUIRED" if target.verify else "CERT_NONE", "ca_certs": target.ca_file}
        options |= {"cert_file": target.cert_file, "key_file": target.key_file}
        if not target.verify:
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
    path = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.netloc.rpartition("@")[2]):
        manager: urllib3.PoolManager = urllib3.ProxyManager(proxy, **options)
        pool = manager.connection_from_url(target.url)
        return pool, target.url if parts.scheme == "http" else path  # a proxy takes the whole address
    return urllib3.connection_from_url(target.url, **options), path


def _text(answer: BaseHTTPResponse) -> str:
    """The beginning of an answer's body. Its status has come and counts, even where the body does not come whole."""
    from urllib3.exceptions import HTTPError

    try:
        text = answer.read(ANSWER_BYTES, decode_content=False)
    except (HTTPError, OSError):
        return ""  # the connection is closed by urllib3
    if len(text) < ANSWER_BYTES:
        answer.release_conn()  # all of it was read: the next event goes over the same connection
    else:
        answer.close()
    return text.decode("utf-8", "replace")


def _wait(header: str | None) -> float:
    """Seconds that a Retry-After header asks for; 0 where it asks for nothing that can be understood."""
    if not header:
        return 0.0
    with contextlib.suppress(ValueError):
        return max(float(header), 0.0)
    with contextlib.suppress(TypeError, ValueError):
        return max(email.utils.parsedate_to_datetime(header).timestamp() - time.time(), 0.0)
    return 0.0


class FileTransport:
    """Writes events to a local disk, each flushed to it before it counts as delivered.

    Args:
        target: the file.
    """

    clients = 1

    def __init__(self, target: FileTarget) -> None:
        self._target = target

    def send(self, body: bytes) -> Answer:
        """Write one event."""
        line = body.replace(b"\n", b" ") + b"\n"
        try:
            self._target.path.parent.mkdir(parents=True, exist_ok=True)
            if self._target.append:
                self._append(line)
            else:
                self._alone(line)
        except OSError as error:
            full = error.errno in {28, 122}  # ENOSPC, EDQUOT: passes when somebody makes room
            return Answer(Outcome.AWAY if full else Outcome.MISCONFIGURED, error=str(error))
        return Answer(Outcome.DELIVERED)

    def close(self) -> None:
        """Nothing is kept open."""

    def _append(self, line: bytes) -> None:
        path = self._target.path
        new = not path.exists()
        with path.open("a+b", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # another drainer may write to it
            whole = _repaired(file)
            try:
                _write(file.fileno(), line)
            except OSError:
                os.ftruncate(file.fileno(), whole)  # a full disk took a part of it
                raise
            os.fsync(file.fileno())
        if new:
            _flush_folder(path.parent)

    def _alone(self, line: bytes) -> None:
        """One file an event, whole from the moment it has its name."""
        path = self._target.path
        hidden = path.with_name(f".{path.name}.{os.getpid()}.new")
        with hidden.open("wb", buffering=0) as file:
            _write(file.fileno(), line)
            os.fsync(file.fileno())
        for name in _names(path):
            with contextlib.suppress(FileExistsError):
                os.link(hidden, name)
                break
        hidden.unlink()
        _flush_folder(path.parent)


def _names(path: Path) -> Iterator[Path]:
    while True:
        yield path.with_name(f"{path.name}-{datetime.now():%Y%m%d-%H%M%S.%f}.json")


def _repaired(file: Any) -> int:
    """Cut off what a killed writer left without its end: it was never counted as delivered. Return the size then."""
    size = end = file.seek(0, os.SEEK_END)
    while end:
        start = max(end - REPAIR_BYTES, 0)
        file.seek(start)
        cut = file.read(end - start).rfind(b"\n") + 1
        if cut:
            end = start + cut
            break
        end = start
    if end != size:
        os.ftruncate(file.fileno(), end)
    return int(end)


def _write(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _shown(text: str) -> str:
    return " ".join(text.replace("\0", "").split())[:SHOWN_CHARACTERS]
