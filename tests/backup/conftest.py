"""One platform that has seen everything, and a backup of it, for all tests of this folder that go on from there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from contents import everything
from lives import REPORTS, ask
from platforms import a_platform

from lakehouse import postgres

SMALL = ("--batches", "2", "--scale", "0.02", "--seed", "4")


@pytest.fixture(scope="session")
def original():
    """A platform with views and grants of others; ``backup`` is its backup, ``then`` all its values."""
    with a_platform() as made:
        made.sample(*SMALL)
        made.run()
        with postgres.ready(made.settings):
            ask(made, REPORTS)
        done = made.call("backup", "--json")
        assert done.returncode == 0, done.stderr
        made.backup = Path(json.loads(done.stdout)["backup"])
        with postgres.ready(made.settings):
            made.then = everything(made.settings)
        yield made
