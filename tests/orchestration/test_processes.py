"""Whether the process that executes a run still lives, told by more than its number."""

import subprocess
import sys

from orchestration import names
from orchestration.processes import executing_process_is_gone, process_tags, start_time


def _tags(**changes: str) -> dict[str, str]:
    parts = dict(zip(("host", "boot", "pid", "started"), process_tags()[names.TAG_PROCESS].split(), strict=True))
    return {names.TAG_PROCESS: " ".join({**parts, **changes}.values())}


def test_this_process_is_alive():
    assert executing_process_is_gone(process_tags()) is False


def test_a_run_that_names_no_process_is_left_alone():
    assert executing_process_is_gone({}) is False


def test_another_hosts_process_is_left_alone():
    assert executing_process_is_gone(_tags(host="elsewhere", pid="999999")) is False


def test_a_process_of_a_former_boot_is_gone():
    assert executing_process_is_gone(_tags(boot="former")) is True


def test_a_reused_process_number_does_not_count_as_alive():
    assert executing_process_is_gone(_tags(started="1")) is True


def test_an_ended_process_is_gone_even_before_its_parent_looked():
    child = subprocess.Popen([sys.executable, "-c", "pass"], stdout=subprocess.DEVNULL)
    tags = _tags(pid=str(child.pid))
    while start_time(child.pid) is not None:
        pass
    assert executing_process_is_gone(tags) is True
    child.wait()
