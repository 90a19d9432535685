"""`lakehouse lineage verify` shows a server the key that events are sent with, and nobody else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from handmade import BATCH, STAGING, dataset, pair

KEY = "a-very-secret-key"
RECORDED = pair("COMPLETE", "lakehouse.dim_batch", "r1", 1, [STAGING], [dataset(BATCH, "value:DOUBLE")])


class Guarded(ThreadingHTTPServer):
    """Knows no job, and says so only to whom brings the headers that ``wanted`` names."""

    daemon_threads = True

    def __init__(self, **wanted: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.wanted = wanted
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.asked: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Guarded

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        known = all(self.headers.get(name) == value for name, value in self.server.wanted.items())
        body = b'{"jobs": []}' if known else b"who are you?"
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Silent."""


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    server = Guarded(Authorization=f"Bearer {KEY}")
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_the_key_that_events_are_sent_with_opens_the_server(browsed, recorded, guarded):
    recorded(RECORDED)
    done = browsed.call("lineage", "verify", "--json", OPENLINEAGE_URL=guarded.url, OPENLINEAGE_API_KEY=KEY)
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert report["address"] == guarded.url
    assert {"kind": "job missing", "subject": "lakehouse.dim_batch"}.items() <= report["server"][0].items()
    assert guarded.asked == ["/api/v1/namespaces/lakehouse/jobs?limit=100&offset=0"]
    assert KEY not in done.stdout + done.stderr


def test_a_wrong_key_is_told_as_such_and_never_shown(browsed, recorded, guarded):
    recorded(RECORDED)
    done = browsed.call("lineage", "verify", OPENLINEAGE_URL=guarded.url, OPENLINEAGE_API_KEY=f"{KEY}-of-old")
    assert done.returncode == 2
    assert "does not let us read its graph (401)" in done.stderr
    assert "OPENLINEAGE_API_KEY" in done.stderr
    assert KEY not in done.stdout + done.stderr


def test_auth_and_headers_of_the_configuration_file_are_sent_too(browsed, recorded, guarded, tmp_path):
    recorded(RECORDED)
    guarded.wanted["X-Team"] = "data"
    file = tmp_path / "openlineage.yml"
    file.write_text(
        f"transport:\n  type: http\n  url: {guarded.url}\n  auth: {{type: api_key, apiKey: {KEY}}}\n"
        "  custom_headers: {X-Team: data}\n"
    )
    done = browsed.call("lineage", "verify", "--json", OPENLINEAGE_CONFIG=str(file))
    assert done.returncode == 1, done.stderr
    assert json.loads(done.stdout)["server"]
    assert KEY not in done.stdout + done.stderr
