"""The variables that ``docker-compose.yml`` reads from ``.env`` beyond the platform's own settings.

What belongs here: their names, meanings and defaults, once, for ``lakehouse init``, the preflight check and
``.env.example``. What does not: the platform's settings (:mod:`lakehouse.settings`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from lakehouse.errors import ConfigError
from lakehouse.production.secrets import weakness

EXAMPLE_SECRET = "change-me"  # noqa: S105 - the text that .env.example shows and production refuses
INIT_COMMAND = "lakehouse init --production"
URL_SAFE = re.compile(r"[A-Za-z0-9._~-]+")
"""What needs no escaping in a URL: the compose file puts passwords into URLs as they are."""


@dataclass(frozen=True)
class Variable:
    """One variable of the stack.

    Attributes:
        name: as in ``.env``.
        meaning: one sentence for a person.
        default: what the compose file takes where it is not set; None for a secret, which must be set.
    """

    name: str
    meaning: str
    default: str | None = None

    @property
    def secret(self) -> bool:
        """Whether it must be generated and guarded."""
        return self.default is None


SECRETS = (
    Variable("STACK_S3_ROOT_PASSWORD", "Object store: root password (user lakehouse-root); for its set-up only."),
    Variable("STACK_S3_SECRET_KEY", "Object store: secret key of the platform (access key lakehouse); one bucket."),
    Variable("STACK_STATE_SUPERUSER_PASSWORD", "State server: role postgres; for set-up only."),
    Variable("STACK_STATE_PASSWORD", "State server: role lakehouse_state, which owns the platform's state."),
    Variable("STACK_MARTS_SUPERUSER_PASSWORD", "Marts server: role postgres; for set-up only."),
    Variable("STACK_MARTS_ADMIN_PASSWORD", "Marts server: role lakehouse_admin; for migrations only."),
    Variable("STACK_MARTS_WRITER_PASSWORD", "Marts server: role lakehouse_writer, which publishes."),
    Variable("STACK_MARTS_BI_PASSWORD", "Marts server: role lakehouse_bi, which reads; for dashboards."),
    Variable("STACK_MARQUEZ_PASSWORD", "Marquez's own Postgres (profile lineage): role marquez."),
)

OPTIONS = (
    Variable("STACK_IMAGE_TAG", "Tag of the image built from this checkout.", "local"),
    Variable("STACK_RUN_MEMORY", "Memory limit of each container that executes runs; DuckDB takes half of it.", "4g"),
    Variable("STACK_RUN_CPUS", "Processors of each container that executes runs, a whole number.", "2"),
    Variable("STACK_WEB_PORT", "Dagster's pages on 127.0.0.1.", "3000"),
    Variable("STACK_S3_PORT", "The object store's S3 port on 127.0.0.1.", "9000"),
    Variable("STACK_S3_CONSOLE_PORT", "The object store's console on 127.0.0.1.", "9001"),
    Variable("STACK_MARTS_PORT", "The marts server on 127.0.0.1.", "5432"),
    Variable("STACK_MARQUEZ_PORT", "Marquez's API on 127.0.0.1.", "5000"),
    Variable("STACK_MARQUEZ_WEB_PORT", "Marquez's pages on 127.0.0.1.", "3002"),
)


def check(environment: Mapping[str, str]) -> None:
    """Refuse to go on with weak secrets, unless ``LAKEHOUSE_ENVIRONMENT`` says development.

    Raises:
        ConfigError: one error naming every variable that is weak, unfit for a URL, or used twice.
    """
    if environment.get("LAKEHOUSE_ENVIRONMENT") == "development":
        return
    faults = []
    users: dict[str, str] = {}
    for secret in SECRETS:
        value = environment.get(secret.name, "")
        if fault := weakness(value):
            faults.append(f"{secret.name} {fault}")
        elif not URL_SAFE.fullmatch(value):
            faults.append(f"{secret.name} holds other characters than letters, digits and - . _ ~ (it is part of URLs)")
        elif value in users:
            faults.append(f"{secret.name} is the same as {users[value]}")
        else:
            users[value] = secret.name
    if faults:
        raise ConfigError(
            "The stack does not start with these secrets:\n  - " + "\n  - ".join(faults),
            remedy=f"Empty those lines in .env and run `{INIT_COMMAND}`: it generates what is missing, keeps the rest. "
            "To try the stack with examples, set LAKEHOUSE_ENVIRONMENT=development.",
        )
