"""Reads ``deploy/Dockerfile`` and does its first stage in a clean folder, without a container engine.

The Dockerfile is kept to what this reads: ARG, FROM, ENV, WORKDIR, COPY of named paths, RUN in exec form in the first
stage.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"


@dataclass
class Stage:
    """One stage: its name, and its instructions in order."""

    name: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        """Arguments of every such instruction."""
        return [arguments for word, arguments in self.steps if word == instruction]

    def last(self, instruction: str) -> str:
        """Arguments of the last such instruction."""
        return self.all(instruction)[-1]

    @property
    def environment(self) -> dict[str, str]:
        """What ENV says."""
        pairs = [part.partition("=") for text in self.all("ENV") for part in shlex.split(text)]
        return {name: value for name, _, value in pairs}


def stages() -> list[Stage]:
    """The stages of the Dockerfile."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    found: list[Stage] = []
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, arguments = line.strip().partition(" ")
        if word == "FROM":
            found.append(Stage(arguments.partition(" AS ")[2]))
        elif word and found:
            found[-1].steps.append((word, arguments.strip()))
    return found


def build(folder: Path) -> Path:
    """Do the first stage below ``folder``; returns what is the image's /opt/lakehouse.

    Only the files that ``.dockerignore`` lets into the build are there, and only Git's: nothing of a working tree.
    """
    stage = stages()[0]
    home = folder / stage.last("WORKDIR").lstrip("/")
    home.mkdir(parents=True)
    context = folder / "context"
    _export(context)
    python = reachable_python()
    environment = {"PATH": f"{Path(python).parent}:/usr/bin:/bin", "HOME": str(folder), "LC_ALL": "C.UTF-8"}
    environment |= {
        name: value for name, value in os.environ.items() if name.startswith("PIP_") or "proxy" in name.lower()
    }
    environment |= stage.environment
    for word, arguments in stage.steps:
        if word == "COPY":
            source, target = arguments.split()[:-1], arguments.split()[-1]
            for name in source:
                _copy(context / name, home, target)
        elif word == "RUN":
            command = json.loads(arguments)
            command[0] = python if command[0] == "python" else command[0]
            done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"RUN {arguments}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
        else:
            assert word in {"ARG", "ENV", "WORKDIR"}, f"{word} is not understood here"
    shutil.rmtree(context)
    return home


def reachable_python() -> str:
    """A Python that an account without rights can run too; else our own."""
    system = "/usr/bin/python3"
    able = "import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 11))"
    if Path(system).exists() and subprocess.run([system, "-c", able], capture_output=True, check=False).returncode == 0:
        return system
    return str(Path(sys.base_prefix) / "bin" / "python3")


def _export(context: Path) -> None:
    """The build context: tracked files as they are in the working tree, filtered by ``.dockerignore``."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert rules[0] == "*", "everything is left out but what is named"
    allowed = [rule[1:] for rule in rules if rule.startswith("!")]
    refused = [rule for rule in rules[1:] if not rule.startswith(("!", "**/"))]
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in listed:
        inside = any(name == rule or name.startswith(f"{rule}/") for rule in allowed)
        outside = any(name == rule or name.startswith(f"{rule}/") for rule in refused)
        if inside and not outside and (ROOT / name).exists():
            target = context / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target)


def _copy(source: Path, home: Path, target: str) -> None:
    """COPY: a folder's content into the target, a file into a target that ends with a slash."""
    place = home / target
    if source.is_dir():
        shutil.copytree(source, place, dirs_exist_ok=True)
        return
    assert target.endswith("/"), "a file is copied into a folder"
    place.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, place)
