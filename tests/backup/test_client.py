"""PostgreSQL's programs that fail are quoted, whenever they do."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import IO

import pytest

from lakehouse.backup.client import Client
from lakehouse.errors import LakehouseError


def test_what_psql_says_is_quoted_also_when_it_ends_before_it_has_read_the_script(tmp_path: Path) -> None:
    psql = tmp_path / "psql"
    psql.write_text("#!/bin/sh\necho 'ERROR: it does not fit' >&2\nexec 0<&-\ntouch \"$ENDED\"\nexit 3\n")
    psql.chmod(0o755)
    ended = tmp_path / "ended"

    def write(into: IO[bytes]) -> None:
        deadline = time.monotonic() + 60
        while not ended.exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        into.write(b"SELECT 1;\n")
        into.flush()

    with pytest.raises(LakehouseError, match="it does not fit"):
        Client(tmp_path, "", {**os.environ, "ENDED": str(ended)}, "a server").replace(write)


def test_a_dump_whose_reading_is_killed_midway_is_an_error_and_is_not_committed(tmp_path: Path) -> None:
    got = tmp_path / "got"
    for name, does in (("psql", f"cat > '{got}'"), ("pg_restore", "echo 'SELECT 1;'; kill -9 $$")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    programs = Client(tmp_path, "", dict(os.environ), "a server")
    with pytest.raises(LakehouseError, match=r"Reading .*marts.dump failed"):
        programs.replace(lambda into: programs.script(tmp_path / "marts.dump", into))
    assert not got.exists() or b"COMMIT" not in got.read_bytes()
