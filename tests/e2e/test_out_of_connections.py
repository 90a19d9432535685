"""A Postgres server whose connections are all taken: a clear message, and nothing is lost."""

from __future__ import annotations

import contextlib
import subprocess

import psycopg2
import pytest
from figures import SMALL
from holders import hold
from platforms import CLI

from lakehouse.errors import UnavailableError
from lakehouse.postgres import embedded
from lakehouse.postgres.connect import connect, state_url


def test_it_says_so_and_goes_on_once_there_is_one(platform):
    platform.sample(*SMALL)
    with embedded.running(platform.settings), contextlib.ExitStack() as held:
        platform.run()
        url = state_url(platform.settings)
        with pytest.raises(psycopg2.OperationalError):  # noqa: PT012 - whichever one is refused
            while True:
                held.callback(psycopg2.connect(url).close)
        with pytest.raises(UnavailableError, match="has no connection left") as caught:
            connect(url, what="the state database")
        assert caught.value.transient
        done = platform.call("run")
        assert done.returncode == 4, done.stdout + done.stderr
        assert "has no connection left: its max_connections are all in use" in done.stderr
        assert "raise max_connections" in done.stderr
        held.close()
        assert platform.status_of(platform.run())["mart_bioreactor_overview"] == "unchanged"


def test_a_run_that_loses_its_sessions_midway_ends_with_a_clear_message_or_tries_again(platform):
    platform.sample(*SMALL)
    with embedded.running(platform.settings):
        platform.run()
        holder = hold(platform, 300)
        waiting = subprocess.Popen(
            [str(CLI), "run", "--full-refresh", "--retry-delay", "0"],
            env=platform.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for line in waiting.stderr:
            if "Waiting for the warehouse" in line:
                break
        platform.state(
            "select count(pg_terminate_backend(pid)) from pg_stat_activity"
            " where usename = current_user and pid <> pg_backend_pid()"
        )
        holder.kill()
        holder.wait()
        out, err = waiting.communicate(timeout=120)
        assert "Traceback" not in err, err
        assert waiting.returncode == 0 or "The connection to the Postgres server was lost" in out + err, out + err
        platform.run()
