"""Images of others as native programs: what their entry points do, with the same command and environment."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from compose_file import tool
from object_stores import minio_binary

from lakehouse.postgres import binaries
from lakehouse.postgres.service_user import run_as, service_account


def object_store(command: Sequence[str], environment: Mapping[str, str], folder: Path) -> list[str]:
    """MinIO stands for SILO: the entry point puts the server's name in front."""
    binary = minio_binary()
    if binary is None or not Path(binary).exists():
        pytest.skip("no MinIO binary; `make minio` builds it")
    return [binary, *command]


def client_folder() -> Path:
    """Folder of ``mc``, which SILO's image brings along."""
    return Path(tool("mc", "LAKEHOUSE_TEST_MC")).parent


def postgres_programs() -> Path:
    """The folder of ``postgres``, ``initdb`` and ``pg_isready``, reachable by the account that runs them."""
    return binaries.for_account(service_account(Path("/nonexistent")))


def postgres(command: Sequence[str], environment: Mapping[str, str], folder: Path, port: int) -> list[str]:
    """The official image: a new cluster for POSTGRES_USER with POSTGRES_PASSWORD, scram for everybody over TCP."""
    assert command[0] == "postgres"
    cluster = folder / "18" / "docker"
    account = service_account(cluster)
    programs = postgres_programs()
    if not cluster.exists():
        secret = folder / "pw"
        secret.write_text(environment["POSTGRES_PASSWORD"])
        if account is not None:
            shutil.chown(folder, account.uid, account.gid)
            shutil.chown(secret, account.uid, account.gid)
        user = environment.get("POSTGRES_USER", "postgres")
        subprocess.run(
            [programs / "initdb", "--pgdata", cluster, "--username", user, "--pwfile", secret, "--auth=scram-sha-256"],
            **run_as(account),
            cwd="/",
            check=True,
            capture_output=True,
        )
        secret.unlink()
    own = [f"--port={port}", "--listen_addresses=127.0.0.1", "--unix_socket_directories="]
    return [str(programs / "postgres"), "-D", str(cluster), *command[1:], *own]
