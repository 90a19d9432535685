"""Under `lakehouse up` the embedded server comes back by itself, with what was committed."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time

import psycopg2
import pytest

from lakehouse.postgres import connect, embedded, server
from lakehouse.postgres.home import locate
from lakehouse.services import postgres_guard
from lakehouse.services.postgres_guard import PostgresGuard


@pytest.fixture
def guarded(prepared):
    settings = prepared
    back: list[str] = []
    with embedded.running(settings), PostgresGuard(settings, lambda _: None, back.append, lambda: None) as guard:
        yield settings, guard, back


def _until(condition, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def _execute(settings, sql: str):
    connection = connect.connect(connect.state_url(settings), what="state")
    with contextlib.closing(connection), connection, connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else None


def test_a_killed_server_is_running_again_with_what_was_committed(guarded):
    settings, guard, back = guarded
    _execute(settings, "create table kept as select generate_series(1, 1000) as n")
    former = embedded.status(settings).pid
    os.kill(former, signal.SIGKILL)
    _until(lambda: back == ["has ended"])
    assert guard.works
    assert _execute(settings, "select count(*) from kept") == [(1000,)]
    status = guard.status()
    assert (status["state"], status["restarts"]) == ("up", 1)
    assert status["pid"] == embedded.status(settings).pid != former


def test_a_session_busy_with_a_statement_does_not_delay_the_new_server(guarded):
    settings, _, back = guarded
    busy = "do $$ begin for i in 1..2000000000 loop perform 1; end loop; end $$"
    ended = threading.Event()

    def work() -> None:
        with contextlib.suppress(psycopg2.Error):
            _execute(settings, busy)
        ended.set()

    threading.Thread(target=work).start()
    under_way = "select 1 from pg_stat_activity where state = 'active' and query like 'do $$ begin%'"
    _until(lambda: _execute(settings, under_way))
    began = time.monotonic()
    os.kill(embedded.status(settings).pid, signal.SIGKILL)
    _until(lambda: back)
    assert time.monotonic() - began < 40, "the statement itself takes minutes"
    assert ended.wait(20), "the session of the dead server is gone"


def test_a_server_that_hangs_is_killed_and_started_again(guarded, monkeypatch):
    settings, guard, back = guarded
    monkeypatch.setattr(postgres_guard, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(postgres_guard, "HANG_SECONDS", 0.5)
    os.kill(embedded.status(settings).pid, signal.SIGKILL)  # from now on it looks often
    _until(lambda: len(back) == 1)
    assert server.answers(settings.postgres_port)
    os.kill(guard.status()["pid"], signal.SIGSTOP)
    assert not server.answers(settings.postgres_port)
    _until(lambda: len(back) >= 2)
    assert back[1].startswith("has not answered for")
    _until(lambda: server.answers(settings.postgres_port))


def test_who_opens_the_lock_to_look_is_not_taken_for_a_remnant(prepared):
    settings = prepared
    with embedded.running(settings), locate(settings).server_lock.open("rb"):
        home = locate(settings)
        os.kill(embedded.status(settings).pid, signal.SIGKILL)
        _until(lambda: not server.accepts(settings.postgres_port))
        server.end_remnants(home)
        _until(lambda: not server.alive(home))
        assert embedded.revive(settings) == embedded.status(settings).pid
