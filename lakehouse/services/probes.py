"""Asks a service whether it works, beyond an open port. Cheap enough for a health check every few seconds.

What belongs here: one question per service, without Dagster's imports (they cost seconds). What does not: acting on it.
"""

from __future__ import annotations

import contextlib
import json
import time
import urllib.request
from collections.abc import Callable
from datetime import datetime
from typing import Any

from lakehouse.errors import UnavailableError
from lakehouse.settings import Settings

TIMEOUT_SECONDS = 10.0
DRAINER_SILENT_SECONDS = 150.0
"""It measures its backlog every minute."""
GRPC_SERVICE = "DagsterApi"
"""The name Dagster's code server registers with the standard gRPC health protocol."""
DAEMONS = "{ instance { daemonHealth { allDaemonStatuses { daemonType required lastHeartbeatTime } } } }"
DAEMON_SILENT_SECONDS = 120.0
"""Each daemon gives a heartbeat every 30 s. Dagster itself calls one healthy for half an hour after its last."""


def webserver(settings: Settings) -> None:
    """The web pages answer.

    Raises:
        UnavailableError: they do not.
    """
    answer = _http(f"http://{settings.webserver_host}:{settings.webserver_port}/server_info")
    if "dagster_version" not in answer:
        raise UnavailableError(f"What answers on port {settings.webserver_port} is not Dagster's webserver.")


def code_server(settings: Settings) -> None:
    """The code server answers the gRPC health protocol as serving.

    Raises:
        UnavailableError: it does not.
    """
    import grpc
    from grpc_health.v1 import health_pb2

    address = f"{settings.code_server_host}:{settings.code_server_port}"
    with grpc.insecure_channel(address) as channel:
        try:
            ask = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            answer = ask(health_pb2.HealthCheckRequest(service=GRPC_SERVICE), timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            raise UnavailableError(f"The code server at {address} does not answer: {error.code().name}.") from error
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        raise UnavailableError(f"The code server at {address} answers, but does not serve.")


def daemon(settings: Settings, since: datetime | None = None) -> None:
    """Every required daemon has a recent heartbeat, as the web pages tell.

    Args:
        settings: where the web pages are.
        since: heartbeats before this moment are those of a former process.

    Raises:
        UnavailableError: one has none; names it. Or the web pages, which know, do not answer.
    """
    page = f"http://{settings.webserver_host}:{settings.webserver_port}/graphql"
    answer = _http(page, json.dumps({"query": DAEMONS}).encode())
    now, began = time.time(), since.timestamp() if since else 0.0
    # A beginning in the future is one from before the clock was set back: nothing comes after it.
    oldest = max(now - DAEMON_SILENT_SECONDS, began if began <= now else 0.0)
    try:
        statuses = answer["data"]["instance"]["daemonHealth"]["allDaemonStatuses"]
    except (KeyError, TypeError) as error:
        raise UnavailableError(f"{page} does not tell how the daemons are.") from error
    silent = [
        item["daemonType"] for item in statuses if item["required"] and (item["lastHeartbeatTime"] or 0.0) < oldest
    ]
    if silent:
        raise UnavailableError(f"No recent heartbeat of: {', '.join(silent)}.")


def worker(settings: Settings, pid: int | None = None) -> None:
    """The worker has told lately that it works.

    Args:
        settings: where the state database is.
        pid: ask after this process of this machine, and only whether it speaks: what troubles it (the lake, say) would
            trouble its successor too.

    Raises:
        UnavailableError: it has not, it has stopped, or it cannot reach what it needs.
    """
    from lakehouse import workers
    from lakehouse.postgres.connect import connect_state

    with contextlib.closing(connect_state(settings)) as connection:
        found = workers.latest(connection)
    if found is not None and pid is not None:
        its_own = found.beat.process.split()[3:4] == [str(pid)]
        works = its_own and found.beat.state != "starting" and found.silent_seconds <= workers.STALE_SECONDS
    else:
        works = found is not None and found.fresh
    if not works:
        said = (
            "never said anything"
            if found is None
            else f"is {found.beat.state}, last heard of {found.silent_seconds:.0f} s ago"
        )
        raise UnavailableError(f"The worker {said}.")


def lineage(settings: Settings, pid: int | None = None) -> None:
    """The lineage drainer has told lately that it works. Whether the lineage server does is told by alerts.

    Args:
        settings: where the state database is.
        pid: ask after this process; otherwise after any of this machine.

    Raises:
        UnavailableError: it has not.
    """
    from lakehouse.postgres.connect import connect_state
    from lineage.backlog import drainer_silence

    with contextlib.closing(connect_state(settings)) as connection:
        silent = drainer_silence(connection, here=True, pid=pid)
    if silent is None or silent > DRAINER_SILENT_SECONDS:
        said = "never said anything" if silent is None else f"was last heard of {silent:.0f} s ago"
        raise UnavailableError(f"The lineage drainer {said}.")


PROBES: dict[str, Callable[[Settings], None]] = {
    "code-server": code_server,
    "webserver": webserver,
    "daemon": daemon,
    "worker": worker,
    "lineage": lineage,
}


def _http(url: str, body: bytes | None = None) -> dict[str, Any]:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - http only
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as answer:  # noqa: S310 - http only
            found = json.load(answer)
    except (OSError, ValueError) as error:
        raise UnavailableError(f"{url} does not answer: {error}") from error
    return found if isinstance(found, dict) else {}
