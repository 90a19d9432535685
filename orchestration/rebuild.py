"""Everything anew from the raw zone: the ledger from its journal, then all layers, arrival times included."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ingestion import journal, kept
from ingestion.alerts import conditions
from ingestion.declarations import DropZoneSource, load_all
from ingestion.history import Row, moments
from ingestion.ledger_export import export
from lakehouse import alerts, maintenance
from lakehouse.backup import wipe
from lakehouse.backup.restore import require_idle
from lakehouse.errors import LakehouseError, UnavailableError
from lakehouse.postgres import connect, embedded, migrate
from lakehouse.settings import Settings
from lakehouse.storage import Lake, open_lake
from orchestration import progress
from orchestration.lineage.mapping import map_here
from orchestration.options import RunOptions
from orchestration.run import RunSummary, run

COMMAND = "lakehouse rebuild --from-lake --yes"
PUT_BACK = "put_back"
BUILT_BEFORE = "dbt_staging_models or dbt_curated_models"
Say = Callable[[str], None]


@dataclass
class Plan:
    """What a source is rebuilt from.

    Attributes:
        source: the declaration.
        facts: of its journal; None where it has none, and every file counts as new.
        available: rows of missing files whose content is kept.
        lost: keys of missing files whose content is not there: what they gave cannot be built again.
    """

    source: DropZoneSource
    facts: journal.Facts | None
    available: list[Row] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """All ledger rows."""
        return list(self.facts.files.values()) if self.facts else []


def plan(settings: Settings) -> list[Plan]:
    """Read everything the raw zone knows; changes nothing.

    Raises:
        DataError: a journal is not whole.
        UnavailableError: the lake cannot be reached.
    """
    lake = open_lake(settings)
    lake.check()
    found = []
    for source in load_all().values():
        made = Plan(source, journal.read(lake, source))
        _gone_unbuilt(made.rows)
        for row in made.rows:
            if row["status"] == "missing":
                if kept.is_there(lake, source, row):
                    made.available.append(row)
                else:
                    made.lost.append(row["file_key"])
        found.append(made)
    return found


def _gone_unbuilt(rows: Sequence[dict[str, Any]]) -> None:
    """A file that left before it was built has left, whatever the ledger was still waiting for."""
    newest = max((int(row["ingestion_id"]) for row in rows), default=0)
    for row in rows:
        if row["status"] == "accepted" and row["facts"].pop("read_from", None):
            row["status"] = "missing"
            row["facts"]["gone_after"] = newest


def rebuild(
    settings: Settings,
    plans: Sequence[Plan],
    *,
    discard_postgres: bool = False,
    on_note: Say,
    on_line: Callable[[progress.AssetLine], None],
) -> RunSummary:
    """Delete all but the raw zone, and build it again.

    Args:
        settings: the platform's settings.
        plans: from :func:`plan`.
        discard_postgres: delete the embedded server's databases too (one that does not start), marts included.
        on_note: told what is going on.
        on_line: told how each asset comes out.

    Returns:
        Of the last run, which builds everything.

    Raises:
        BusyError: something works on the platform; named.
        UnavailableError: the state database cannot be reached.
        LakehouseError: a layer does not build; run it again when the cause is mended.
    """
    lake = open_lake(settings)
    with maintenance.alone(settings, "rebuild"):
        former = maintenance.noted(settings)
        if discard_postgres:
            embedded.stop(settings)
            maintenance.note(settings, "rebuild", COMMAND, former.details if former else None)
            wipe.embedded_cluster(settings)
        with embedded.running(settings):
            _clear(settings, on_note)
            if former:
                _take_back(lake, plans, former.details.get(PUT_BACK, []))
            for rows_by_plan in _moments(plans):
                on_note(f"building with {_missing_in(rows_by_plan)} file(s) that have left the drop zone since")
                with _present(settings, lake, plans, rows_by_plan):
                    _fill_ledger(settings, lake, plans, rows_by_plan)
                    _require_built(
                        run(
                            settings,
                            select=BUILT_BEFORE,
                            options=RunOptions(accept_stale=True),
                            on_note=on_note,
                            on_line=on_line,
                        )
                    )
            on_note("the ledger as it was")
            _fill_ledger(settings, lake, plans, None)
            # From here on the platform is an ordinary one whose curated layer is behind: any run finishes it.
            maintenance.done(settings)
            summary = run(settings, select="*", options=RunOptions(), on_note=on_note, on_line=on_line)
            map_here(settings)
            return summary


def _clear(settings: Settings, on_note: Say) -> None:
    try:
        migrate.migrate_marts(settings)
        marts = True
    except UnavailableError as error:
        on_note(f"the marts are left for a later run: {error.message}")
        marts = False
    require_idle(settings, marts=marts)
    former = maintenance.noted(settings)
    maintenance.note(settings, "rebuild", COMMAND, former.details if former else None)
    on_note("deleting state, warehouse, Dagster's home and dbt's artefacts; the marts stay until they are replaced")
    wipe.state(settings)
    wipe.local_files(settings)
    migrate.migrate_state(settings)
    if marts:
        wipe.forget_publications(settings)


def _moments(plans: Sequence[Plan]) -> Iterator[list[list[Row]]]:
    """For each moment the rows per source; sources with fewer moments wait in their last one."""
    each = [moments(item.rows, item.available) for item in plans]
    for step in range(max((len(item) for item in each), default=0)):
        yield [
            item[min(step, len(item) - 1)] if item else [row for row in made.rows if row["status"] == "accepted"]
            for item, made in zip(each, plans, strict=True)
        ]


def _missing_in(rows_by_plan: Sequence[Sequence[Row]]) -> int:
    return sum(row["status"] == "missing" for rows in rows_by_plan for row in rows)


@contextlib.contextmanager
def _present(
    settings: Settings, lake: Lake, plans: Sequence[Plan], rows_by_plan: Sequence[Sequence[Row]]
) -> Iterator[None]:
    """Have the kept content of missing files under its old name for the length of the block."""
    pairs = [
        (kept.key_of(item.source, row), row["file_key"])
        for item, rows in zip(plans, rows_by_plan, strict=True)
        for row in rows
        if row["status"] == "missing"
    ]
    taken = [target for _, target in pairs if lake.exists(target)]
    if taken:
        raise LakehouseError(
            f"Files that the ledger knows as gone are there, in other versions: {', '.join(taken[:5])}.",
            remedy="Move them away for the time of the rebuild, and drop them again afterwards.",
        )
    # Noted first: should this process be killed, the next attempt takes them out of the drop zone.
    maintenance.note(settings, "rebuild", COMMAND, {PUT_BACK: [target for _, target in pairs]})
    lake.keep(pairs)
    placed = {target: version for _, target in pairs if (version := _version(lake, target)) is not None}
    try:
        yield
    finally:
        for target, version in placed.items():
            if _version(lake, target) == version:  # else somebody has dropped a file of this name meanwhile
                lake.delete(target)


def _version(lake: Lake, key: str) -> str | None:
    try:
        return lake.stat(key).version
    except FileNotFoundError:
        return None


def _take_back(lake: Lake, plans: Sequence[Plan], keys: Sequence[str]) -> None:
    fingerprints = {row["file_key"]: row["fingerprint"] for item in plans for row in item.available}
    for key in keys:
        with contextlib.suppress(FileNotFoundError):
            if lake.atomic_arrival or lake.fingerprint(lake.stat(key)) == fingerprints.get(key):
                lake.delete(key)


def _fill_ledger(
    settings: Settings, lake: Lake, plans: Sequence[Plan], rows_by_plan: Sequence[Sequence[Row]] | None
) -> None:
    """The ledger of a moment, or as it was at the end, and its list for dbt."""
    connection = connect.connect_state(settings)
    try:
        for number, item in enumerate(plans):
            facts = item.facts or journal.Facts()
            if rows_by_plan is not None:
                counted: dict[str, dict[str, Any]] = {
                    row["batch_key"]: {**row, "status": "accepted"} for row in rows_by_plan[number]
                }
                facts = journal.Facts(files=counted)
            with connection, connection.cursor() as cursor:
                journal.replay(cursor, item.source, facts)
                if rows_by_plan is None:
                    alerts.raise_all(cursor, conditions(item.source, list(facts.files.values())), None)
            export(lake, connection, item.source)
    finally:
        connection.close()


def _require_built(summary: RunSummary) -> None:
    if not summary.success:
        raise LakehouseError(
            "What files gave that have left the drop zone could not be built:\n" + "\n".join(summary.errors),
            remedy=f"Mend the cause and run it again, or leave it out: {COMMAND} --without-missing",
        )
