"""One trace from beginning to end: the row, the way up through the warehouse, the files.

What belongs here: opening what is needed, for as short as possible. What does not: any of the steps, and printing.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lakehouse.errors import DataError
from lakehouse.settings import Settings
from lineage.trace.files import RawFiles
from lineage.trace.ledger import Ledger
from lineage.trace.models import Model, Models
from lineage.trace.result import Step, Trace
from lineage.trace.start import MartTable, Table, WarehouseTable, find, load, parse
from lineage.trace.walk import Walker

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from psycopg2.extensions import connection as Connection

READER_WAIT_SECONDS = 60.0
START = "trace_start"
CUT = re.compile(r"/\* and [\d,]+ more \*/")
"""What stored SQL says where a long list was cut: a filter of it would let too little through."""


@dataclass(frozen=True)
class Asked:
    """What is to be traced.

    Attributes:
        model: name of a mart or another model, as given.
        keys: ``column=value`` or ``column:null``.
        several: trace all rows that answer, together.
        sample: rows to show of each relation.
    """

    model: str
    keys: Sequence[str]
    several: bool = False
    sample: int = 0


def trace(
    settings: Settings,
    manifest: Mapping[str, Any],
    asked: Asked,
    *,
    compiled: Callable[[], Mapping[str, str]],
    on_wait: Callable[[str], None] = lambda _: None,
) -> Trace:
    """Trace rows of a model back to the raw files.

    The embedded server runs for the length of it; the warehouse is shared with other readers, and kept from writers
    while it is read.

    Args:
        settings: the platform's settings.
        manifest: dbt's ``manifest.json``.
        asked: what to trace.
        compiled: gives the SQL of models (by name) whose last build left none; called only if there are any.
        on_wait: called with a line where a writer has to be waited for.

    Raises:
        ConfigError: no such model or column, or the keys name several rows.
        DataError: no such row, or nothing is built yet.
        BusyError: the warehouse stayed taken.
        UnavailableError: a database cannot be reached.
    """
    from lakehouse.postgres.connect import connect_state
    from lakehouse.postgres.embedded import running
    from lakehouse.storage import open_lake

    models = Models(manifest)
    model = models.named(asked.model)
    if not settings.warehouse.exists():
        raise DataError(f"There is no warehouse yet at {settings.warehouse}.", remedy="Build it: `lakehouse run`.")
    with running(settings), contextlib.closing(connect_state(settings)) as state:
        state.set_session(readonly=True)
        queries = _queries(state, models, model, compiled)
        with _warehouse(settings, on_wait) as connection, _table(settings, connection, model) as table:
            ledger = Ledger(state)
            files = RawFiles(connection, open_lake(settings), ledger, models)
            walker = Walker(connection, models, queries, files, sample=asked.sample)
            keys = parse(asked.keys, table)
            rows = find(table, keys, walker.columns(model), several=asked.several)
            load(connection, table, rows, START)
            step = Step(model.name, str(model.relation), model.layer, "start", " and ".join(map(str, keys)), len(rows))
            step.columns = list(rows[0])
            step.sample = [tuple(row.values()) for row in rows[: max(asked.sample, 1)]]
            result = Trace(step, {key.column: key.text for key in keys}, model.grain, ledger.built_at(model.name))
            walker.follow(model, step, START)
    _compare(result)
    return result


def _compare(result: Trace) -> None:
    """Say what is not as it was when the row was built."""
    for step in result.start.walk():
        if step.rows == 0 and step.role == "own" and not any(item.where == "gone" for item in step.files):
            result.warnings.append(
                f"{step.relation} has no such row any more: it was built anew since {result.start.relation} was."
            )
        for item in step.files:
            if result.built_at is not None and item.version.accepted_at > result.built_at:
                item.warnings.append(f"accepted after {result.start.relation} was last built: the row is without it")


def _queries(
    state: Connection, models: Models, model: Model, compiled: Callable[[], Mapping[str, str]]
) -> dict[str, str]:
    """SQL of each model: that of its last build; where none was stored in full, compiled now."""
    import psycopg2

    stored: dict[str, str] = {}
    try:
        with state, state.cursor() as cursor:
            cursor.execute(
                "SELECT asset_key, compiled_sql FROM data_platform.lineage_models WHERE compiled_sql IS NOT NULL"
            )
            stored = dict(cursor.fetchall())
    except psycopg2.errors.UndefinedTable:
        pass  # a database that was last migrated by an older version
    # The list of files in a staging model's SQL is not used: it may be cut.
    readers = {item.name for item in models.all if item.source is not None}
    stored = {name: sql for name, sql in stored.items() if name in readers or not CUT.search(sql)}
    if models.with_ancestors(model) - stored.keys():
        stored = {**compiled(), **stored}
    return stored


@contextlib.contextmanager
def _warehouse(settings: Settings, on_wait: Callable[[str], None]) -> Iterator[DuckDBPyConnection]:
    from lakehouse.duckdb.connect import connect
    from lakehouse.duckdb.lock import shared

    def waiting(who: object) -> None:
        on_wait(f"Waiting for the warehouse: {who or 'another process'} writes it.")

    with (
        shared(settings.warehouse, timeout=READER_WAIT_SECONDS, on_wait=waiting),
        connect(settings, settings.warehouse, read_only=True) as connection,
    ):
        yield connection


@contextlib.contextmanager
def _table(settings: Settings, warehouse: DuckDBPyConnection, model: Model) -> Iterator[Table]:
    if not model.in_postgres:
        yield WarehouseTable(warehouse, model)
        return
    from lakehouse.postgres.connect import connect_bi

    with contextlib.closing(connect_bi(settings)) as connection:
        connection.set_session(readonly=True)
        with connection, connection.cursor() as cursor:
            cursor.execute("SET TIME ZONE 'UTC'")
        yield MartTable(connection, model)
