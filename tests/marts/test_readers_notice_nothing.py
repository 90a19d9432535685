"""Four readers poll a mart of two million rows while it is rebuilt, upserted, fails midway and its publisher is killed.

Stall: how long a reader's statement waited for a lock. The server measures it: for the readers' role every wait of more
than a millisecond is logged with its length (``log_lock_waits``; ``deadlock_timeout`` is its threshold). What the
reader's own clock shows is printed beside it, undisturbed and during publications; on two cores with four readers
and a publisher it holds the scheduler's queue as well.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from mart_project import MART
from publishers import Publisher
from readers import MODEL, Readers, Seen, whole

from lakehouse.postgres.connect import bi_url
from lakehouse.postgres.embedded import status

if TYPE_CHECKING:
    from mart_project import MartProject

ROWS = 2_000_000
REBUILDS, UPSERTS, FAILURES, KILLS = 50, 50, 20, 20
UNDISTURBED_SECONDS = 10
MAX_STALL_MS = 100.0
SURVIVORS = (
    f"select relacl::text, relowner::regrole::text from pg_class where oid = '{MART}'::regclass",
    f"select attname, attacl::text, col_description(attrelid, attnum) from pg_attribute"
    f" where attrelid = '{MART}'::regclass and attnum > 0",
    "select indexname, indexdef from pg_indexes where schemaname = 'marts' order by 1",
    "select relname, relacl::text, relowner::regrole::text, pg_get_viewdef(oid), obj_description(oid) from pg_class"
    " where relname in ('direct', 'indirect') order by 1",
    f"select obj_description('{MART}'::regclass)",
)


@pytest.mark.prove
@pytest.mark.timeout(5400)
@pytest.mark.flaky(reruns=0)  # a gap that shows once in a thousand polls is a gap
def test_readers_notice_nothing_of_rebuilds_upserts_failures_and_kills(
    project: MartProject, measured: Callable[[str], None]
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    chance = random.Random(seed)
    project.model(MODEL, not_null="id,amount")
    common = {"rows": ROWS, "broken": False}
    assert project.publish(version=0, **common) == f"PUBLISHED {ROWS + 5}"
    surround(project)
    before = [project.sql(text) for text in SURVIVORS]
    log = status(project.settings).log
    assert log is not None
    readers = Readers(bi_url(project.settings), [MART, MART, MART, "reports.indirect"], ROWS)
    publisher = Publisher(project)
    took: dict[str, list[float]] = {"rebuild": [], "upsert": []}
    version = 0
    try:
        time.sleep(UNDISTURBED_SECONDS)
        disturbed_from = time.monotonic()
        for kind, rounds in (("rebuild", REBUILDS), ("upsert", UPSERTS)):
            for number in range(rounds):
                version += 1
                began = time.monotonic()
                said = publisher.publish(version=version, full_refresh=kind == "rebuild", **common)
                took[kind].append(time.monotonic() - began)
                assert said.startswith(f"PUBLISHED {ROWS + 5}"), said
                assert ("written" in said) == (kind == "upsert"), (number, said)
        usual = {kind: sorted(values)[len(values) // 2] for kind, values in took.items()}
        for number in range(FAILURES):
            version += 1
            kind = ("rebuild", "upsert")[number % 2]
            if number < FAILURES // 2:  # a row that the table refuses
                said = publisher.publish(version=version, full_refresh=kind == "rebuild", rows=ROWS, broken=True)
                assert "amount" in said
            else:  # its connection is cut
                publisher.begin(version=version, full_refresh=kind == "rebuild", **common)
                time.sleep(chance.uniform(0.2, 1) * usual[kind])
                project.sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'lakehouse_writer'")
                said = publisher.outcome()
        for number in range(KILLS):
            version += 1
            kind = ("rebuild", "upsert")[number % 2]
            publisher.begin(version=version, full_refresh=kind == "rebuild", **common)
            time.sleep(chance.uniform(0, 1.1) * usual[kind])
            publisher.kill()
        version += 1
        assert publisher.publish(version=version, **common).startswith("PUBLISHED")
        seen = readers.finish()
    finally:
        readers.stop.set()
        publisher.close()
    report(seen, disturbed_from, usual)
    stalls = lock_waits(log.read_text(encoding="utf-8", errors="replace"), [one.process for one in seen])
    polls = sum(len(one.polls) for one in seen)
    stall = beyond(stalls, polls)
    measured(
        f"{polls} polls; lock waits over 1 ms: {len(stalls)}, p99.9 {stall:.1f} ms, max {max(stalls, default=0):.1f} ms"
    )
    assert [fault for one in seen for fault in one.faults] == []
    for one in seen:
        for number, answers in one.wholes.items():
            assert answers == {whole(number, ROWS)}, number
    assert max(max(one.versions) for one in seen) == version
    assert all(len(one.versions) > REBUILDS for one in seen)
    assert stall <= MAX_STALL_MS
    assert [project.sql(text) for text in SURVIVORS] == before
    assert project.left_behind() == []
    gone = "to_regclass('marts_build.' || relation) is null"
    assert project.sql(f"select count(*) from marts_build.versions where {gone}") == [(0,)]
    project.sql("drop schema reports cascade", f"drop table {MART}", "drop owned by proof_owner, proof_reader")
    project.sql("drop role proof_owner, proof_reader")


def surround(project: MartProject) -> None:
    """What others hang on the mart; and the server logs what the readers' role waits for."""
    project.sql(
        "drop role if exists proof_owner, proof_reader",
        "create role proof_owner",
        "create role proof_reader",
        "grant proof_owner to lakehouse_owner",
        "grant usage on schema marts to proof_owner",
        "create schema reports authorization lakehouse_owner",
        "grant usage on schema reports to lakehouse_bi",
        f"create view reports.direct as select id, touched, doubled, amount from {MART}",
        "alter view reports.direct owner to lakehouse_owner",
        "create view reports.indirect as select * from reports.direct",
        "alter view reports.indirect owner to lakehouse_owner",
        "grant select on reports.direct, reports.indirect to lakehouse_bi",
        "comment on view reports.direct is 'by hand'",
        f"grant select on {MART} to proof_reader with grant option",
        f"grant select (id, label) on {MART} to proof_reader",
        f"comment on column {MART}.label is 'by hand'",
        f"create index by_hand on {MART} (amount) where amount > 90",
        f"alter table {MART} owner to proof_owner",
        "alter role lakehouse_bi set log_lock_waits = on",
        "alter role lakehouse_bi set deadlock_timeout = '1ms'",
    )


def lock_waits(log: str, processes: list[int]) -> list[float]:
    """Milliseconds of each wait that ended, of these server processes."""
    found = re.findall(r"process (\d+) acquired \w+ on .*? after ([\d.]+) ms", log)
    return [float(length) for process, length in found if int(process) in processes]


def beyond(stalls: list[float], polls: int) -> float:
    """99.9th percentile over all polls, most of which did not wait at all; milliseconds."""
    ordered = sorted(stalls, reverse=True)
    rank = polls // 1000
    return ordered[rank] if rank < len(ordered) else 0.0


def report(seen: list[Seen], disturbed_from: float, usual: dict[str, float]) -> None:
    """Print the readers' own clock, undisturbed and during publications."""
    for name, wanted in (("undisturbed", False), ("publishing", True)):
        taken = sorted(seconds for one in seen for began, seconds in one.polls if (began >= disturbed_from) == wanted)
        print(
            f"{name}: {len(taken)} polls, median {1000 * taken[len(taken) // 2]:.1f} ms,"
            f" p99.9 {1000 * taken[-len(taken) // 1000 or -1]:.1f} ms, max {1000 * taken[-1]:.1f} ms"
        )
    print("a publication took " + ", ".join(f"{kind} {seconds:.2f} s" for kind, seconds in usual.items()))
