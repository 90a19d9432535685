"""The one place where configuration is read: ``LAKEHOUSE_*`` variables and ``.env``, validated at once.

What belongs here: every knob, its default, its meaning, and the values derived from them (paths, URLs).
What does not: opening anything. No I/O happens here beyond reading ``.env``.
The configuration reference in ``docs/`` is generated from this class.
"""

from __future__ import annotations

import contextlib
import functools
import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit
from zoneinfo import ZoneInfo

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from lakehouse.errors import ConfigError

PROJECT_ROOT = Path(__file__).resolve().parent.parent
"""The checkout: relative paths in settings are taken from here, so the working directory never matters."""

CGROUP_MEMORY = Path("/sys/fs/cgroup/memory.max")
"""The memory limit of this container in bytes (cgroup v2)."""

Port = Annotated[int, Field(ge=1, le=65535)]


class Settings(BaseSettings):
    """Everything that differs between a laptop, a test and production.

    Embedded defaults need nothing. Setting ``LAKEHOUSE_STATE_URL`` and ``LAKEHOUSE_MARTS_URL`` replaces the
    embedded Postgres, setting ``LAKEHOUSE_LAKE_URL`` to ``s3://…`` the local lake.
    """

    model_config = SettingsConfigDict(
        env_prefix="LAKEHOUSE_",
        env_file=PROJECT_ROOT / ".env",
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,  # a fault in a URL must not print its password
    )

    environment: Literal["development", "production"] = Field(
        "development",
        description="`production` refuses empty, short and example passwords (`lakehouse init --production`).",
    )
    data_dir: Path = Field(
        Path("data"),
        description="Folder of the embedded lake, warehouse, Postgres and Dagster home; relative to the checkout.",
    )
    lake_url: str = Field(
        "",
        description="Where the lake is: empty for `<data_dir>/lake`, a directory, or `s3://bucket[/prefix]`.",
    )
    s3_endpoint: str = Field("", description="S3 endpoint, e.g. `http://127.0.0.1:9000`. Empty: AWS.")
    s3_region: str = Field("us-east-1", description="S3 region.")
    s3_access_key: SecretStr = Field(SecretStr(""), description="S3 access key.")
    s3_secret_key: SecretStr = Field(SecretStr(""), description="S3 secret key.")

    keep_raw_files: bool = Field(
        True,
        description="Keep the content of accepted files under `raw/_kept/` (a hard link on a local disk, a copy in the "
        "store on S3), so that `lakehouse rebuild` has what files gave that were deleted from a drop zone.",
    )

    warehouse_path: Path = Field(
        Path("warehouse/lakehouse.duckdb"),
        description="The DuckDB file, relative to `data_dir`.",
    )
    duckdb_memory_limit: str = Field(
        "",
        description="DuckDB memory limit, e.g. `3GB`. Empty: half of the memory at hand, at most 8 GB.",
        pattern=r"^$|^\d+(\.\d+)?\s?(KB|MB|GB|TB|KiB|MiB|GiB|TiB)$",
    )
    duckdb_threads: int = Field(0, ge=0, description="DuckDB threads. 0: one per usable core.")
    lock_timeout_seconds: float = Field(
        1800, ge=0, description="How long a step waits for the warehouse before it gives up, in seconds."
    )

    state_url: SecretStr | None = Field(
        None,
        description="`postgresql://user:password@host:port/db` of the platform's state and Dagster's storage. "
        "Empty: embedded.",
    )
    marts_url: SecretStr | None = Field(
        None,
        description="`postgresql://…` of the served marts (role that publishes). Empty: embedded.",
    )
    marts_admin_url: SecretStr | None = Field(
        None,
        description="`postgresql://…` with the right to create schemas and roles in the marts database, used only by "
        "migrations. Empty: the marts URL itself.",
    )
    marts_keep_versions: int = Field(
        2, ge=0, description="How many former versions of each mart are kept for `lakehouse rollback`. 0: none."
    )
    postgres_port: Port = Field(15432, description="TCP port of the embedded Postgres on 127.0.0.1.")

    webserver_port: Port = Field(3000, description="Port of the Dagster web pages under `lakehouse up`.")
    code_server_port: Port = Field(4266, description="Port of the Dagster code server under `lakehouse up`.")
    code_server_host: str = Field(
        "127.0.0.1", description="Where web pages and daemon find the Dagster code server, a host name or address."
    )
    webserver_host: str = Field("127.0.0.1", description="Where the daemon's health check finds the Dagster web pages.")
    listen_host: str = Field(
        "127.0.0.1",
        description="Address that web pages and code server listen on. They ask nobody for a password: `0.0.0.0` only "
        "inside a container or behind a proxy that does.",
    )

    public_url: str = Field(
        "",
        description="Where people reach the web pages, e.g. `https://lakehouse.example.org`: lineage links to a run's "
        "page there. Empty: `http://127.0.0.1:<webserver_port>`.",
    )

    timezone: str = Field("UTC", description="Time zone of the schedules, an IANA name.")
    nightly_cron: str = Field("0 2 * * *", description="When `nightly_pipeline` runs (02:00 by default).")
    schedules_on: bool = Field(True, description="Whether schedules and sensors start switched on.")
    sensor_interval_seconds: int = Field(30, ge=5, description="How often the file sensors look, in seconds.")
    worker_look_seconds: float = Field(
        1.0,
        gt=0,
        description="How often the worker lists a drop zone that tells of no file events (S3, network shares), in "
        "seconds.",
    )
    worker_events: bool = Field(True, description="Whether the worker uses file events where the file system has them.")
    worker_memory_limit_mb: int = Field(
        1500, ge=300, description="A worker that has grown beyond this starts itself anew between two runs, in MB."
    )
    worker_stop_seconds: float = Field(
        5.0, ge=0, description="How long a worker that is told to stop lets a run go on before it ends it, in seconds."
    )
    run_retention_days: int = Field(30, ge=1, description="Runs and their event logs are kept this many days.")
    retry_max: int = Field(3, ge=0, description="Retries of a step after a transient failure.")
    retry_delay_seconds: float = Field(
        60, ge=0, description="Wait before the first retry, in seconds; doubles each time."
    )
    freshness_hours: float | None = Field(
        None,
        gt=0,
        description="Overrides the declared maximum age of the newest batch, in hours, for every source.",
    )
    repository_url: str = Field(
        "",
        description="Where the checkout's files can be read, e.g. `https://git.example.com/data/lakehouse/blob/main`: "
        "lineage links to the source of each job there. Empty: it names the file only.",
    )
    accept_stale: bool = Field(False, description="Accept data older than the declared freshness (history loads).")

    lineage_clients: int = Field(
        8, ge=1, le=64, description="How many runs' events are delivered to the lineage server at the same time."
    )
    lineage_look_seconds: float = Field(
        2.0, gt=0, description="How often an idle lineage drainer looks for new events, in seconds."
    )
    lineage_timeout_seconds: float = Field(
        30.0,
        gt=0,
        description="How long the lineage server may take to answer, in seconds; the `timeout` of an `openlineage.yml` "
        "wins.",
    )
    lineage_retry_seconds: float = Field(
        1.0,
        gt=0,
        description="Wait before a lineage event is sent again, or a lineage server that is away is asked again, in "
        "seconds; doubles each time.",
    )
    lineage_retry_max_seconds: float = Field(60.0, gt=0, description="Longest such wait, in seconds.")
    lineage_attempts: int = Field(
        5, ge=1, description="Attempts at a lineage event that the server answers with 500 before it is a dead letter."
    )
    lineage_backlog_alert_minutes: float = Field(
        15.0,
        gt=0,
        description="An alert tells when a lineage event has been waiting for delivery this long, in minutes.",
    )
    lineage_retention_days: int = Field(
        90,
        ge=1,
        description="Delivered lineage events are kept this many days (all, where no lineage server is set); those of "
        "each job's newest runs are always kept.",
    )

    @field_validator("state_url", "marts_url", "marts_admin_url", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("state_url", "marts_url", "marts_admin_url")
    @classmethod
    def _postgres_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            if parts.scheme not in {"postgresql", "postgres"} or not parts.hostname or len(parts.path) < 2:
                raise ValueError("is not postgresql://user:password@host:port/database")
        return value

    @field_validator("lake_url")
    @classmethod
    def _lake(cls, value: str) -> str:
        if "://" in value and not value.startswith("s3://"):
            raise ValueError("is neither a directory nor s3://bucket[/prefix]")
        if value.startswith("s3://") and not urlsplit(value).netloc:
            raise ValueError("names no bucket: s3://bucket[/prefix]")
        return value.rstrip("/")

    @field_validator("s3_endpoint")
    @classmethod
    def _endpoint(cls, value: str) -> str:
        if value and urlsplit(value).scheme not in {"http", "https"}:
            raise ValueError("must start with http:// or https://")
        return value.rstrip("/")

    @field_validator("public_url")
    @classmethod
    def _page(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and (parts.scheme not in {"http", "https"} or not parts.hostname or parts.password):
            raise ValueError("is not http://host[:port][/path] or https://…, without a password")
        return value.rstrip("/")

    @field_validator("timezone")
    @classmethod
    def _zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError("is not an IANA time zone such as Europe/Berlin") from error
        return value

    @field_validator("nightly_cron")
    @classmethod
    def _cron(cls, value: str) -> str:
        if len(value.split()) != 5:
            raise ValueError("is not a cron expression of five fields, e.g. '0 2 * * *'")
        return value

    @model_validator(mode="after")
    def _one_server_or_two(self) -> Settings:
        if (self.state_url is None) != (self.marts_url is None):
            missing = "LAKEHOUSE_STATE_URL" if self.state_url is None else "LAKEHOUSE_MARTS_URL"
            raise ValueError(f"{missing} is missing: set both Postgres URLs, or neither for the embedded server")
        return self

    # -- derived ------------------------------------------------------------------------------------

    @property
    def embedded_postgres(self) -> bool:
        """Whether the platform runs its own Postgres."""
        return self.state_url is None

    @property
    def data_path(self) -> Path:
        """``data_dir`` as an absolute path."""
        return (PROJECT_ROOT / self.data_dir).resolve()

    @property
    def page(self) -> str:
        """Address of the web pages, without a slash at the end."""
        return self.public_url or f"http://127.0.0.1:{self.webserver_port}"

    @property
    def lake_root(self) -> str:
        """Absolute directory or ``s3://bucket[/prefix]``, without a trailing slash."""
        if self.lake_url.startswith("s3://"):
            return self.lake_url
        if self.lake_url:
            return str((PROJECT_ROOT / self.lake_url).resolve())
        return str(self.data_path / "lake")

    @property
    def warehouse(self) -> Path:
        """Absolute path of the DuckDB file."""
        return (self.data_path / self.warehouse_path).resolve()

    @property
    def dagster_home(self) -> Path:
        """DAGSTER_HOME."""
        return self.data_path / "dagster"

    @property
    def dbt_dir(self) -> Path:
        """Where dbt's artefacts and log go (never into the project folder)."""
        return self.data_path / "dbt"

    @property
    def threads(self) -> int:
        """DuckDB threads in force."""
        return self.duckdb_threads or len(os.sched_getaffinity(0))

    @property
    def memory_limit(self) -> str:
        """DuckDB memory limit in force: as set, or half of the memory (the container's, if any), at most 8 GB."""
        if self.duckdb_memory_limit:
            return self.duckdb_memory_limit
        available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        with contextlib.suppress(OSError, ValueError):  # no limit reads "max"
            available = min(available, int(CGROUP_MEMORY.read_text(encoding="ascii")))
        return f"{min(available // 2, 8 * 10**9) // 10**6}MB"


def describe_faults(error: ValidationError) -> list[str]:
    """One line per fault, naming the variable to mend; never the value (it may be a secret)."""
    lines = []
    for fault in error.errors(include_input=False, include_url=False):
        name = "LAKEHOUSE_" + "_".join(str(part) for part in fault["loc"]).upper() if fault["loc"] else ""
        text = fault["msg"].removeprefix("Value error, ")
        lines.append(f"{name}: {text}" if name else text)
    return lines


def weak_secrets(settings: Settings) -> list[str]:
    """One line per password or key that production must not run with, naming its variable; never the value."""
    if settings.environment != "production":
        return []
    from lakehouse.production.secrets import weakness

    found = {"LAKEHOUSE_S3_SECRET_KEY": settings.s3_secret_key.get_secret_value()} if settings.s3_endpoint else {}
    for name in ("state_url", "marts_url", "marts_admin_url"):
        if (url := getattr(settings, name)) is not None:
            found[f"LAKEHOUSE_{name.upper()}"] = unquote(urlsplit(url.get_secret_value()).password or "")
    return [f"{name}: its password {fault}" for name, value in found.items() if (fault := weakness(value))]


@functools.cache
def load_settings() -> Settings:
    """Read the settings once per process.

    Raises:
        ConfigError: one error naming every faulty variable.
    """
    known = {f"LAKEHOUSE_{name.upper()}" for name in Settings.model_fields} | INTERNAL_VARIABLES
    unknown = sorted(name for name in os.environ if name.startswith("LAKEHOUSE_") and name not in known)
    faults = [f"{name}: there is no such setting" for name in unknown]
    try:
        settings = Settings()
        faults += weak_secrets(settings)
    except ValidationError as error:
        faults += describe_faults(error)
    if faults:
        raise ConfigError(
            "The settings have {} fault{}:\n  - {}".format(
                len(faults), "s" if len(faults) > 1 else "", "\n  - ".join(faults)
            ),
            remedy=f"Mend them in the environment or in {PROJECT_ROOT / '.env'}; "
            "docs/reference/configuration.md lists all settings.",
        )
    return settings


INTERNAL_VARIABLES = frozenset(
    {
        # What lakehouse.dbt_environment hands to dbt's profile; derived, never set by a user.
        "LAKEHOUSE_LAKE_ROOT",
        "LAKEHOUSE_DUCKDB_PATH",
        "LAKEHOUSE_DUCKDB_EXTENSION_DIR",
        "LAKEHOUSE_MARTS_DSN",
        "LAKEHOUSE_S3_HOST",
        "LAKEHOUSE_S3_USE_SSL",
        # What orchestration.instance hands to dagster.yaml where Postgres is external; derived too.
        "LAKEHOUSE_DAGSTER_URL",
        # What lakehouse.services.processes tells the daemon.
        "LAKEHOUSE_KEEP_CONNECTIONS",
        "LAKEHOUSE_TEST_CHAOS_ROUNDS",
        "LAKEHOUSE_TEST_CHAOS_SEED",
        "LAKEHOUSE_TEST_MINIO",
        "LAKEHOUSE_TEST_COMPOSE",
        "LAKEHOUSE_TEST_MC",
        "LAKEHOUSE_TEST_REAL_DATA",
        "LAKEHOUSE_TEST_OPENLINEAGE_SCHEMAS",
    }
)
