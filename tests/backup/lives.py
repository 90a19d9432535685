"""Platforms that have seen everything: replaced, broken, deleted, half-broken files, and views of others."""

from __future__ import annotations

import contextlib
import io
from datetime import datetime, timedelta

import pandas as pd
from platforms import Platform

from lakehouse import postgres
from lakehouse.postgres import connect
from lakehouse.storage import open_lake

START = datetime(2026, 11, 19)
PARAMETERS = {"temperature": (37.0, "°C"), "ph": (7.0, "pH"), "do": (40.0, "%")}

REPORTS = """
    CREATE ROLE analyst NOLOGIN;
    CREATE SCHEMA reports AUTHORIZATION analyst;
    GRANT USAGE ON SCHEMA reports TO lakehouse_bi;
    GRANT analyst TO lakehouse_owner;
    GRANT USAGE, CREATE ON SCHEMA reports TO lakehouse_owner;
    CREATE VIEW reports.hot AS SELECT batch_id, max_value FROM marts.mart_bioreactor_overview WHERE max_value > 30;
    CREATE VIEW reports.hottest AS SELECT max(max_value) AS top FROM reports.hot;
    COMMENT ON VIEW reports.hot IS 'above 30';
    GRANT SELECT ON marts.mart_bioreactor_overview TO analyst;
    ALTER VIEW reports.hot OWNER TO analyst;
    GRANT SELECT ON reports.hot TO lakehouse_bi
"""


def ask(platform: Platform, sql: str) -> list[tuple]:
    """A statement on the running marts server, as its administrator."""
    url = connect.marts_admin_url(platform.settings)
    with (
        contextlib.closing(connect.connect(url, what="the test database")) as connection,
        connection,
        connection.cursor() as cursor,
    ):
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def drop(platform: Platform, name: str, *batches: str, rows: int = 90, bad: int = 0, shift: float = 0.0) -> str:
    """A file of readings; ``bad`` of them break a row rule."""
    frames = []
    for batch in batches or (name,):
        records = [
            {
                "timestamp": START + timedelta(seconds=20 * number),
                "batch_id": batch,
                "equipment_id": f"BR-{batch[-1]}",
                "parameter": list(PARAMETERS)[number % 3],
                "value": list(PARAMETERS.values())[number % 3][0] + number / 100 + shift,
                "unit": list(PARAMETERS.values())[number % 3][1],
            }
            for number in range(rows)
        ]
        for record in records[:bad]:
            record["parameter"] = " "
        frames.append(pd.DataFrame(records))
    content = io.BytesIO()
    pd.concat(frames, ignore_index=True).to_parquet(content)
    return put(platform, name, content.getvalue())


def put(platform: Platform, name: str, content: bytes) -> str:
    """Bytes into the drop zone."""
    key = f"raw/bioreactor/{name}.parquet"
    open_lake(platform.settings).write(key, content)
    return key


def live(platform: Platform) -> None:
    """A life of some days: each line of it is one run."""
    lake = open_lake(platform.settings)
    run = ("--accept-stale",)
    for name in ("B001", "B002", "B003"):
        drop(platform, name)
    drop(platform, "M1", "B011", "B012")
    drop(platform, "M2", "B012", "B013", shift=0.5)
    drop(platform, "half", "B020", bad=7)
    put(platform, "broken", b"PAR1 but not for long")
    platform.run(*run)
    with postgres.ready(platform.settings):
        ask(platform, REPORTS)
    drop(platform, "B001", rows=60, shift=1.0)  # replaced
    lake.delete("raw/bioreactor/B002.parquet")  # deleted: its batch stays
    platform.run(*run)
    put(platform, "B003", b"nothing of use")  # replaced by a broken one: its batch stays
    lake.delete("raw/bioreactor/M1.parquet")  # of two batches, one also in M2
    platform.run(*run)
    drop(platform, "late", "B012", shift=2.0)  # B012 is built without M1 from here on, B011 still has it
    platform.run(*run)
    drop(platform, "M2", "B013", rows=30, shift=3.0)  # replaced: gives B012 no more
    platform.run(*run)
