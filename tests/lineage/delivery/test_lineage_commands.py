"""``lakehouse lineage status | dead-letters | replay | drain`` as an operator types them."""

from __future__ import annotations

import json

import pytest
from delivering import FAST
from obedient_server import Reply
from sample_events import ask, run_of

from lineage import backlog
from lineage import outbox as box
from lineage.openlineage_config import target


@pytest.fixture
def call(delivery_server, server):
    """``lakehouse lineage …`` with the test's server set."""

    def make(*args: str, url: str | None = server.url, code: int = 0, **variables: str) -> str:
        given = {**FAST, "LAKEHOUSE_LINEAGE_TIMEOUT_SECONDS": "5", **({"OPENLINEAGE_URL": url} if url else {})}
        done = delivery_server.call("lineage", *args, **given, **variables)
        assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout if code in {0, 1} else done.stderr

    return make


def test_an_operators_day_with_a_server_that_refuses_an_event(outbox, server, call, delivery_server):
    box.put(outbox, run_of("run-1", ["dim_batch"]), run_id="run-1")
    server.reply = lambda event, arrival: Reply(422 if event["number"] == 1 else 201, "no eventType")
    assert "Delivered 3, refused 1" in call("drain", "--once", code=1)
    report = json.loads(call("status", "--json", code=1))
    assert report["target"] == f"{server.url}/api/v1/lineage"
    assert [report[name] for name in ("recorded", "delivered", "pending", "dead")] == [4, 3, 0, 1]
    (dead,) = json.loads(call("dead-letters", "--json", code=1))
    assert {name: dead[name] for name in ("key", "run", "job", "type", "status", "reason", "attempts")} == {
        "key": "run-1/1/START",
        "run": "run-1",
        "job": "dim_batch",
        "type": "START",
        "status": 422,
        "reason": "no eventType",
        "attempts": 1,
    }
    assert dead["event"]["number"] == 1
    assert "run-1/1/START" in call("dead-letters", code=1)
    line = delivery_server.call("status", OPENLINEAGE_URL=server.url).stdout
    assert "lineage: 4 events, 3 delivered, the last " in line
    assert "backlog 0, 1 dead letters" in line
    assert delivery_server.alerts("lineage_dead_letters")[0]["subject"] == "dim_batch"
    server.reply = lambda event, arrival: Reply()
    assert call("replay") == "3 events to be delivered again.\n"
    assert "Delivered 3, refused 0" in call("drain", "--once")
    assert call("dead-letters") == "There are no dead letters.\n"
    assert delivery_server.alerts("lineage_dead_letters") == []
    assert json.loads(call("status", "--json"))["delivered"] == 4


def test_a_dead_letter_is_given_up_by_its_key_and_no_other(outbox, server, call):
    box.put(outbox, run_of("run-1", ["dim_batch"]), run_id="run-1")
    server.reply = lambda event, arrival: Reply(400)
    call("drain", "--once", code=1)
    assert "No dead letter has the key nonsense." in call("dead-letters", "--discard", "nonsense", code=3)
    assert "run-1/0/START" not in call("dead-letters", "--discard", "run-1/0/START", code=1)
    assert [item.key for item in box.events(outbox)] == [item.key for item in run_of("run-1", ["dim_batch"])][1:]


def test_drain_says_with_its_exit_code_how_it_went(outbox, server, call):
    assert "No lineage server is set" in call("drain", "--once", url=None, code=2)
    assert "url is not http" in call("drain", "--once", url="marquez:5000", code=2)
    assert "Delivered 0, refused 0" in call("drain", "--once")
    box.put(outbox, run_of("run-1"), run_id="run-1")
    assert "Connection refused" in call("drain", "--once", url="http://127.0.0.1:9", code=4)
    assert len(list(box.events(outbox, status="pending"))) == 6


def test_without_a_server_the_outbox_is_recorded_and_no_failure(outbox, call, delivery_server):
    box.put(outbox, run_of("run-1"), run_id="run-1")
    said = call("status", url=None)
    assert "none is set (OPENLINEAGE_URL)" in said
    assert "recorded      6 events" in said
    assert "lineage: 6 events, no lineage server is set" in delivery_server.call("status").stdout


def test_wrong_settings_of_the_server_show_in_status_and_do_not_end_it(outbox, delivery_server):
    done = delivery_server.call("status", OPENLINEAGE_URL="marquez:5000")
    assert done.returncode == 0
    assert "The lineage transport in OPENLINEAGE_URL is wrong: url is not http" in done.stdout


def test_wrong_settings_of_the_server_show_in_lineage_status_too(outbox, call):
    wrong = {"url": None, "OPENLINEAGE__TRANSPORT__TYPE": "kafka"}
    said = call("status", **wrong)
    assert (
        "server        The lineage transport in the variables OPENLINEAGE__TRANSPORT__… is wrong: there is no " in said
    )
    assert "kafka" in said
    assert "none is set" not in said
    assert "kafka" in json.loads(call("status", "--json", **wrong))["error"]


def test_where_no_server_is_set_status_names_the_drainers_without_its_secrets(outbox, call):
    url = "http://user:s3cret@marquez:5000"
    goal = target(
        {"OPENLINEAGE_URL": url, "OPENLINEAGE_ENDPOINT": "lineage?key=s3cret", "OPENLINEAGE_API_KEY": "s3cret"}
    )
    backlog.measure(outbox, goal)
    assert ask(outbox, "select count(*) from data_platform.platform_health_metrics where labels::text ~ 's3cret'") == [
        (0,)
    ]
    said = call("status", url=None)
    assert "server        http://marquez:5000/lineage (of the drainer; none is set here: OPENLINEAGE_URL)\n" in said
    assert json.loads(call("status", "--json", url=None))["target"] is None
    assert "of the drainer" not in call("status"), "the own setting is what this process goes by"
    ask(outbox, "update data_platform.platform_health_metrics set measured_at = now() - interval '8 days'")
    assert "server        none is set (OPENLINEAGE_URL)\n" in call("status", url=None)


def test_runs_are_replayed_by_id_by_date_or_all(outbox, server, call):
    for run in ("run-1", "run-2"):
        box.put(outbox, run_of(run, ["a"]), run_id=run)
    call("drain", "--once")
    assert call("replay", "--run", "run-2") == "4 events to be delivered again.\n"
    assert call("replay", "--since", "2027-01-01") == "0 events to be delivered again.\n"
    assert call("replay", "--all") == "4 events to be delivered again.\n"
    assert "exclude each other" in call("replay", "--all", "--run", "x", code=2)
    call("drain", "--once")
    assert min(server.keys.count(key) for key in set(server.keys)) >= 2
    assert [key for key in server.keys if key.endswith("/2/COMPLETE")][-1] == "run-2/2/COMPLETE", "the newest run's"


def test_a_file_takes_events_in_order_a_line_each(outbox, call, tmp_path):
    box.put(outbox, run_of("run-1"), run_id="run-1")
    path = tmp_path / "events.jsonl"
    variables = {
        "OPENLINEAGE__TRANSPORT__TYPE": "file",
        "OPENLINEAGE__TRANSPORT__LOG_FILE_PATH": str(path),
        "OPENLINEAGE__TRANSPORT__APPEND": "true",
    }
    assert "Delivered 6, refused 0" in call("drain", "--once", url=None, **variables)
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert found == [item.body for item in run_of("run-1")]
