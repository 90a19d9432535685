"""The services of docker-compose.yml for real: image files, commands, environment, health checks, order, end to end.

MinIO stands for SILO, and two PostgreSQL servers of our wheel for the official images. Marquez has no native program;
the drainer delivers to a server of the tests, as to one that existed before the stack (profile `delivery`).
"""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import boto3
import psycopg2
import pytest
from botocore.exceptions import ClientError
from compose_file import ROOT, resolved
from dockerfile import stages
from native import Stack, becomes_image_user, seconds
from obedient_server import Obedient, obedient
from platforms import CLI

from lakehouse.production import env_file

pytestmark = [pytest.mark.prove, pytest.mark.timeout(1200)]

BATCHES = 3
LINEAGE_KEY = "a-key-of-the-lineage-server"
MART = "mart_bioreactor_overview"


def _until(condition, within: float):
    deadline = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it did not happen within {within:.0f} s"
        time.sleep(0.25)
    return found


def _sample(folder: Path, seed: int) -> list[Path]:
    """Files of a local lake."""
    environment = {"PATH": "/usr/bin:/bin", "LAKEHOUSE_DATA_DIR": str(folder)}
    command = [str(CLI), "sample", "bioreactor", "--batches", str(BATCHES), "--seed", str(seed)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return sorted((folder / "lake/raw/bioreactor").glob("*.parquet"))


class Running:
    """A stack that is up, and how its users reach it."""

    def __init__(self, folder: Path, image: Path, lineage: Obedient) -> None:
        self.folder = folder
        self.lineage = lineage
        env_file.write(folder / "env")
        self.secrets = env_file.values((folder / "env").read_text())
        with (folder / "env").open("a") as env:
            env.write(f"OPENLINEAGE_URL={lineage.url}\nOPENLINEAGE_API_KEY={LINEAGE_KEY}\n")
        self.stack = Stack(resolved(folder / "env", "--profile", "delivery"), image, folder)

    def store(self, key: str, secret: str):
        endpoint = f"http://127.0.0.1:{self.stack.ports['silo', 9000]}"
        return boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=key,
            aws_secret_access_key=self.secrets[secret],
        )

    def ask(self, server: str, role: str, secret: str, database: str, sql: str):
        connection = psycopg2.connect(
            host="127.0.0.1",
            port=self.stack.ports[server, 5432],
            user=role,
            password=self.secrets[secret],
            dbname=database,
        )
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute(sql)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def bi(self, sql: str):
        return self.ask("postgres-marts", "lakehouse_bi", "STACK_MARTS_BI_PASSWORD", "lakehouse", sql)

    def served(self) -> int:
        """Batches in the mart, as a dashboard reads them; 0 while there is no mart yet."""
        if self.bi("select to_regclass('marts.mart_bioreactor_overview')") == [(None,)]:
            return 0
        return self.bi("select count(distinct batch_id) from marts.mart_bioreactor_overview")[0][0]

    def told(self, job: str, kind: str) -> set[str]:
        """Runs of a job of which the lineage server was told this type of event."""
        events = [arrival.event for arrival in list(self.lineage.arrivals)]
        return {
            event["run"]["runId"]
            for event in events
            if event.get("eventType") == kind and event["job"]["name"].endswith(job)
        }

    def state(self, sql: str):
        return self.ask("postgres", "lakehouse_state", "STACK_STATE_PASSWORD", "lakehouse_state", sql)


@pytest.fixture(scope="module")
def running(image) -> Iterator[Running]:
    folder = Path(tempfile.mkdtemp(prefix="lakehouse-stack-"))
    folder.chmod(0o755)
    before = _files(image)
    with obedient() as lineage:
        made = Running(folder, image, lineage)
        try:
            made.stack.up()
            yield made
        finally:
            made.stack.kill()
            changed = _files(image) ^ before
            shutil.rmtree(folder, ignore_errors=True)
    assert not changed, "the image's files are read-only in a container"


def _files(image: Path) -> set[tuple[str, int]]:
    return {(str(path), path.stat().st_mtime_ns) for path in image.rglob("*") if path.is_file()}


def test_everything_becomes_healthy_in_the_order_of_the_file(running):
    stack = running.stack
    order = stack.started
    assert order[0] == "preflight"
    assert order.index("migrate") < order.index("dagster-code") < order.index("dagster-webserver")
    for name in ("preflight", "silo-init", "provision", "migrate"):
        assert stack.running[name].returncode == 0, stack.log(name)
    assert set(stack.staying()) == {
        *("silo", "postgres", "postgres-marts"),
        *("dagster-code", "dagster-webserver", "dagster-daemon", "worker", "dagster-web", "lineage"),
    }
    assert all(stack.healthy(name) for name in stack.staying())


def test_services_run_as_the_unprivileged_user_of_the_image(running):
    if not becomes_image_user(running.stack.image):
        pytest.skip("only root can become another user, and that user must reach a Python 3.11")
    for name in ("dagster-code", "worker", "lineage"):
        status = Path(f"/proc/{running.stack.running[name].pid}/status").read_text()
        assert "Uid:\t10001\t10001" in status


def test_a_file_put_into_the_store_reaches_the_mart_through_the_worker(running):
    files = _sample(running.folder / "sample", seed=1)
    store = running.store("lakehouse", "STACK_S3_SECRET_KEY")
    for file in files:
        store.upload_file(str(file), "lake", f"raw/bioreactor/{file.name}")
    _until(lambda: running.served() == BATCHES, 90)
    tags = running.state("select key, value from run_tags where key = 'lakehouse/started_by'")
    assert {value for _, value in tags} == {"worker"}


def test_the_drainer_tells_the_run_to_the_lineage_server_that_the_settings_name(running):
    _until(lambda: running.told(MART, "COMPLETE"), 90)
    assert running.told(MART, "COMPLETE") <= running.told(MART, "START")
    arrival = running.lineage.arrivals[-1]
    assert arrival.path == "/api/v1/lineage"
    assert arrival.headers["Authorization"] == f"Bearer {LINEAGE_KEY}"
    links = {
        facets["lakehouse_dagster"]["url"].split("/runs/")[0]
        for facets in (each.event.get("run", {}).get("facets", {}) for each in running.lineage.arrivals)
        if "lakehouse_dagster" in facets
    }
    assert links == {running.stack.environment("worker")["LAKEHOUSE_PUBLIC_URL"]}


def test_roles_and_keys_reach_no_further_than_they_must(running):
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        running.bi("delete from marts.mart_bioreactor_overview")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        running.bi("set transaction read write; delete from marts.mart_bioreactor_overview")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        running.ask(
            *("postgres-marts", "lakehouse_writer", "STACK_MARTS_WRITER_PASSWORD", "lakehouse"),
            "create table marts.mine (a int)",
        )
    for server, role, secret, database in (
        ("postgres-marts", "lakehouse_bi", "STACK_MARTS_BI_PASSWORD", "postgres"),
        ("postgres", "lakehouse_state", "STACK_STATE_PASSWORD", "postgres"),
        ("postgres", "lakehouse_state", "STACK_MARTS_WRITER_PASSWORD", "lakehouse_state"),
    ):
        with pytest.raises(psycopg2.OperationalError):
            running.ask(server, role, secret, database, "select 1")
    store = running.store("lakehouse", "STACK_S3_SECRET_KEY")
    running.store("lakehouse-root", "STACK_S3_ROOT_PASSWORD").create_bucket(Bucket="other")
    for attempt in (
        lambda: store.create_bucket(Bucket="mine"),
        lambda: store.list_objects_v2(Bucket="other"),
        lambda: store.put_object(Bucket="other", Key="x", Body=b"x"),
        lambda: store.delete_bucket(Bucket="lake"),
    ):
        with pytest.raises(ClientError, match="AccessDenied"):
            attempt()


def test_the_requirements_command_works_in_dagster_web(running):
    done = running.stack.execute("dagster-web", "dagster", "asset", "materialize", "--select", "*", timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert running.served() == BATCHES
    status = running.stack.execute("dagster-web", "lakehouse", "status")
    assert status.returncode == 0, status.stdout + status.stderr
    assert (running.stack.volumes("dagster-web")["/data"] / "dbt/logs/dbt.log").stat().st_size > 0


def test_dbt_alone_works_in_dagster_web_as_the_docs_say(running):
    page = (ROOT / "docs/operations/stack.md").read_text()
    command = re.search(r"exec dagster-web sh -c '([^']*)'", page)[1].replace("/tmp", str(running.folder / "tmp"))
    done = running.stack.execute("dagster-web", "sh", "-c", command, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS=1 " in done.stdout


def test_a_backup_is_made_with_the_rights_of_migrate(running):
    command = [*json.loads(stages()[-1].last("ENTRYPOINT")), "backup"]
    done = running.stack.execute("migrate", *command, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    made = list((running.stack.volumes("migrate")["/data"] / "backups").glob("*/manifest.json"))
    assert len(made) == 1


SILENCE = {
    "dagster-daemon": "delete from daemon_heartbeats",
    "lineage": "delete from data_platform.platform_health_metrics where metric = 'lineage_backlog_events'",
}
"""Who counts as silent after minutes only: the last signs of life, to pass at once."""


@pytest.mark.parametrize(
    "name", ["dagster-code", "dagster-webserver", "dagster-daemon", "worker", "lineage", "postgres", "silo"]
)
def test_a_killed_service_fails_its_health_check_and_comes_back(running, name):
    stack = running.stack
    stack.running[name].kill()
    stack.running[name].wait()
    if name in SILENCE:
        running.state(SILENCE[name])
    _until(lambda: not stack.healthy(name), seconds(stack.services[name]["healthcheck"]["interval"]) * 4)
    for other in stack.staying():  # and nobody else needs a hand
        stack.wait_healthy(other, within=90, restart=True)


def test_after_all_that_a_new_file_still_arrives_and_is_told(running):
    told = running.told(MART, "COMPLETE")
    file = _sample(running.folder / "more", seed=2)[0]
    running.store("lakehouse", "STACK_S3_SECRET_KEY").upload_file(str(file), "lake", "raw/bioreactor/B900.parquet")
    _until(
        lambda: (
            running.state(
                "select count(*) from data_platform.ingestion_runs"
                " where file_key like '%B900.parquet' and status = 'accepted'"
            )
            == [(1,)]
        ),
        90,
    )
    _until(lambda: running.told(MART, "COMPLETE") - told, 120)


def test_setting_up_again_changes_nothing_and_a_new_password_takes_effect(running):
    stack = running.stack
    for name in ("silo-init", "provision", "migrate"):
        stack.start(name)
        assert stack.running[name].wait(120) == 0, stack.log(name)
    assert "Nothing to create" in stack.log("provision")
    environment = stack.environment("provision") | {"STACK_MARTS_BI_PASSWORD": "a-new-passphrase-of-mine"}
    done = subprocess.run(
        stack.command("provision"), env=environment, cwd=stack.image, check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        running.bi("select 1")
    running.secrets["STACK_MARTS_BI_PASSWORD"] = "a-new-passphrase-of-mine"
    assert running.bi("select 1") == [(1,)]


def test_weak_secrets_stop_the_first_service_and_with_it_all_others(running):
    stack = running.stack
    environment = stack.environment("preflight") | {"STACK_S3_ROOT_PASSWORD": "change-me"}
    done = subprocess.run(stack.command("preflight"), env=environment, cwd=stack.image, capture_output=True, text=True)
    assert done.returncode == 2
    assert "STACK_S3_ROOT_PASSWORD is an example" in done.stderr
    weak = stack.environment("worker")
    weak["LAKEHOUSE_STATE_URL"] = weak["LAKEHOUSE_STATE_URL"].replace(running.secrets["STACK_STATE_PASSWORD"], "short")
    done = subprocess.run(stack.command("worker"), env=weak, cwd=stack.image, capture_output=True, text=True)
    assert done.returncode == 2
    assert "LAKEHOUSE_STATE_URL: its password is too short" in done.stderr


@pytest.mark.flaky(reruns=0)  # it ends what the others are about
def test_everything_stops_in_reverse_order_within_its_grace_period(running):
    stack = running.stack
    page = f"http://127.0.0.1:{stack.ports['dagster-webserver', 3000]}/server_info"
    with urllib.request.urlopen(page, timeout=10) as answer:
        assert answer.status == 200
    mine = f"LAKEHOUSE_STATE_URL={stack.environment('worker')['LAKEHOUSE_STATE_URL']}".encode()
    took = stack.down()
    assert set(took) == set(stack.staying())
    assert list(took).index("worker") < list(took).index("postgres")
    left = [path.parent.name for path in Path("/proc").glob("[0-9]*/environ") if mine in _read(path)]
    assert not left, "processes that nobody ended"
    assert stack.running["postgres"].returncode == 0
    assert stack.running["worker"].returncode in {0, -signal.SIGTERM}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
