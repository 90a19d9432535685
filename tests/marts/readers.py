"""Processes that poll a mart without pause and check every answer against what its version must hold.

The mart of the proof has, at version v, the ids v·STEP … v·STEP + rows − 1, of which one in a hundred was last touched
by each of the last hundred versions, and five marker rows that say v. So one cheap statement (five index lookups) shows
whether an answer is whole: markers that agree, the lowest and the highest id just those of v. Every AGGREGATE_SECONDS a
statement over the whole table is checked too, afterwards, by the parent.
"""

from __future__ import annotations

import multiprocessing
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

STEP = 1000
MARKERS = 5
PAUSE_SECONDS = 0.002
AGGREGATE_SECONDS = 4.0
MODEL = f"""
select id, touched, id * 2 + 1 as doubled, 'row ' || id as label,
    case when id = {{{{ var('version') }}}} * {STEP} + {{{{ var('rows') }}}} - 1 and {{{{ var('broken') }}}} then null
    else id % 97 end as amount
from (
    select i as id, {{{{ var('version') }}}} - (({{{{ var('version') }}}} - i) % 100 + 100) % 100 as touched
    from range({{{{ var('version') }}}} * {STEP}, {{{{ var('version') }}}} * {STEP} + {{{{ var('rows') }}}}) as r (i)
    union all
    select -m, {{{{ var('version') }}}} from range(1, {MARKERS + 1}) as markers (m)
)
"""
POLL = """
select (select count(*) from {table} where id < 0), (select min(touched) from {table} where id < 0),
    (select max(touched) from {table} where id < 0), (select id from {table} where id >= 0 order by id limit 1),
    (select id from {table} order by id desc limit 1)
"""
AGGREGATE = "select max(touched) filter (where id < 0), count(*), sum(touched), sum(doubled), sum(amount) from {table}"


@dataclass
class Seen:
    """What one reader saw.

    Attributes:
        process: its server process, as the server's log names it.
        polls: (moment by the monotonic clock, seconds that the answer took).
        versions: distinct versions seen.
        wholes: version → distinct answers to the statement over the whole table.
        faults: answers that must not be.
    """

    process: int
    polls: list[tuple[float, float]] = field(default_factory=list)
    versions: set[int] = field(default_factory=set)
    wholes: dict[int, set[tuple[Any, ...]]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)


def whole(version: int, rows: int) -> tuple[int, int, int, int]:
    """Count and sums that the statement over the whole table must give (all columns but the version itself)."""
    low = version * STEP
    total = rows * (2 * low + rows - 1) // 2
    touched = sum(version - (version - i) % 100 for i in range(low, low + 100)) * (rows // 100) + MARKERS * version
    markers = range(-MARKERS, 0)
    doubled = 2 * (total + sum(markers)) + rows + MARKERS
    # DuckDB's % has the sign of the dividend.
    amount = _remainders(low + rows) - _remainders(low) + sum(-(-i % 97) for i in markers)
    return rows + MARKERS, touched, doubled, amount


def _remainders(below: int) -> int:
    """Sum of i % 97 over 0 ≤ i < below."""
    full, rest = divmod(below, 97)
    return full * sum(range(97)) + sum(range(rest))


def read(url: str, table: str, rows: int, stop: Event, results: Any) -> None:
    """Poll until told to stop; hands one :class:`Seen` over."""
    import psycopg2

    connection = psycopg2.connect(url)
    connection.autocommit = True
    cursor = connection.cursor()
    seen = Seen(connection.get_backend_pid())
    latest = 0
    next_aggregate = time.monotonic() + AGGREGATE_SECONDS * (seen.process % 7) / 7
    parent = multiprocessing.parent_process()
    last = False  # told to stop it asks once more: what was published before is what it must see
    while not last and parent is not None and parent.is_alive():
        last = stop.is_set()
        began = time.monotonic()
        if began >= next_aggregate and not last:
            next_aggregate = began + AGGREGATE_SECONDS
            try:
                cursor.execute(AGGREGATE.format(table=table))
                version, *rest = cursor.fetchone() or (-1,)
                seen.wholes.setdefault(version, set()).add(tuple(int(value) for value in rest))
            except (psycopg2.Error, TypeError) as error:
                seen.faults.append(f"whole table: {error}")
            continue
        try:
            cursor.execute(POLL.format(table=table))
            answer = cursor.fetchone()
        except psycopg2.Error as error:
            seen.faults.append(str(error))
            continue
        seen.polls.append((began, time.monotonic() - began))
        count, version, other, low, high = answer or (None,) * 5
        if (count, other, low, high) != (MARKERS, version, (version or 0) * STEP, (version or 0) * STEP + rows - 1):
            seen.faults.append(f"not whole: {answer}")
        elif version < latest:
            seen.faults.append(f"version {version} after {latest}")
        else:
            latest = version
            seen.versions.add(version)
        time.sleep(PAUSE_SECONDS)
    results.put(seen)


class Readers:
    """Reader processes, one per table named."""

    def __init__(self, url: str, tables: list[str], rows: int) -> None:
        context = multiprocessing.get_context("spawn")
        self.stop = context.Event()
        self.results: Any = context.Queue()
        self.processes = [
            context.Process(target=read, args=(url, table, rows, self.stop, self.results), daemon=True)
            for table in tables
        ]
        for process in self.processes:
            process.start()

    def finish(self) -> list[Seen]:
        """Stop them; what each saw."""
        self.stop.set()
        seen = [self.results.get(timeout=60) for _ in self.processes]
        for process in self.processes:
            process.join(30)
        return seen
