"""What a source holds now, summed over the ledger: the facts that checks and pages show, whether or not a run did work.

What belongs here: aggregates over accepted and open quarantined rows. What does not: writing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ingestion.declarations import DropZoneSource

if TYPE_CHECKING:
    from psycopg2.extensions import connection as Connection

SAMPLE = 20
"""How many batch ids and files are named; the rest is a number."""


@dataclass
class Summary:
    """A source's present content.

    Attributes:
        files, rows, rejected_rows, size_bytes: of accepted files.
        min_time, max_time: of their readings, aware.
        missing_files: accepted once and gone.
        batches: how many distinct batch ids; ``batch_sample`` names some.
        equipment: distinct equipment ids.
        parameters: by name: rows, out_of_range, min, max, units, known.
        extra_columns: undeclared columns by name and type.
        quarantined: open quarantined files: key, cause, reason.
        last_run_looked, last_run_quarantined: of the newest run that looked at files.
        newest_batch, newest_batch_start: the batch whose first reading is the latest, and that time, aware.
    """

    files: int = 0
    rows: int = 0
    rejected_rows: int = 0
    size_bytes: int = 0
    min_time: datetime | None = None
    max_time: datetime | None = None
    missing_files: int = 0
    batches: int = 0
    batch_sample: list[str] = field(default_factory=list)
    equipment: list[str] = field(default_factory=list)
    parameters: dict[str, dict[str, Any]] = field(default_factory=dict)
    extra_columns: dict[str, str] = field(default_factory=dict)
    quarantined: list[tuple[str, str, str]] = field(default_factory=list)
    last_run_looked: int = 0
    last_run_quarantined: int = 0
    newest_batch: str | None = None
    newest_batch_start: datetime | None = None


def summarise(connection: Connection, source: DropZoneSource) -> Summary:
    """Sum up the ledger of a source."""
    who = {"source": source.source, "stream": source.stream, "sample": SAMPLE}
    accepted = (
        "FROM data_platform.ingestion_runs r {} WHERE r.source_name = %(source)s AND r.stream = %(stream)s"
        " AND r.status = 'accepted'"
    )
    with connection, connection.cursor() as cursor:

        def rows(query: str) -> list[tuple[Any, ...]]:
            cursor.execute(query, who)
            return cursor.fetchall()

        totals = rows(
            "SELECT count(*), coalesce(sum(row_count), 0)::bigint, coalesce(sum(rejected_rows), 0)::bigint,"
            " coalesce(sum(size_bytes), 0)::bigint, min(min_time), max(max_time) " + accepted.format("")
        )[0]
        result = Summary(*totals)
        result.missing_files = rows(
            "SELECT count(*) FROM data_platform.ingestion_runs WHERE source_name = %(source)s"
            " AND stream = %(stream)s AND status = 'missing'"
        )[0][0]
        batches = "FROM (SELECT DISTINCT b " + accepted.format("CROSS JOIN unnest(r.batch_ids) b") + ") d"
        result.batches = rows(f"SELECT count(*) {batches}")[0][0]
        result.batch_sample = [row[0] for row in rows(f"SELECT b {batches} ORDER BY b LIMIT %(sample)s")]
        result.equipment = [
            row[0]
            for row in rows(
                "SELECT DISTINCT e "
                + accepted.format("CROSS JOIN jsonb_array_elements_text(r.facts->'equipment_ids') e")
                + " ORDER BY e"
            )
        ]
        parameters = accepted.format("CROSS JOIN jsonb_each(r.facts->'parameters') p")
        result.parameters = {
            name: {"rows": count, "out_of_range": outside, "min": low, "max": high, "units": [], "known": declared}
            for name, count, outside, low, high, declared in rows(
                "SELECT p.key, sum((p.value->>'rows')::bigint)::bigint,"
                " sum((p.value->>'out_of_range')::bigint)::bigint, min((p.value->>'min')::double precision),"
                " max((p.value->>'max')::double precision), bool_and((p.value->>'known')::boolean) "
                f"{parameters} GROUP BY p.key ORDER BY p.key"
            )
        }
        units = accepted.format(
            "CROSS JOIN jsonb_each(r.facts->'parameters') p CROSS JOIN jsonb_array_elements_text(p.value->'units') u"
        )
        for name, unit in rows(f"SELECT DISTINCT p.key, u {units} ORDER BY p.key, u"):
            result.parameters[name]["units"].append(unit)
        result.extra_columns = {
            row[0]: row[1]
            for row in rows(
                "SELECT DISTINCT ON (c.key) c.key, c.value "
                + accepted.format("CROSS JOIN jsonb_each_text(r.facts->'extra_columns') c")
                + " ORDER BY c.key, r.ingestion_id DESC"
            )
        }
        result.quarantined = rows(
            "SELECT file_key, coalesce(facts->>'cause', ''), coalesce(reason, '') FROM data_platform.ingestion_runs"
            " WHERE source_name = %(source)s AND stream = %(stream)s AND status = 'quarantined' ORDER BY ingestion_id"
        )
        last = rows(
            "SELECT count(*), count(*) FILTER (WHERE status = 'quarantined') FROM data_platform.ingestion_runs"
            " WHERE source_name = %(source)s AND stream = %(stream)s AND run_id = (SELECT run_id"
            " FROM data_platform.ingestion_runs WHERE source_name = %(source)s AND stream = %(stream)s"
            " ORDER BY ingestion_id DESC LIMIT 1)"
        )[0]
        result.last_run_looked, result.last_run_quarantined = last
        # A batch may come in several files; it began with the earliest of them.
        starts = "SELECT b, min(r.min_time) AS began " + accepted.format("CROSS JOIN unnest(r.batch_ids) b")
        newest = rows(
            f"SELECT b, began FROM ({starts} GROUP BY b) s WHERE began IS NOT NULL ORDER BY began DESC LIMIT 1"
        )
        if newest:
            result.newest_batch, result.newest_batch_start = newest[0]
    return result
