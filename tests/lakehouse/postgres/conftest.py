"""A real server on a free port, in a folder that its account can reach."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgres_servers import make_settings

from lakehouse.postgres import binaries, embedded, home, ready
from lakehouse.settings import Settings


@pytest.fixture
def data() -> Iterator[Path]:
    """A folder open to every user, as a checkout in /opt is (pytest's own folders are private)."""
    folder = Path(tempfile.mkdtemp(prefix="lakehouse test "))  # the space is on purpose
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def settings(data: Path) -> Iterator[Settings]:
    made = make_settings(data / "data")
    yield made
    embedded.stop(made, force=True)


@pytest.fixture(scope="session")
def template() -> Iterator[Path]:
    """The data folder of a server that ran once, to copy instead of making each anew."""
    folder = Path(tempfile.mkdtemp(prefix="lakehouse-template-"))
    folder.chmod(0o755)
    with embedded.running(make_settings(folder / "data")):
        pass
    yield folder / "data"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def prepared(data: Path, template: Path) -> Iterator[Settings]:
    """Settings of a server that was made before and does not run."""
    subprocess.run(["cp", "-a", template, data / "data"], check=True)  # keeps owners, unlike shutil
    made = make_settings(data / "data")
    yield made
    embedded.stop(made, force=True)


@pytest.fixture(scope="module")
def shared() -> Iterator[Settings]:
    """One migrated server for all tests of a module that do not stop it."""
    folder = Path(tempfile.mkdtemp(prefix="lakehouse-shared-"))
    folder.chmod(0o755)
    made = make_settings(folder / "data")
    with ready(made):
        yield made
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def shared_root(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stands in for /var/lib/lakehouse."""
    root = data / "var-lib"
    monkeypatch.setattr(binaries, "SHARED_ROOT", root)
    monkeypatch.setattr(home, "SHARED_ROOT", root)
    return root
