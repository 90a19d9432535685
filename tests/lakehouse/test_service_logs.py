"""Logs stay within bounds while they are written, and `lakehouse logs` shows them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from platforms import CLI, Platform

from lakehouse.services import logs

WRITER = """
import sys
for number in range(3000):
    print(f"line {number:06}", flush=True)
sys.stdin.read(1)
print("after", flush=True)
"""


def test_a_log_begins_anew_while_its_writer_goes_on_in_it(tmp_path):
    path = tmp_path / "web.log"
    with path.open("ab") as output:
        writer = subprocess.Popen([sys.executable, "-c", WRITER], stdin=subprocess.PIPE, stdout=output)
    while path.stat().st_size < 3000 * 12:
        pass
    assert logs.keep_within(path, limit=1000, kept=2)
    assert path.stat().st_size == 0
    writer.communicate(b"x")
    assert path.read_bytes() == b"after\n", "it goes on at the beginning, without a hole"
    assert (tmp_path / "web.log.1").read_text().splitlines()[-1] == "line 002999"


def test_only_so_many_former_logs_are_kept(tmp_path):
    path = tmp_path / "web.log"
    for number in range(5):
        path.write_text(f"{number}" * 50)
        assert logs.keep_within(path, limit=10, kept=2)
    assert not logs.keep_within(path, limit=10, kept=2), "it is empty now"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["web.log", "web.log.1", "web.log.2"]
    assert [(tmp_path / f"web.log.{number}").read_text()[0] for number in (1, 2)] == ["4", "3"]


@pytest.fixture
def platform(tmp_path):
    return Platform(tmp_path / "data")


def test_logs_of_a_service_are_shown_from_their_end(platform):
    folder = logs.folder(platform.settings)
    folder.mkdir(parents=True)
    (folder / "code-server.log").write_text("".join(f"line {number}\n" for number in range(100)))
    assert logs.path_of(platform.settings, "code server") == folder / "code-server.log"
    done = subprocess.run(
        [str(CLI), "logs", "code-server", "-n", "3"], env=platform.environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, "line 97\nline 98\nline 99\n")


def test_where_no_log_is_yet_the_command_says_who_writes_it(platform):
    done = platform.call("logs", "worker")
    assert done.returncode == 3
    assert "There is no log yet of: worker." in done.stderr
    assert "lakehouse up" in done.stderr
