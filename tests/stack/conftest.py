"""The image's files, built once for all proofs of the stack."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from dockerfile import build


@pytest.fixture(scope="session")
def image() -> Iterator[Path]:
    """/opt/lakehouse of the image, in a folder that every account can enter."""
    folder = Path(tempfile.mkdtemp(prefix="lakehouse-image-"))
    folder.chmod(0o755)
    try:
        yield build(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
