"""One attempt at one event: what each answer means, what is sent, and a file without torn lines."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from email.utils import formatdate

import pytest
from delivering import until
from obedient_server import Reply

from lineage.openlineage_config import FileTarget, HttpTarget, target
from lineage.transport import ANSWER_BYTES, HttpTransport, Outcome, open_transport, outcome_of


def _http(url: str, timeout: float = 2.0, **more) -> HttpTransport:
    goal = target({"OPENLINEAGE_URL": url})
    return HttpTransport(HttpTarget(goal.url, headers=goal.headers, **more), clients=2, timeout=timeout)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        *((code, Outcome.DELIVERED) for code in (200, 201, 204)),
        *((code, Outcome.REFUSED) for code in (400, 409, 413, 422)),
        *((code, Outcome.MISCONFIGURED) for code in (301, 401, 403, 404, 405, 407)),
        *((code, Outcome.AWAY) for code in (408, 425, 429, 503)),
        *((code, Outcome.UNANSWERED) for code in (502, 504)),
        *((code, Outcome.FAILED) for code in (500, 501, 599)),
    ],
)
def test_each_status_has_one_meaning(status, outcome):
    assert outcome_of(status) is outcome


def test_an_event_is_posted_to_the_letter_over_a_connection_that_is_kept(server):
    transport = _http(server.url)
    for number in range(3):
        assert transport.send(json.dumps({"key": "ä", "n": number}).encode()).outcome is Outcome.DELIVERED
    assert [arrival.event for arrival in server.arrivals] == [{"key": "ä", "n": number} for number in range(3)]
    assert len({arrival.connection for arrival in server.arrivals}) == 1
    assert {arrival.path for arrival in server.arrivals} == {"/api/v1/lineage"}
    assert server.arrivals[0].headers["Content-Type"] == "application/json"


def test_gzip_is_sent_compressed_and_arrives_whole(server):
    assert _http(server.url, gzip=True).send(b'{"key": "' + b"x" * 5000 + b'"}').status == 201
    (arrival,) = server.arrivals
    assert arrival.headers["Content-Encoding"] == "gzip"
    assert int(arrival.headers["Content-Length"]) < 200
    assert arrival.event["key"] == "x" * 5000


def test_the_reason_of_a_refusal_is_kept_in_one_short_line(server):
    server.reply = lambda event, arrival: Reply(422, "no\n  such\0 field " + "x" * 5000)
    answer = _http(server.url).send(b"{}")
    assert (answer.outcome, answer.status) == (Outcome.REFUSED, 422)
    assert answer.error.startswith("no such field xxx")
    assert len(answer.error) == 500


def test_an_answer_longer_than_is_read_does_not_spoil_the_next(server):
    server.reply = lambda event, arrival: Reply(201 if event["n"] else 200, "x" * (ANSWER_BYTES * 50))
    transport = _http(server.url)
    assert [transport.send(b'{"n": %d}' % number).status for number in (0, 1, 1)] == [200, 201, 201]


@pytest.mark.parametrize(("header", "least", "most"), [("7", 7, 7), ("soon", 0, 0), ("-3", 0, 0), (None, 0, 0)])
def test_retry_after_in_seconds_is_understood(server, header, least, most):
    server.reply = lambda event, arrival: Reply(503, headers={"Retry-After": header} if header else {})
    answer = _http(server.url).send(b"{}")
    assert answer.outcome is Outcome.AWAY
    assert least <= answer.wait <= most


def test_retry_after_as_a_date_is_understood(server):
    server.reply = lambda event, arrival: Reply(503, headers={"Retry-After": formatdate(time.time() + 60, usegmt=True)})
    assert 50 <= _http(server.url).send(b"{}").wait <= 60


def test_a_slow_server_is_given_up_and_nobody_knows_whether_it_stored(server):
    server.reply = lambda event, arrival: Reply(after=1.0)
    answer = _http(server.url, timeout=0.1).send(b"{}")
    assert (answer.outcome, answer.status) == (Outcome.UNANSWERED, None)
    assert "timed out" in answer.error


def test_a_connection_that_is_cut_is_unanswered_and_one_that_is_refused_is_away(server):
    server.reply = lambda event, arrival: Reply(0)
    transport = _http(server.url)
    assert transport.send(b"{}").outcome is Outcome.UNANSWERED
    server.shutdown()
    server.server_close()
    assert transport.send(b"{}").outcome is Outcome.AWAY


def test_a_name_that_does_not_resolve_is_away():
    assert _http("http://no-such-host.invalid:5000").send(b"{}").outcome is Outcome.AWAY


def test_a_server_that_stops_reading_is_given_up():
    """A body larger than what the sockets buffer, to somebody who never reads."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        answer = _http(url, timeout=0.2).send(b'"' + b"x" * 30_000_000 + b'"')
    assert answer.outcome is Outcome.UNANSWERED


def test_a_server_without_a_certificate_we_trust_is_a_matter_of_settings():
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def speak_plainly():
            peer = listening.accept()[0]
            peer.recv(1000)
            peer.sendall(b"HTTP/1.1 400 this is no TLS\r\n\r\n")
            peer.close()

        thread = threading.Thread(target=speak_plainly)
        thread.start()
        answer = _http(f"https://127.0.0.1:{listening.getsockname()[1]}").send(b"{}")
        thread.join(5)
    assert answer.outcome is Outcome.MISCONFIGURED


# -- files


def test_each_event_is_one_line_and_what_was_there_stays(tmp_path):
    path = tmp_path / "new" / "events.jsonl"
    transport = open_transport(FileTarget(path, append=True), clients=8, timeout=1)
    assert transport.clients == 1
    for number in range(3):
        assert transport.send(b'{"n":\n %d}' % number).outcome is Outcome.DELIVERED
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"n": 0}, {"n": 1}, {"n": 2}]


@pytest.mark.parametrize("torn", [b'{"half', b"x" * 200_000, b'{"n": 1}'])
def test_a_torn_line_of_a_killed_writer_is_cut_off(tmp_path, torn):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"n": 0}\n' + torn)
    open_transport(FileTarget(path, append=True), clients=1, timeout=1).send(b'{"n": 1}')
    assert path.read_bytes() == b'{"n": 0}\n{"n": 1}\n'


def test_a_file_that_is_all_torn_begins_anew(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"x" * 70_000)
    open_transport(FileTarget(path, append=True), clients=1, timeout=1).send(b"{}")
    assert path.read_bytes() == b"{}\n"


def test_without_append_each_event_is_a_file_with_a_name_of_its_own(tmp_path):
    transport = open_transport(FileTarget(tmp_path / "ol", append=False), clients=1, timeout=1)
    for number in range(20):
        assert transport.send(b'{"n": %d}' % number).outcome is Outcome.DELIVERED
    files = sorted(tmp_path.iterdir())
    assert all(path.name.startswith("ol-2") and path.suffix == ".json" for path in files)
    assert [json.loads(path.read_text())["n"] for path in files] == list(range(20))


def test_a_path_that_cannot_be_written_is_a_matter_of_settings(tmp_path):
    (tmp_path / "folder").mkdir()
    answer = open_transport(FileTarget(tmp_path / "folder", append=True), clients=1, timeout=1).send(b"{}")
    assert answer.outcome is Outcome.MISCONFIGURED
    assert "Is a directory" in answer.error


WRITER = """
import sys
from pathlib import Path
from lineage.openlineage_config import FileTarget
from lineage.transport import open_transport
transport = open_transport(FileTarget(Path(sys.argv[1]), append=True), clients=1, timeout=1)
for number in range(10**6):
    transport.send(b'{"writer": "%s", "n": %d, "text": "%s"}' % (sys.argv[2].encode(), number, b"x" * 20000))
"""


def test_two_writers_that_are_killed_again_and_again_leave_whole_lines_only(tmp_path):
    path = tmp_path / "events.jsonl"
    for round_ in range(4):
        size = path.stat().st_size if path.exists() else 0
        writers = [
            subprocess.Popen([sys.executable, "-c", WRITER, str(path), f"{round_}-{name}"]) for name in ("a", "b")
        ]
        until(lambda size=size: path.exists() and path.stat().st_size > size + 200_000, 20, "something is written")
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)
            writer.wait()
    open_transport(FileTarget(path, append=True), clients=1, timeout=1).send(b'{"writer": "last", "n": 0}')
    lines = [json.loads(line) for line in path.read_bytes().splitlines()]
    assert lines[-1] == {"writer": "last", "n": 0}
    for name in {line["writer"] for line in lines}:
        numbers = [line["n"] for line in lines if line["writer"] == name]
        assert numbers == list(range(len(numbers)))
