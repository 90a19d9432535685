"""One embedded PostgreSQL for all ingestion tests, an empty ledger and an own lake for each."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import tempfile
import uuid
from datetime import UTC, datetime
from pathlib import Path

import object_stores
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from readings import readings

from ingestion.ingest import ingest
from lakehouse.postgres import ready
from lakehouse.postgres.connect import connect, state_url
from lakehouse.settings import Settings
from lakehouse.storage import open_lake

TABLES = ("ingestion_runs", "schema_history", "alert_history")


@pytest.fixture(scope="session")
def server():
    """Settings of a running embedded server (in a short path: its socket's name is limited)."""
    folder = Path(tempfile.mkdtemp(prefix="lh-ingest-", dir="/tmp"))
    settings = Settings(_env_file=None, data_dir=folder, postgres_port=object_stores.free_port(), accept_stale=True)
    with ready(settings):
        yield settings
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def state(server):
    """A connection to an empty ledger."""
    connection = connect(state_url(server), what="the state database")
    with connection, connection.cursor() as cursor:
        cursor.execute("TRUNCATE " + ", ".join(f"data_platform.{table}" for table in TABLES) + " RESTART IDENTITY")
    connection.autocommit = True
    yield connection
    connection.close()


@pytest.fixture
def settings(server, state, tmp_path) -> Settings:
    """An own local lake, the shared server."""
    return server.model_copy(update={"lake_url": str(tmp_path / "lake")})


@pytest.fixture(scope="session")
def moto_endpoint():
    with object_stores.moto_server() as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def minio_endpoint(tmp_path_factory):
    with object_stores.minio_server(tmp_path_factory.mktemp("minio")) as endpoint:
        yield endpoint


@pytest.fixture(params=["moto", pytest.param("minio", marks=pytest.mark.prove)])
def s3_settings(request, server, state) -> Settings:
    """An own prefix in a bucket, the shared server."""
    secret = type(server.s3_access_key)
    return server.model_copy(
        update={
            "lake_url": f"s3://{object_stores.BUCKET}/{uuid.uuid4().hex}",
            "s3_endpoint": request.getfixturevalue(f"{request.param}_endpoint"),
            "s3_access_key": secret(object_stores.ACCESS_KEY),
            "s3_secret_key": secret(object_stores.SECRET_KEY),
        }
    )


class Zone:
    """The drop zone of a lake, with what tests do to it."""

    def __init__(self, settings: Settings, state, scratch: Path) -> None:
        self.settings, self.state, self.scratch = settings, state, scratch
        self.lake = open_lake(settings)

    def drop(self, name: str = "B001.parquet", table: pa.Table | bytes | None = None, *, age: float = 60) -> str:
        """Put a file there as if it had been written ``age`` seconds ago; return its key."""
        key = f"raw/bioreactor/{name}"
        if table is None:
            table = readings(Path(name).stem)
        if isinstance(table, pa.Table):
            file = self.scratch / "drop.parquet"
            pq.write_table(table, file)
            table = file.read_bytes()
        self.lake.write(key, table)
        if not self.lake.atomic_arrival:
            moment = datetime.now(UTC).timestamp() - age
            os.utime(self.path(key), (moment, moment))
        return key

    def path(self, key: str) -> Path:
        return Path(self.lake.uri(key))

    def ingest(self, **options):
        options.setdefault("wait", False)
        return ingest(self.settings, options.pop("source", "bioreactor"), **options)

    def rows(self, query: str) -> list[tuple]:
        with self.state.cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def ledger(self) -> dict[str, list[str]]:
        """Statuses by file name, oldest first."""
        found: dict[str, list[str]] = {}
        for key, status in self.rows("SELECT file_key, status FROM data_platform.ingestion_runs ORDER BY ingestion_id"):
            found.setdefault(key.removeprefix("raw/bioreactor/"), []).append(status)
        return found

    def open_alerts(self) -> list[tuple[str, str]]:
        return self.rows(
            "SELECT kind, subject FROM data_platform.alert_history WHERE resolved_at IS NULL ORDER BY kind, subject"
        )

    def exported(self) -> pa.Table:
        file = self.scratch / "ledger.parquet"
        file.write_bytes(self.lake.read("raw/_ledger/bioreactor.parquet"))
        return pq.read_table(file)


@pytest.fixture
def zone(settings, state, tmp_path) -> Zone:
    return Zone(settings, state, tmp_path)


@pytest.fixture
def s3_zone(s3_settings, state, tmp_path) -> Zone:
    return Zone(s3_settings, state, tmp_path)


@pytest.fixture
def no_privileges():
    """A context in which even root must obey file permissions (it drops the capability that lets it read anything)."""
    return _obeying_permissions


@contextlib.contextmanager
def _obeying_permissions():
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # version 3 of the interface, this thread
    sets = (ctypes.c_uint32 * 6)()  # effective, permitted, inheritable; low words, then high words
    if libc.capget(header, sets):
        pytest.skip("the capabilities of this process cannot be read")
    before = sets[0]
    sets[0] &= ~0b110  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH
    assert libc.capset(header, sets) == 0
    try:
        yield
    finally:
        sets[0] = before
        assert libc.capset(header, sets) == 0
