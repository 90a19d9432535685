"""Reading raw files the way a staging model does, but only those that are needed, and each in the version that counts.

What belongs here: which file versions a row may come from, the staging model's SQL over just these, and the positions
of the rows found. What does not: ledger and lake (:mod:`lineage.trace.ledger`).

A staging view lists every accepted file as it is now. What a row was built from may be fewer files, or former versions
of them: so the view is not asked, its SQL is, with another list of files (from the drop zone or from the kept copies).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lakehouse.errors import DataError
from lakehouse.storage import Lake
from lineage.trace.ledger import Ledger, locate
from lineage.trace.models import Model, Models, Source
from lineage.trace.result import FileRows, compress
from lineage.trace.values import Relation

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CHOSEN = "trace_files"
"""Temporary table of the files to read; it takes the place of the `…__files` relation."""
ROW, LINE = "_file_row_number", "_file_line_number"
"""Columns of a staging model: the row's position in a Parquet file, the line in a text file."""


class RawFiles:
    """The raw zone as a trace sees it.

    Args:
        connection: DuckDB, with the lake's credentials.
        lake: the lake.
        ledger: the ledger.
        models: which model is the list of files.
    """

    def __init__(self, connection: DuckDBPyConnection, lake: Lake, ledger: Ledger, models: Models) -> None:
        self._connection = connection
        self._lake = lake
        self._ledger = ledger
        self._models = models

    def choose(self, source: Source, register: Relation | None, batches: Sequence[Any] | None) -> list[FileRows]:
        """The file versions that rows of these batches were built from.

        Args:
            source: what is read.
            register: the table of the model below that says which files each batch was built from; None: there is
                none, and every accepted file is read.
            batches: batches of the rows looked for.
        """
        if register is None or batches is None:
            accepted = self._ledger.accepted(source)
            return locate(self._lake, source, accepted, {})
        built = self._built_from(register, batches)
        history = self._ledger.versions(source, {key for key, _ in built})
        versions = []
        for key, fingerprint in built:
            known = [item for item in history.get(key, []) if item.fingerprint == fingerprint]
            if known:
                versions.append(known[-1])
        found = locate(self._lake, source, versions, history)
        names = {key for key, _ in built}
        for later in self._ledger.holding(source, [str(batch) for batch in batches]):
            if later.file_key not in names and found:
                found[-1].warnings.append(
                    f"{later.file_key} holds the same batch and was accepted "
                    f"{later.accepted_at:%Y-%m-%d %H:%M:%S} UTC: this row was built without it"
                )
        return found

    def _built_from(self, register: Relation, batches: Sequence[Any]) -> list[tuple[str, str]]:
        rows = self._connection.execute(
            "SELECT DISTINCT unnest(string_split(_source_files, chr(10))) AS line"
            f' FROM "{register.schema}"."{register.name}" WHERE batch_id IN (SELECT unnest(?)) ORDER BY line',
            [list(batches)],
        ).fetchall()
        return [(line.partition("\t")[0], line.partition("\t")[2]) for (line,) in rows if line]

    def sql(self, model: Model, sql: str, files: Sequence[FileRows]) -> str:
        """The model's SQL over these files alone, as a relation to select from.

        Raises:
            DataError: the model reads files in a way that is not understood.
        """
        from sqlglot import exp, parse_one

        readable = [item for item in files if item.read_key is not None]
        self._list(readable)
        tree = parse_one(sql, dialect="duckdb")
        replaced = False
        for table in list(tree.find_all(exp.Table)):
            if isinstance(table.this, exp.Func) and table.this.sql_name().lower().startswith("read_"):
                # Where nothing can be read the list stays short and is filtered away by the join with the list.
                uris = [exp.Literal.string(self._uri(item.read_key)) for item in readable if item.read_key]
                table.this.expressions[0].replace(exp.Array(expressions=uris))
                replaced = True
            elif (upstream := self._models.of(Relation(table.db.lower(), table.name.lower()))) and upstream.ledger:
                alias = table.args.get("alias") or exp.TableAlias(this=exp.to_identifier(table.name))
                table.replace(exp.Table(this=exp.to_identifier(CHOSEN), alias=alias.copy()))
        if not replaced:
            raise DataError(
                f"The files of {model.name} cannot be found in its SQL.", remedy="Trace the model below it."
            )
        return (
            f"(SELECT r.* REPLACE (f.original_key AS _source_file) FROM ({tree.sql(dialect='duckdb')}) AS r"
            f" INNER JOIN {CHOSEN} AS f ON f.file_key = r._source_file)"
        )

    def _list(self, files: Iterable[FileRows]) -> None:
        rows = [(item.read_key, item.version) for item in files]
        versions = [version for _, version in rows]
        self._connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {CHOSEN} AS SELECT unnest($1::VARCHAR[]) AS file_key,"
            " unnest($2::VARCHAR[]) AS original_key, unnest($3::VARCHAR[]) AS batch_key,"
            " unnest($4::VARCHAR[]) AS fingerprint, unnest($5::BIGINT[]) AS arrival_seq,"
            " unnest($6::TIMESTAMP[]) AS ingested_at, unnest($7::BIGINT[]) AS row_count,"
            " unnest($8::VARCHAR[][]) AS batch_ids",
            [
                [key for key, _ in rows],
                [version.file_key for version in versions],
                [version.batch_key for version in versions],
                [version.fingerprint for version in versions],
                [version.arrival_seq for version in versions],
                [version.accepted_at.replace(tzinfo=None) for version in versions],
                [version.row_count for version in versions],
                [list(version.batch_ids) for version in versions],
            ],
        )

    def _uri(self, key: str) -> str:
        """As DuckDB takes it literally: * ? and [ stand for themselves inside brackets."""
        return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in self._lake.uri(key))

    def positions(self, table: str, files: Sequence[FileRows], *, kept: bool) -> list[FileRows]:
        """Fill in which rows of each file were found; files without any are left out unless they cannot be read.

        Args:
            table: the rows found, with where they came from.
            files: the file versions that were read.
            kept: the table says in ``__kept`` which rows the next layer counted.
        """
        columns = {row[0] for row in self._connection.execute(f"DESCRIBE {table}").fetchall()}
        number = LINE if LINE in columns else ROW
        left_out = "count(*) FILTER (WHERE NOT __kept)" if kept else "0"
        rows = self._connection.execute(
            f"SELECT _source_file, count(*), {left_out}, list({number} ORDER BY {number}) FROM {table}"
            " GROUP BY _source_file"
        ).fetchall()
        by_key = {row[0]: row for row in rows}
        found = []
        for item in files:
            row = by_key.get(item.version.file_key)
            if row is None:
                if item.where == "gone":
                    found.append(item)
                continue
            item.rows, item.not_counted = row[1], row[2]
            item.unit = "line" if number == LINE else "row"
            item.ranges = compress([position for position in row[3] if position is not None])
            found.append(item)
        return found
