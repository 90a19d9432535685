"""Exceptions of others, as errors a person understands."""

from __future__ import annotations

import errno
import resource
import subprocess
import sys

import psycopg2
import pytest

from lakehouse.errors import DataError, UnavailableError
from lakehouse.failures import DiskFullError, meaning, meaning_of_text


def test_a_file_that_may_not_grow_is_a_full_disk_by_its_name(tmp_path):
    path = tmp_path / "big"
    code = (
        "import sys\nfrom lakehouse.failures import meaning\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "try:\n  open(sys.argv[1], 'wb').write(b'x' * 10**6)\n"
        "except OSError as error:\n  error.filename = sys.argv[1]; print(meaning(error))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
    )
    assert f"The disk is full: there is no space left to write {path}." in done.stdout
    assert "Make room" in done.stdout


def test_a_wrapped_exception_is_found():
    outer = RuntimeError("while building")
    outer.__cause__ = OSError(errno.ENOSPC, "No space left on device", "/lake/x")
    assert isinstance(meaning(outer), DiskFullError)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('IO Error: Could not write file "/w/lakehouse.duckdb.wal": No space left on device', DiskFullError),
        ("FATAL:  sorry, too many clients already", UnavailableError),
        ("server closed the connection unexpectedly", UnavailableError),
        ("IO Error: Could not establish connection error for HTTP HEAD to 'http://127.0.0.1:9/x'", UnavailableError),
        ("HTTP Error: Unable to connect to URL http://lake/x: Service Unavailable (HTTP code 503)", UnavailableError),
        ("HTTP Error: HTTP GET error on 'http://lake/x' (HTTP 502)", UnavailableError),
        ('could not translate host name "postgres-marts" to address: Name or service not known', UnavailableError),
        ("no connection to the server", UnavailableError),
        ("SSL connection has been closed unexpectedly", UnavailableError),
    ],
)
def test_messages_that_mean_trouble(text, kind):
    assert type(meaning_of_text(text)) is kind


@pytest.mark.parametrize(
    "text",
    [
        'Binder Error: Referenced column "batch" not found in FROM clause!',
        "Got 3 results, configured to fail",
        "HTTP Error: HTTP GET error on 'http://lake/x' (HTTP 403)",
        'connection to server at "m", port 5432 failed: FATAL:  password authentication failed for user "w"',
    ],
)
def test_messages_of_what_does_not_pass_by_itself_are_left_as_they_are(text):
    assert meaning_of_text(text) is None


def test_our_own_errors_are_themselves_and_foreign_ones_unknown():
    own = DataError("bad rows")
    assert meaning(own) is own
    assert meaning(ValueError("a programming error")) is None
    assert meaning(psycopg2.ProgrammingError('column "x" does not exist')) is None
    assert isinstance(meaning(psycopg2.OperationalError("server closed the connection unexpectedly")), UnavailableError)
