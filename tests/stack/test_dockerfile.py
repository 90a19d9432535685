"""deploy/Dockerfile: linted, and its steps done without an engine.

The first stage is done in a clean folder, the last one's commands in a copy-on-write view of this machine's root.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from dockerfile import DOCKERFILE, ROOT, reachable_python, stages


def test_the_linter_finds_nothing():
    done = subprocess.run(
        [Path(sys.executable).parent / "hadolint", DOCKERFILE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_base_is_pinned_by_digest_and_the_user_is_not_root():
    first = re.search(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE.read_text(), re.MULTILINE)[1]
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+@sha256:[0-9a-f]{64}", first)
    assert re.findall(r"^FROM (\S+)", DOCKERFILE.read_text(), re.MULTILINE) == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}"]
    last = stages()[-1]
    assert last.last("USER") == "10001:10001"
    assert json.loads(last.last("ENTRYPOINT")) == ["lakehouse"]


def test_packages_come_from_the_lock_with_hashes_and_nothing_else_is_fetched():
    runs = [json.loads(text) for text in stages()[0].all("RUN")]
    installs = [run for run in runs if "install" in run]
    assert [run[-1] for run in installs] == ["requirements/runtime.txt", "."]
    assert "--require-hashes" in installs[0]
    assert all("--no-deps" in run for run in installs)
    assert not re.search(r"apt-get|apk|curl|wget", DOCKERFILE.read_text())


def test_every_room_of_the_wheel_is_copied():
    rooms = re.search(r"packages = \[(.*)\]", (ROOT / "pyproject.toml").read_text())[1]
    copied = [text.split()[0] for text in stages()[0].all("COPY")]
    assert set(re.findall(r'"(\w+)"', rooms)) | {"dbt_project"} <= set(copied)


@pytest.mark.prove
@pytest.mark.timeout(300)
def test_the_first_stage_gives_an_installation_that_stands_alone(image):
    done = subprocess.run(
        [image / ".venv/bin/lakehouse", "source", "list"],
        env={"PATH": "/usr/bin:/bin", "LAKEHOUSE_DATA_DIR": str(image.parent / "data")},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "raw_bioreactor_data" in done.stdout
    where = "import lakehouse, ingestion; print(lakehouse.__file__, ingestion.__file__)"
    found = subprocess.run(
        [image / ".venv/bin/python", "-c", where], capture_output=True, text=True, check=True, cwd="/"
    )
    assert found.stdout.split() == [str(image / "lakehouse/__init__.py"), str(image / "ingestion/__init__.py")]


@pytest.mark.prove
@pytest.mark.timeout(300)
def test_bytecode_depends_on_the_source_alone(image):
    compiled = [*image.rglob("lakehouse/**/*.pyc"), *image.glob(".venv/lib/python*/site-packages/dagster/**/*.pyc")]
    assert len(compiled) > 500
    flags = {int.from_bytes(path.read_bytes()[4:8], "little") for path in compiled}
    assert flags == {0b01}, "unchecked hashes instead of modification times"


@pytest.mark.prove
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can lay a view over the root folder")
def test_the_commands_of_the_last_stage_make_user_folders_and_link(tmp_path):
    (command,) = stages()[-1].all("RUN")
    look = (
        "getent passwd lakehouse; stat -c '%U:%G %a' /data; readlink /opt/dagster/logs; "
        "su -s /bin/sh lakehouse -c 'touch /data/mine && ! touch /opt/mine'"
    )
    script = (
        f"mount -t tmpfs tmpfs {tmp_path} && cd {tmp_path} && mkdir upper work root && "
        'mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root && exec chroot root sh -ec "$1"'
    )
    both = f"userdel lakehouse 2>/dev/null || true; {command}; {look}"
    done = subprocess.run(
        ["unshare", "--mount", "--fork", "sh", "-ec", script, "sh", both], capture_output=True, text=True, check=False
    )
    if "mount" in done.stderr and done.returncode != 0:
        pytest.skip(f"no view of the root folder here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stdout + done.stderr
    user, folder, link = done.stdout.split("\n")[:3]
    assert user.split(":")[:4] == ["lakehouse", "x", "10001", "10001"]
    assert folder == "lakehouse:lakehouse 750"
    assert link == "/data/dbt/logs"


def test_the_python_that_stands_for_the_base_has_its_version():
    version = subprocess.run([reachable_python(), "-V"], capture_output=True, text=True, check=True).stdout
    assert version.startswith("Python 3.11.")
