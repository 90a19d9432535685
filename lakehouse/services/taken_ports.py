"""Whether the ports of the services are free, asked before anything is started."""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence

from lakehouse.errors import BusyError
from lakehouse.services.processes import HOST, Service


def require_ports(services: Sequence[Service], variables: Mapping[str, str]) -> None:
    """Check that every port is free.

    Args:
        services: what will listen.
        variables: service name → environment variable that moves its port.

    Raises:
        BusyError: one error naming every taken port and who has it.
    """
    from lakehouse.postgres.ports import free_port, listener

    faults = []
    for service in services:
        if service.port is None:
            continue
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, service.port))
            except OSError:
                who = listener(service.port) or "another process"
                faults.append(
                    f"port {service.port} ({service.name}) is taken by {who}; "
                    f"another one: {variables[service.name]}={free_port()}"
                )
    if faults:
        raise BusyError(
            "Cannot start:\n  - " + "\n  - ".join(faults),
            remedy="End what listens there (another `lakehouse up`?), or set the variable(s) in .env.",
        )
