"""The versions of a mart: the one that is served, and the former ones that can come back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from lakehouse.errors import ConfigError

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection


@dataclass(frozen=True)
class Version:
    """One version of a mart.

    Attributes:
        number: of a kept version; None for the one that is served.
        run_id: the Dagster run that published it; dbt's invocation id where plain dbt did.
        published_at: when it was published, UTC; for one that came back, when it did.
        rows: rows it has.
        size_bytes: what it takes on disk: the table with its indexes, or the rows that lead back to it.
        kept_as: ``served``, ``table`` or ``undo``.
    """

    number: int | None
    run_id: str
    published_at: datetime
    rows: int
    size_bytes: int
    kept_as: str


@dataclass(frozen=True)
class Published:
    """A mart and its versions, newest first; the first is the one that is served.

    Attributes:
        mart: name of the table in schema ``marts``.
        asset_key: the asset it is to the platform.
        held: why runs leave it alone; None where they do not.
        versions: newest first.
    """

    mart: str
    asset_key: str
    held: str | None
    versions: tuple[Version, ...]


def published(connection: Connection, mart: str) -> Published:
    """Look a mart up, by its table's name with or without ``marts.``.

    Raises:
        ConfigError: no mart of that name was ever published; lists those that were.
    """
    name = mart.removeprefix("marts.")
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "select coalesce(model, mart), held_reason, coalesce(run_id, ''), published_at, coalesce(rows, 0),"
            " coalesce(pg_total_relation_size(to_regclass(format('marts.%%I', mart))), 0)"
            " from marts_build.publications where mart = %s",
            (name,),
        )
        served = cursor.fetchone()
        if served is None:
            cursor.execute("select mart from marts_build.publications order by mart")
            known = ", ".join(row[0] for row in cursor.fetchall())
            raise ConfigError(
                f"No mart {name} has been published.", remedy=f"There are: {known or 'none yet; run `lakehouse run`'}."
            )
        cursor.execute(
            "select number, coalesce(run_id, ''), published_at, coalesce(rows, 0),"
            " pg_total_relation_size(kept), kind from marts_build.versions,"
            " to_regclass(format('marts_build.%%I', relation)) as kept"
            " where mart = %s and kept is not null order by number desc",
            (name,),
        )
        former = [_version(*row) for row in cursor.fetchall()]
    asset_key, held, run_id, published_at, rows, size = served
    return Published(name, asset_key, held, (_version(None, run_id, published_at, rows, size, "served"), *former))


def _version(number: int | None, run_id: str, published_at: datetime, rows: int, size: int, kept_as: str) -> Version:
    return Version(number, run_id, published_at.astimezone(UTC), rows, size, kept_as)


def of_run(found: Published, run: str) -> Version:
    """The newest former version that a run published.

    Args:
        found: the mart.
        run: its run id, or the beginning of it.

    Raises:
        ConfigError: no kept version, or versions of several runs, answer to it.
    """
    matching = [version for version in found.versions[1:] if version.run_id.startswith(run)]
    runs = sorted({version.run_id for version in matching})
    if len(runs) == 1:
        return matching[0]
    if runs:
        raise ConfigError(f"Several runs begin with {run}: {', '.join(runs)}.", remedy="Give more of the run id.")
    served = found.versions[0].run_id.startswith(run)
    raise ConfigError(
        f"Run {run} published the version of {found.mart} that is being served."
        if served
        else f"No kept version of {found.mart} is from a run {run}.",
        remedy=f"Kept are those of: {_runs(found.versions[1:])}. `lakehouse rollback {found.mart}` lists them.",
    )


def _runs(versions: Sequence[Version]) -> str:
    return ", ".join(dict.fromkeys(version.run_id[:8] for version in versions)) or "no run"


def human_size(size_bytes: int) -> str:
    """Bytes for a person, in powers of ten: ``820 B``, ``1.4 MB``."""
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"
