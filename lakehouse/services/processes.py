"""Which processes ``lakehouse up`` runs, in starting order; pure, so that other launchers can use the same list."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from lakehouse.settings import PROJECT_ROOT, Settings

HOST = "127.0.0.1"
LOCATION = "lakehouse"


@dataclass(frozen=True)
class Service:
    """One process.

    Attributes:
        name: shown to people; also the name of its log file.
        command: program and arguments.
        port: TCP port it listens on, None for daemon and worker.
        page: address of its page for people, if any.
        after: services that must work before it is started.
        seen_through: the service that is asked how this one is, if it is not asked itself.
        follows_code: started anew by `lakehouse up` when the code, models or declarations it has loaded change.
    """

    name: str
    command: tuple[str, ...]
    port: int | None = None
    page: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    after: tuple[str, ...] = ()
    seen_through: str | None = None
    follows_code: bool = False


LINEAGE = Service("lineage", (sys.executable, "-m", "lakehouse.cli.main", "lineage", "drain"), follows_code=True)
"""Delivers lineage events; only where a lineage server is set."""


def services(settings: Settings, workspace: Path, *, lineage: bool) -> list[Service]:
    """Code server, webserver, worker and daemon, and what delivers lineage.

    Args:
        settings: for addresses and ports.
        workspace: the ``workspace.yaml`` that points to the code server.
        lineage: whether a lineage server is set.
    """
    python = sys.executable
    return [
        Service(
            "code server",
            (
                # Not `dagster code-server start`: that puts a second process in front, for no more than a reload.
                *(python, "-m", "dagster", "api", "grpc", "--host", settings.listen_host),
                *("--port", str(settings.code_server_port), "--module-name", "orchestration.definitions"),
                *("--working-directory", str(PROJECT_ROOT), "--location-name", LOCATION),
                "--lazy-load-user-code",  # definitions that do not load are an error on the page, not the server's end
                *("--use-python-environment-entry-point", "--log-level", "warning"),
            ),
            port=settings.code_server_port,
            follows_code=True,
        ),
        Service(
            "webserver",
            (
                *(python, "-m", "dagster_webserver", "--host", settings.listen_host),
                *("--port", str(settings.webserver_port)),
                *("--workspace", str(workspace), "--log-level", "warning"),
            ),
            port=settings.webserver_port,
            page=f"http://{HOST}:{settings.webserver_port}",
        ),
        Service("worker", (python, "-m", "lakehouse.cli.main", "worker")),
        Service(
            "daemon",
            (
                str(Path(python).parent / "dagster-daemon"),
                "run",
                *("--workspace", str(workspace), "--log-level", "warning"),
            ),
            environment={
                "LAKEHOUSE_KEEP_CONNECTIONS": "yes",  # orchestration.storage
                # Looks for runs whose process died, to start them again; that may take 15 s instead of 5.
                "DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS": "15",
            },
            after=("code server",),  # it would look for it again a minute later only
            seen_through="webserver",
        ),
        *([LINEAGE] if lineage else []),
    ]


def workspace_text(settings: Settings) -> str:
    """``workspace.yaml`` for the code server of this instance."""
    return (
        "# Written from the settings at every start.\n"
        "load_from:\n"
        "  - grpc_server:\n"
        f"      host: {settings.code_server_host}\n"
        f"      port: {settings.code_server_port}\n"
        f"      location_name: {LOCATION}\n"
    )
