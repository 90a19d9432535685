"""A reader that has gone is no failure of a command; another pipe that breaks is one."""

from __future__ import annotations

import subprocess
import sys

import pytest

COMMAND = """
import sys
from lakehouse.cli import main
def command(**_):
    {body}
main.cli.main = command
main.main()
"""


@pytest.mark.parametrize(
    ("body", "reader", "code"),
    [
        ("print('x' * 10**6, flush=True)", "stdout", 0),
        ("print('x' * 10**6, file=sys.stderr, flush=True)", "stderr", 0),
        ("raise BrokenPipeError", None, 1),
    ],
    ids=["output", "messages", "another pipe"],
)
def test_only_the_reader_of_our_output_may_go(body, reader, code):
    child = subprocess.Popen(
        [sys.executable, "-c", COMMAND.format(body=body)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    if reader is not None:
        getattr(child, reader).close()
    rest = child.stderr if reader == "stdout" else child.stdout
    rest.read()
    if reader is None:
        assert b"BrokenPipeError" in child.stderr.read()
    assert child.wait(60) == code
