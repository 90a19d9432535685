"""Whether a process still lives, told by more than its number."""

import subprocess
import sys

import pytest

from lakehouse.kernel import start_time
from orchestration.processes import host_of, is_gone, this_process


def _identity(**changes: str) -> str:
    parts = dict(zip(("host", "boot", "namespace", "pid", "started"), this_process().split(), strict=True))
    return " ".join({**parts, **changes}.values())


def test_this_process_is_alive():
    assert is_gone(this_process()) is False


@pytest.mark.parametrize("changes", [{"host": "elsewhere"}, {"namespace": "pid:[1]", "pid": "999999"}])
def test_what_cannot_be_seen_from_here_is_not_judged(changes):
    assert is_gone(_identity(**changes)) is None


def test_a_text_that_is_no_identity_is_not_judged():
    assert is_gone("former 1 2 3") is None


def test_a_process_of_a_former_boot_is_gone():
    assert is_gone(_identity(boot="former")) is True


def test_a_reused_process_number_does_not_count_as_alive():
    assert is_gone(_identity(started="1")) is True


def test_an_ended_process_is_gone_even_before_its_parent_looked():
    child = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.DEVNULL)
    identity = _identity(pid=str(child.pid), started=start_time(child.pid) or "0")
    while start_time(child.pid) is not None:
        pass
    assert is_gone(identity) is True
    child.wait()


def test_the_host_is_named():
    assert host_of(_identity(host="worker-1")) == "worker-1"
