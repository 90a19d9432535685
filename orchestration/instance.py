"""The Dagster instance of this platform: its home, its ``dagster.yaml``, its environment.

``dagster.yaml`` is written from the settings, so that the web pages, the daemon, runs and the command line always
agree; it holds no password (libpq reads the password file).
"""

import os
from pathlib import Path
from typing import Any

import yaml

from lakehouse.postgres.connect import sqlalchemy_url, state_url
from lakehouse.settings import Settings

RUN_START_TIMEOUT_SECONDS = 180


def instance_config(settings: Settings) -> dict[str, Any]:
    """Content of ``dagster.yaml``.

    Storage is Postgres. Losing the last milliseconds of an event log in a power cut is harmless, waiting for a disk
    flush per event is not: ``synchronous_commit=off`` for Dagster's connections only.
    """
    url = sqlalchemy_url(state_url(settings))
    url += ("&" if "?" in url else "?") + "options=-csynchronous_commit%3Doff"
    # With embedded Postgres the URL names the password file; an external URL carries its password, so it stays in
    # the environment.
    location: Any = url if settings.embedded_postgres else {"env": "LAKEHOUSE_DAGSTER_URL"}
    return {
        "storage": {
            "custom": {
                "module": "orchestration.storage",
                "class": "KeptPostgresStorage",
                "config": {"postgres_url": location},
            }
        },
        "run_coordinator": {
            "module": "dagster.core.run_coordinator",
            "class": "QueuedRunCoordinator",
            # A code server that was killed is back within seconds; what was about to start waits for it.
            "config": {"max_user_code_failure_retries": 10, "user_code_failure_retry_delay": 5},
        },
        # No pools: a step that waits for a slot in its run's own process spins on a whole core (Dagster 1.13), and a
        # killed one keeps its slot. Writers of the warehouse queue at its lock.
        "concurrency": {"runs": {"max_concurrent_runs": 4}},
        "run_monitoring": {
            "enabled": True,
            "start_timeout_seconds": RUN_START_TIMEOUT_SECONDS,
            "cancel_timeout_seconds": 60,
            "poll_interval_seconds": 15,
        },
        # A run whose process died is started again, twice at most; one whose step failed is not: steps have retries.
        "run_retries": {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False},
        "retention": {
            "schedule": {"purge_after_days": settings.run_retention_days},
            "sensor": {"purge_after_days": {"skipped": 1, "failure": 7, "success": settings.run_retention_days}},
        },
        # Two daemons we have no use for: no asset has an automation condition or a freshness policy.
        "auto_materialize": {"enabled": False, "use_sensors": False},
        "freshness": {"enabled": False},
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},  # no sign-up dialog on the first visit
    }


def prepare_home(settings: Settings) -> Path:
    """Write ``dagster.yaml`` and put the instance's variables into this process's environment.

    Returns:
        DAGSTER_HOME.
    """
    home = settings.dagster_home
    home.mkdir(parents=True, exist_ok=True)
    text = "# Written from the settings at every start; edit .env instead.\n" + yaml.safe_dump(
        instance_config(settings), sort_keys=False
    )
    path = home / "dagster.yaml"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        fresh = path.with_suffix(f".{os.getpid()}.new")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    os.environ.update(dagster_environment(settings))
    return home


def dagster_environment(settings: Settings) -> dict[str, str]:
    """Variables every Dagster process needs. Holds a password where Postgres is external: do not print it."""
    environment = {"DAGSTER_HOME": str(settings.dagster_home), "DAGSTER_DISABLE_TELEMETRY": "yes"}
    if not settings.embedded_postgres:
        environment["LAKEHOUSE_DAGSTER_URL"] = sqlalchemy_url(state_url(settings))
    return environment
