"""Where lineage events go, by the conventions of openlineage-python: ``OPENLINEAGE_*`` and ``openlineage.yml``.

What belongs here: reading them, and one error that names what is wrong. What does not: sending
(:mod:`lineage.transport`). openlineage-python's own classes are not used: importing them costs a process 40 MB, and
its transports take some of what is set here silently. A test holds this against them.

The precedence is openlineage-python's: ``OPENLINEAGE_DISABLED``, then the ``transport`` of a file, completed by
``OPENLINEAGE__TRANSPORT__…`` variables, then ``OPENLINEAGE_URL``. Every variable may be a line in ``.env`` instead, as
``LAKEHOUSE_*`` may; the environment wins. A file is looked for beside ``.env`` too, so that it works from any folder.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit

from lakehouse.errors import ConfigError
from lakehouse.settings import PROJECT_ROOT

PREFIX = "OPENLINEAGE"
DYNAMIC = "OPENLINEAGE__"
FILE = "openlineage.yml"
ENDPOINT = "api/v1/lineage"
SUPPORTED = "Supported transports are http (url, endpoint, timeout, verify, auth, compression, custom_headers, "
SUPPORTED += "sslContext), file (log_file_path, append) and noop."
IGNORED = {"type", "name", "priority", "retry"}
"""Keys of any transport that say nothing here: there is one transport, and its retries are the drainer's."""


@dataclass(frozen=True)
class HttpTarget:
    """A server that takes events.

    Attributes:
        url: full address of the endpoint, without user and password.
        timeout: seconds to wait for an answer; None where it is not set.
        verify: whether certificates are checked.
        headers: sent with every event; may hold a key, never printed.
        gzip: whether bodies are compressed.
        ca_file, cert_file, key_file: of TLS, where set.
    """

    url: str
    timeout: float | None = None
    verify: bool = True
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    gzip: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None

    def __str__(self) -> str:
        """For messages; never a key, which some servers take in the query."""
        return urlsplit(self.url)._replace(query="", fragment="").geturl()


@dataclass(frozen=True)
class FileTarget:
    """A file that events are appended to, or the beginning of the names of one file an event.

    Attributes:
        path: absolute.
        append: one file, a line an event; otherwise ``<path>-<time>.json`` for each.
    """

    path: Path
    append: bool

    def __str__(self) -> str:
        """For messages."""
        return str(self.path)


Target = HttpTarget | FileTarget


def variables(environ: Mapping[str, str] | None = None) -> dict[str, str]:
    """The ``OPENLINEAGE*`` variables of the environment and of ``.env``; the environment wins.

    Args:
        environ: taken as it is instead of both.
    """
    if environ is not None:
        return {name: value for name, value in environ.items() if name.startswith(PREFIX)}
    found: dict[str, str] = {}
    if (PROJECT_ROOT / ".env").is_file():
        from dotenv import dotenv_values

        found = {name: value for name, value in dotenv_values(PROJECT_ROOT / ".env").items() if value is not None}
    return {name: value for name, value in {**found, **os.environ}.items() if name.startswith(PREFIX)}


def target(environ: Mapping[str, str] | None = None) -> Target | None:
    """Where events are to be delivered; None where nothing is set, or OpenLineage is disabled.

    Args:
        environ: taken instead of the environment and ``.env``.

    Raises:
        ConfigError: what is set is not understood; names the variable or the file.
    """
    given = variables(environ)
    if given.get("OPENLINEAGE_DISABLED", "").lower().strip() == "true":
        return None
    path = _file(given)
    transport, where = _dynamic(given).get("transport", {}), f"the variables {DYNAMIC}TRANSPORT__…"
    if path is not None and (found := _read(path).get("transport")) is not None:
        if not isinstance(found, dict) or not isinstance(transport, dict):
            raise _wrong(str(path), "transport is not a mapping")
        transport, where = _merged(transport, found), str(path)
    if isinstance(transport, dict) and transport.get("type"):
        return _make(transport, where)
    if url := given.get("OPENLINEAGE_URL", "").strip():
        simple: dict[str, Any] = {"url": url, "endpoint": given.get("OPENLINEAGE_ENDPOINT") or ENDPOINT}
        if key := given.get("OPENLINEAGE_API_KEY", "").strip():
            simple["auth"] = {"type": "api_key", "apiKey": key}
        return _http(simple, "OPENLINEAGE_URL")
    return None


def _file(given: Mapping[str, str]) -> Path | None:
    if named := given.get("OPENLINEAGE_CONFIG", "").strip():
        path = PROJECT_ROOT / Path(named).expanduser()
        if not path.is_file():
            raise _wrong("OPENLINEAGE_CONFIG", f"there is no file {path}")
        return path
    places = (Path.cwd(), PROJECT_ROOT, Path("~/.openlineage").expanduser())
    return next((place / FILE for place in places if (place / FILE).is_file()), None)


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        # Without the line itself, which a parser likes to show: there may be a key in it.
        mark = getattr(error, "problem_mark", None)
        why = f"line {mark.line + 1}: {getattr(error, 'problem', '')}" if mark else getattr(error, "strerror", None)
        why = why or type(error).__name__
        raise _wrong(str(path), f"it cannot be read: {why}") from None
    if not isinstance(found, dict | None):
        raise _wrong(str(path), "it is not a mapping")
    return found or {}


def _dynamic(given: Mapping[str, str]) -> dict[str, Any]:
    """``OPENLINEAGE__A__B=x`` as ``{"a": {"b": x}}``; longer names first: a whole mapping given as JSON wins."""
    made: dict[str, Any] = {}
    for name in sorted((name for name in given if name.startswith(DYNAMIC)), reverse=True):
        value: Any = given[name]
        try:
            value = json.loads(value)
        except ValueError:  # a plain string
            value = given[name]
        *parents, last = name.removeprefix(DYNAMIC).lower().split("__")
        inner = made
        for parent in parents:
            inner = inner.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise _wrong(name, f"{parent} has a value of its own")
        inner[last] = value
    return made


def _merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    made = dict(first)
    for name, value in second.items():
        both = isinstance(value, dict) and isinstance(made.get(name), dict)
        made[name] = _merged(made[name], value) if both else value
    return made


def _make(transport: dict[str, Any], where: str) -> Target | None:
    kind = str(transport["type"]).lower()
    if kind == "noop":
        return None
    if kind == "http":
        return _http(transport, where)
    if kind == "file":
        return _to_file(transport, where)
    raise _wrong(where, f"there is no transport {kind} here. {SUPPORTED}")


def _http(given: Mapping[str, Any], where: str) -> HttpTarget:
    known = {"url", "endpoint", "timeout", "verify", "auth", "compression", "custom_headers", "headers"}
    ssl = _one_of(given, "sslContext", "ssl_context", "sslcontext") or {}
    _only(given, known | {"sslContext", "ssl_context", "sslcontext"}, where)
    url = str(given.get("url") or "").strip()
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise _wrong(where, "url is not http://host[:port] or https://…")
    headers = {"Content-Type": "application/json"}
    if "@" in parts.netloc:  # as requests does for openlineage-python
        headers["Authorization"] = _basic(unquote(parts.username or ""), unquote(parts.password or ""))
        parts = parts._replace(netloc=parts.netloc.rpartition("@")[2])
    headers |= _auth(given.get("auth") or {}, where)
    for name in ("headers", "custom_headers"):
        if not isinstance(given.get(name) or {}, dict):
            raise _wrong(where, f"{name} is not a mapping")
        headers |= {str(key): str(value) for key, value in (given.get(name) or {}).items()}
    _can_be_sent(headers, where)
    compression = str(given.get("compression") or "").lower()
    if compression not in {"", "gzip"}:
        raise _wrong(where, f"compression {compression} is not gzip")
    if not isinstance(ssl, dict):
        raise _wrong(where, "sslContext is not a mapping")
    return HttpTarget(
        urljoin(parts.geturl(), str(given.get("endpoint") or ENDPOINT)),
        _seconds(given.get("timeout"), where),
        _flag(given.get("verify", True), "verify", where),
        headers,
        compression == "gzip",
        *(
            _one_of(ssl, *names)
            for names in (_spelled("caCertPath"), _spelled("clientCertPath"), _spelled("clientKeyPath"))
        ),
    )


def _can_be_sent(headers: Mapping[str, str], where: str) -> None:
    """Refuse what an HTTP client would refuse event by event, with the value in its message."""
    for name, value in headers.items():
        if not name.isascii() or any(sign in "\r\n\0" or ord(sign) > 255 for sign in name + value):
            raise _wrong(where, f"the value of the header {name!r} holds a line end or a sign that HTTP does not take")


def _to_file(given: Mapping[str, Any], where: str) -> FileTarget:
    _only(given, {"log_file_path", "append"}, where)
    name = str(given.get("log_file_path") or "")
    if not name:
        raise _wrong(where, "log_file_path is missing")
    if "://" in name and not name.startswith("file://"):
        raise _wrong(where, f"log_file_path {name} is not on a local disk")
    path = Path(unquote(urlsplit(name).path) if name.startswith("file://") else name).expanduser()
    return FileTarget(PROJECT_ROOT / path, _flag(given.get("append", False), "append", where))


def _auth(auth: Any, where: str) -> dict[str, str]:
    if not isinstance(auth, dict):
        raise _wrong(where, "auth is not a mapping")
    if not auth.get("type"):
        return {}
    if auth["type"] != "api_key":
        raise _wrong(where, f"auth of type {auth['type']} is not supported, only api_key")
    key = str(_one_of(auth, "apiKey", "apikey", "api_key") or "").strip()  # a secret's file may end with a line end
    if not key:
        raise _wrong(where, "auth has no apiKey")
    return {"Authorization": f"Bearer {key}"}


def _basic(user: str, password: str) -> str:
    import base64

    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def _spelled(name: str) -> tuple[str, str, str]:
    """A key in Java's spelling, in Python's, and as a variable's name brings it."""
    return name, "".join(f"_{sign.lower()}" if sign.isupper() else sign for sign in name), name.lower()


def _one_of(given: Mapping[str, Any], *names: str) -> Any:
    return next((given[name] for name in names if given.get(name)), None)


def _only(given: Mapping[str, Any], known: set[str], where: str) -> None:
    if unknown := sorted(set(given) - known - IGNORED):
        raise _wrong(where, f"unknown: {', '.join(unknown)}. {SUPPORTED}")


def _seconds(value: Any, where: str) -> float | None:
    if value is None:
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds < 86400:
        raise _wrong(where, "timeout is not a number of seconds")
    return seconds


def _flag(value: Any, name: str, where: str) -> bool:
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise _wrong(where, f"{name} is neither true nor false")
    return value


def _wrong(where: str, what: str) -> ConfigError:
    return ConfigError(
        f"The lineage transport in {where} is wrong: {what}",
        remedy="docs/lineage/delivery.md lists what can be set; OPENLINEAGE_DISABLED=true does without a server.",
    )
