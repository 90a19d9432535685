"""Is one file what its declaration says? Every fault of a file at once, and what it holds if it is good.

What belongs here: reading, never changing anything; the verdict depends on the arguments only. What does not: what is
done about a bad file (:mod:`ingestion.quarantine`) or written about a good one (:mod:`ingestion.ledger`).
One scan of a file counts, ranges and checks everything; a second one happens only where something is wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ingestion.declarations import DropZoneSource, RowRule
from ingestion.file_signs import first_look
from lakehouse.errors import ConfigError, LakehouseError, UnavailableError, first_line
from lakehouse.sql import identifier, literal
from lakehouse.storage import Lake, LakeObject

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

READING = frozenset({"name", "directory", "dangling", "other", "permission", "empty_file", "not_parquet", "damaged"})
"""Causes that mean that the file cannot be read."""
SCHEMA = frozenset({"columns", "types", "extra"})
"""Causes that mean that it is not the declared table."""
NAMED_ROWS = 5


@dataclass(frozen=True)
class Fault:
    """One reason to refuse a file: a word for machines, and the text and remedy for people."""

    cause: str
    text: str
    remedy: str


@dataclass
class Verdict:
    """What validation found.

    Attributes:
        faults: why the file is refused; empty for a good one.
        rows: rows that go on (rejected ones are not among them).
        rejected: rows set aside, by rule; a row that breaks two rules counts in both.
        rejected_rows: rows set aside.
        min_time, max_time: ISO text, UTC.
        batch_ids, equipment_ids: distinct, sorted.
        columns, extra_columns: physical type by name.
        parameters: by normalised name: rows, out_of_range, min, max, units, known.
    """

    faults: list[Fault] = field(default_factory=list)
    rows: int = 0
    rejected: dict[str, int] = field(default_factory=dict)
    rejected_rows: int = 0
    min_time: str | None = None
    max_time: str | None = None
    batch_ids: list[str] = field(default_factory=list)
    equipment_ids: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)
    extra_columns: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def reason(self) -> str:
        """All faults as one text."""
        return "; ".join(fault.text for fault in self.faults)

    @property
    def remedy(self) -> str:
        """All remedies as one text."""
        return " ".join(dict.fromkeys(fault.remedy for fault in self.faults))

    @property
    def cause(self) -> str | None:
        """The first fault's word."""
        return self.faults[0].cause if self.faults else None


def check_declaration(connection: DuckDBPyConnection, source: DropZoneSource) -> None:
    """Try the declared types and row rules on an empty table.

    Raises:
        ConfigError: names every type and rule that DuckDB does not understand.
    """
    import duckdb

    faults = []
    for column in source.columns:
        try:
            connection.execute(f"SELECT CAST(NULL AS {column.type})")
        except duckdb.Error as error:
            faults.append(f"columns, {column.name}: {first_line(error)}")
    if not faults:
        empty = ", ".join(f"CAST(NULL AS {column.type}) AS {identifier(column.name)}" for column in source.columns)
        for rule in source.row_rules:
            try:
                connection.execute(f"SELECT ({rule.expression})::BOOLEAN FROM (SELECT {empty}) WHERE false")
            except duckdb.Error as error:
                faults.append(f"row_rules, {rule.name}: {first_line(error)}")
    if faults:
        raise ConfigError(
            f"{source.file} is wrong:\n  - " + "\n  - ".join(faults),
            remedy="Mend the SQL; rules see the declared columns, cast to their declared types.",
        )


def validate(lake: Lake, connection: DuckDBPyConnection, source: DropZoneSource, item: LakeObject) -> Verdict:
    """Look at one entry of the drop zone.

    Raises:
        FileNotFoundError: it vanished meanwhile.
        UnavailableError: the lake cannot be reached.
        LakehouseError: DuckDB ran out of memory or disk.
    """
    import duckdb

    if sign := first_look(lake, item):
        return Verdict([Fault(*sign)])
    try:
        return _contents(connection, source, lake.uri(item.key))
    except duckdb.OutOfMemoryException as error:
        raise _not_the_files_fault(error, item) from error
    except (duckdb.IOException, duckdb.HTTPException) as error:
        lake.stat(item.key)  # raises where it vanished
        if lake.atomic_arrival or "No space left" in str(error):
            raise _not_the_files_fault(error, item) from error
        return Verdict([_damaged(error)])
    except duckdb.Error as error:
        lake.stat(item.key)
        return Verdict([_damaged(error)])


def projection(source: DropZoneSource, uri: str, columns: dict[str, str]) -> str:
    """A FROM clause with the declared columns, cast to their declared types, and ``file_row_number``."""
    physical = {name.lower(): name for name in columns}
    parts = [
        f"CAST({identifier(physical[column.name]) if column.name in physical else 'NULL'} AS {column.type})"
        f" AS {identifier(column.name)}"
        for column in source.columns
    ]
    file = f"read_parquet([{literal(uri)}], hive_partitioning = false, file_row_number = true)"
    return f"(SELECT {', '.join(parts)}, file_row_number FROM {file})"


def good_row(source: DropZoneSource) -> str:
    """SQL that is true for rows that break no row rule."""
    rules = [_holds(rule) for rule in source.row_rules if rule.action == "quarantine_rows"]
    return " AND ".join(rules) or "true"


def _contents(connection: DuckDBPyConnection, source: DropZoneSource, uri: str) -> Verdict:
    described = connection.execute(
        f"DESCRIBE SELECT * FROM read_parquet([{literal(uri)}], hive_partitioning = false)"
    ).fetchall()
    verdict = Verdict(columns={row[0]: row[1] for row in described})
    _check_columns(source, verdict)
    if verdict.faults:
        return verdict
    table = projection(source, uri, verdict.columns)
    rows, broken = _scan(connection, source, table, "true")
    if rows == 0:
        verdict.faults.append(
            Fault("no_rows", "it holds no rows", "Export the batch again, with its readings; then replay or drop it.")
        )
        return verdict
    _check_file_rules(connection, source, table, verdict, rows, broken)
    verdict.rejected = {
        rule.name: broken[rule.name]
        for rule in source.row_rules
        if rule.action == "quarantine_rows" and broken[rule.name]
    }
    if verdict.rejected:
        remaining, _ = _scan(connection, source, table, good_row(source))
        verdict.rejected_rows = rows - remaining
        _check_rejected(source, verdict, rows)
        rows = remaining
    verdict.rows = rows
    if not verdict.faults:
        _facts(connection, source, table, verdict)
    return verdict


def _check_columns(source: DropZoneSource, verdict: Verdict) -> None:
    found = {name.lower(): (name, physical) for name, physical in verdict.columns.items()}
    declared = {column.name for column in source.columns}
    missing = [column for column in source.columns if column.required and column.name not in found]
    if missing:
        verdict.faults.append(
            Fault(
                "columns",
                f"column{_s(missing)} {', '.join(column.name for column in missing)} "
                f"{'are' if len(missing) > 1 else 'is'} missing (the file has {', '.join(verdict.columns)})",
                f"Export the file with all columns of {source.file}; then drop it again.",
            )
        )
    for column in source.columns:
        if column.name in found and not column.takes(found[column.name][1]):
            verdict.faults.append(
                Fault(
                    "types",
                    f"column {found[column.name][0]} has type {found[column.name][1]}, "
                    f"expected {' or '.join(column.physical_types)}",
                    f"Export {column.name} as {column.type}, or add the type to `accepts` in {source.file} and replay.",
                )
            )
    verdict.extra_columns = {name: kind for name, kind in verdict.columns.items() if name.lower() not in declared}
    if verdict.extra_columns and source.extra_columns == "freeze":
        verdict.faults.append(
            Fault(
                "extra",
                f"column{_s(verdict.extra_columns)} {', '.join(verdict.extra_columns)} not declared",
                f"Declare them in {source.file}, or set `extra_columns: evolve`; then replay.",
            )
        )


def _scan(
    connection: DuckDBPyConnection, source: DropZoneSource, table: str, condition: str
) -> tuple[int, dict[str, int]]:
    """Group the file by its few labels into a temporary table; count rows, and broken ones by rule."""
    measured = source.measurements
    labels = [source.batch_column, source.equipment_column]
    labels += [measured.parameter_column, measured.unit_column] if measured else []
    groups = [identifier(name) for name in dict.fromkeys(labels) if name]
    value = f"CAST({identifier(measured.value_column)} AS DOUBLE)" if measured else "CAST(NULL AS DOUBLE)"
    when = identifier(source.time_column)
    # A rule over labels alone is judged once per group, not once per row.
    plain = {column.name for column in source.columns if column.name not in labels}
    per_row = [rule for rule in source.row_rules if plain & set(re.findall(r"\w+", rule.expression.lower()))]
    counts = "".join(f", count(*) FILTER (NOT {_holds(rule)}) AS {identifier('rule ' + rule.name)}" for rule in per_row)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE file_groups AS SELECT {', '.join(groups)}, count(*) AS n,"
        f" min({when}) FILTER (isfinite({when})) AS first_time, max({when}) FILTER (isfinite({when})) AS last_time,"
        f" min({value}) AS low, max({value}) AS high{counts} FROM {table} WHERE {condition} GROUP BY ALL"
    )
    sums = [
        f"coalesce(sum({identifier('rule ' + rule.name)}), 0)::BIGINT"
        if rule in per_row
        else f"coalesce(sum(n) FILTER (NOT {_holds(rule)}), 0)::BIGINT"
        for rule in source.row_rules
    ]
    row = connection.execute(f"SELECT {', '.join(['coalesce(sum(n), 0)::BIGINT', *sums])} FROM file_groups").fetchone()
    numbers = [int(number) for number in row or ()]
    return numbers[0], dict(zip([rule.name for rule in source.row_rules], numbers[1:], strict=True))


def _check_file_rules(
    connection: DuckDBPyConnection,
    source: DropZoneSource,
    table: str,
    verdict: Verdict,
    rows: int,
    broken: dict[str, int],
) -> None:
    for rule in source.row_rules:
        if rule.action == "quarantine_file" and broken[rule.name]:
            found = connection.execute(
                f"SELECT file_row_number + 1 FROM {table} WHERE NOT {_holds(rule)} ORDER BY 1 LIMIT {NAMED_ROWS}"
            ).fetchall()
            which = ", ".join(str(row[0]) for row in found) + (", …" if broken[rule.name] > NAMED_ROWS else "")
            verdict.faults.append(
                Fault(
                    f"rule:{rule.name}",
                    f"{broken[rule.name]:,} of {rows:,} rows break the rule {rule.name} ({rule.expression}):"
                    f" row{_s(found)} {which}",
                    f"{rule.description} Mend the rows at their source and drop the file again.",
                )
            )


def _check_rejected(source: DropZoneSource, verdict: Verdict, rows: int) -> None:
    allowed = source.thresholds.max_rejected_row_fraction
    if verdict.rejected_rows > allowed * rows:
        rules = ", ".join(f"{name}: {count:,}" for name, count in verdict.rejected.items())
        verdict.faults.append(
            Fault(
                "rejected_rows",
                f"{verdict.rejected_rows:,} of {rows:,} rows break row rules ({rules}); at most {allowed:.0%} may",
                f"Mend the rows at their source, or raise max_rejected_row_fraction in {source.file} and replay.",
            )
        )


def _facts(connection: DuckDBPyConnection, source: DropZoneSource, table: str, verdict: Verdict) -> None:
    def column(query: str) -> list[Any]:
        return [row[0] for row in connection.execute(query).fetchall()]

    def distinct(name: str) -> list[str]:
        trimmed = f"trim(CAST({identifier(name)} AS VARCHAR))"
        return column(f"SELECT DISTINCT {trimmed} FROM file_groups WHERE {trimmed} <> '' ORDER BY 1")

    times = connection.execute(
        "SELECT CAST(min(first_time) AS VARCHAR) || '+00', CAST(max(last_time) AS VARCHAR) || '+00' FROM file_groups"
    ).fetchone()
    verdict.min_time, verdict.max_time = times or (None, None)
    verdict.batch_ids = distinct(source.batch_column)
    if source.equipment_column:
        verdict.equipment_ids = distinct(source.equipment_column)
    if source.measurements:
        verdict.parameters = _parameters(connection, source, table)


def _parameters(connection: DuckDBPyConnection, source: DropZoneSource, table: str) -> dict[str, dict[str, Any]]:
    measured = source.measurements
    if measured is None:
        return {}
    name = f"lower(trim(CAST({identifier(measured.parameter_column)} AS VARCHAR)))"
    units = f"list(DISTINCT trim({identifier(measured.unit_column)}))" if measured.unit_column else "[]"
    found = connection.execute(
        f"SELECT {name}, sum(n)::BIGINT, min(low), max(high), {units} FROM file_groups GROUP BY 1 ORDER BY 1"
    ).fetchall()
    bounds = {parameter.name: parameter for parameter in source.parameters}
    facts: dict[str, dict[str, Any]] = {
        str(parameter): {
            "rows": rows,
            "out_of_range": 0,
            "min": low,
            "max": high,
            "units": sorted(unit for unit in present if unit),
            "known": parameter in bounds,
        }
        for parameter, rows, low, high, present in found
    }
    outside = [
        bounds[key]
        for key, fact in facts.items()
        if fact["known"]
        and fact["min"] is not None
        and (fact["min"] < bounds[key].min or fact["max"] > bounds[key].max)
    ]
    if outside:  # only now is it worth counting, row by row
        value = identifier(measured.value_column)
        ranges = ", ".join(f"({literal(item.name)}, {item.min!r}::DOUBLE, {item.max!r}::DOUBLE)" for item in outside)
        counts = connection.execute(
            f"SELECT p, count(*) FROM {table} t JOIN (VALUES {ranges}) r(p, low, high) ON p = {name}"
            f" WHERE ({value} < low OR {value} > high) AND {good_row(source)} GROUP BY 1"
        ).fetchall()
        for parameter, count in counts:
            facts[parameter]["out_of_range"] = count
    return facts


def _holds(rule: RowRule) -> str:
    return f"coalesce(({rule.expression})::BOOLEAN, false)"


def _damaged(error: Exception) -> Fault:
    return Fault(
        "damaged",
        f"it is damaged: {first_line(error)}",
        "Copy or export the file again, whole, and drop it again.",
    )


def _not_the_files_fault(error: Exception, item: LakeObject) -> LakehouseError:
    if "ut of memory" in str(error) or "ut of Memory" in str(error):
        return LakehouseError(
            f"Validating {item.key} needs more memory than DuckDB may use: {first_line(error)}",
            remedy="Raise LAKEHOUSE_DUCKDB_MEMORY_LIMIT.",
        )
    return UnavailableError(
        f"The lake failed while {item.key} was read: {first_line(error)}",
        remedy="Look at the object store and at the disk, then run again.",
    )


def _s(items: object) -> str:
    return "s" if len(items) > 1 else ""  # type: ignore[arg-type]  # any sized thing
