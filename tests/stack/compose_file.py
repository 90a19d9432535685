"""Docker Compose's own reading of ``docker-compose.yml``; no engine is needed for that."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lakehouse/bin"


def tool(name: str, variable: str) -> str:
    """Path of a program that `make compose` builds: the one ``variable`` names, on the path, or in the cache.

    Where the variable is set, as on CI, its absence is a failure; elsewhere the test is skipped.
    """
    named = os.environ.get(variable)
    found = named or shutil.which(name) or str(CACHE / name)
    if Path(found).exists():
        return found
    reason = f"there is no {found}; `make compose` builds it where Go is installed"
    if named:
        pytest.fail(reason)
    pytest.skip(reason)


def compose(*arguments: str, environment_file: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ``docker compose`` on the file, with no variables but those of ``environment_file`` and ``variables``."""
    binary = tool("docker-compose", "LAKEHOUSE_TEST_COMPOSE")
    command = [binary, "--project-directory", str(ROOT), "--env-file", str(environment_file), *arguments]
    outside = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME"}}
    return subprocess.run(
        command, env=outside | variables, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )


def resolved(environment_file: Path, *options: str) -> dict[str, Any]:
    """The file after interpolation and validation, as Compose would run it."""
    done = compose(*options, "config", "--format", "json", environment_file=environment_file)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
