"""docker-compose.yml: valid for Compose, refuses missing variables, and every service is as guarded as it must be."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from compose_file import ROOT, compose, resolved

from lakehouse.cli.serve import NAMES
from lakehouse.production import env_file
from lakehouse.production.stack import OPTIONS, SECRETS
from lakehouse.services.processes import services as up_services
from lakehouse.settings import Settings

ONE_SHOT = {"preflight", "silo-init", "provision", "migrate"}
LINEAGE = {"marquez", "marquez-db", "marquez-web", "lineage"}
OURS = {"preflight", "provision", "migrate", "dagster-code", "dagster-webserver", "dagster-daemon", "worker"}
OURS |= {"dagster-web", "lineage"}

# Settings that the compose file decides by what it is, or that mean nothing in it.
DECIDED = {"data_dir", "warehouse_path", "s3_region", "marts_admin_url", "postgres_port", "worker_events"}


@pytest.fixture(scope="module")
def variables(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("stack") / "env"
    env_file.write(file)
    return file


@pytest.fixture(scope="module")
def config(variables):
    return resolved(variables, "--profile", "lineage")


def _text(service: dict) -> str:
    return yaml.safe_dump(service)


def test_the_file_is_valid_and_the_core_starts_without_the_rest(variables, config):
    assert set(resolved(variables)["services"]) == set(config["services"]) - LINEAGE
    assert set(config["services"]) == LINEAGE | OURS | {"silo", "silo-init", "postgres", "postgres-marts"}


def test_the_drainer_alone_delivers_to_the_server_that_env_names(variables, tmp_path):
    file = tmp_path / "env"
    own = {"OPENLINEAGE_URL": "https://marquez.internal", "OPENLINEAGE_API_KEY": "k", "OPENLINEAGE_ENDPOINT": "in/here"}
    file.write_text(variables.read_text() + "".join(f"\n{name}={value}" for name, value in own.items()))
    services = resolved(file, "--profile", "delivery")["services"]
    assert set(services) == OURS | {"silo", "silo-init", "postgres", "postgres-marts"}
    told = {name: {key for key in body["environment"] if own.get(key)} for name, body in services.items()}
    assert {name for name, keys in told.items() if keys} == {"lineage"}, "no process that executes runs knows it"
    assert {name: services["lineage"]["environment"][name] for name in own} == own


def test_links_lead_to_the_published_port_or_to_what_is_set(variables):
    def link(**given: str) -> str:
        done = compose("config", "--format", "json", environment_file=variables, **given)
        return json.loads(done.stdout)["services"]["worker"]["environment"]["LAKEHOUSE_PUBLIC_URL"]

    assert link() == "http://127.0.0.1:3000"
    assert link(STACK_WEB_PORT="3999") == "http://127.0.0.1:3999"
    assert link(LAKEHOUSE_PUBLIC_URL="https://lakehouse.example.org") == "https://lakehouse.example.org"


@pytest.mark.parametrize("missing", [secret.name for secret in SECRETS])
def test_a_missing_secret_is_named_with_the_command_that_makes_it(variables, tmp_path, missing):
    file = tmp_path / "env"
    file.write_text("\n".join(line for line in variables.read_text().splitlines() if not line.startswith(missing)))
    for empty in ("", f"\n{missing}=\n"):
        file.write_text(file.read_text() + empty)
        done = compose("config", "--quiet", environment_file=file)
        assert done.returncode != 0
        assert missing in done.stderr
        assert "run lakehouse init --production" in done.stderr


def test_the_options_have_the_defaults_they_are_documented_with(variables, config):
    text = (ROOT / "docker-compose.yml").read_text()
    used = dict(re.findall(r"\$\{(STACK_\w+):-([^}]*)\}", text))
    assert used == {option.name: option.default for option in OPTIONS}
    assert set(re.findall(r"\$\{(STACK_\w+):\?", text)) == {secret.name for secret in SECRETS}
    changed = compose("config", environment_file=variables, STACK_WEB_PORT="3999", STACK_RUN_CPUS="7")
    assert "3999" in changed.stdout
    assert 'LAKEHOUSE_DUCKDB_THREADS: "7"' in changed.stdout


def test_every_setting_reaches_our_services_or_is_decided_by_the_file():
    passed = set(yaml.safe_load((ROOT / "docker-compose.yml").read_text())["x-settings"])
    known = {f"LAKEHOUSE_{name.upper()}" for name in Settings.model_fields}
    decided = {f"LAKEHOUSE_{name.upper()}" for name in DECIDED}
    assert not known - passed - decided, "new settings: name them in x-settings of docker-compose.yml, or in DECIDED"
    assert not passed - known - {"LAKEHOUSE_DAGSTER_URL", "OPENLINEAGE_NAMESPACE"}, "no such settings"


def test_the_file_runs_the_services_of_lakehouse_up_all_of_them_and_no_others():
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    served = sorted(body["command"][1] for body in services.values() if (body.get("command") or [""])[0] == "serve")
    all_services = up_services(Settings(_env_file=None), Path("workspace.yaml"), lineage=True)
    ups = sorted(item.name.replace(" ", "-") for item in all_services)
    assert served == ups == sorted(NAMES)


def test_no_secret_stands_in_the_file():
    text = re.sub(r"\$\{[^}]*\}", "", (ROOT / "docker-compose.yml").read_text())
    assert not re.findall(r"://[^/@\s]+:[^/@\s]+@", text), "a URL with a password"
    assert not re.findall(r"(?:PASSWORD|SECRET)\w*:[ \t]*\S", text)


def test_each_secret_reaches_only_the_services_that_need_it(variables, config):
    secrets = env_file.values(variables.read_text())
    holders = {
        name: {service for service, body in config["services"].items() if secrets[name] in _text(body)} - {"preflight"}
        for name in (secret.name for secret in SECRETS)
    }
    users = (OURS - {"preflight"}) | set()
    assert holders == {
        "STACK_S3_ROOT_PASSWORD": {"silo", "silo-init"},
        "STACK_S3_SECRET_KEY": users | {"silo-init"},
        "STACK_STATE_SUPERUSER_PASSWORD": {"postgres", "provision"},
        "STACK_STATE_PASSWORD": users,
        "STACK_MARTS_SUPERUSER_PASSWORD": {"postgres-marts", "provision"},
        "STACK_MARTS_ADMIN_PASSWORD": {"provision", "migrate"},
        "STACK_MARTS_WRITER_PASSWORD": users,
        "STACK_MARTS_BI_PASSWORD": {"provision"},
        "STACK_MARQUEZ_PASSWORD": {"marquez-db", "marquez"},
    }


def test_ports_are_on_the_loopback_interface_only(config):
    published = {
        (name, port["target"]): port for name, body in config["services"].items() for port in body.get("ports", [])
    }
    assert {port["host_ip"] for port in published.values()} == {"127.0.0.1"}
    assert set(published) == {
        ("silo", 9000),
        ("silo", 9001),
        ("postgres-marts", 5432),
        ("dagster-webserver", 3000),
        ("marquez", 5000),
        ("marquez-web", 3002),
    }
    assert published["dagster-webserver", 3000]["published"] == "3000"
    assert published["marquez-web", 3002]["published"] == "3002"


def test_every_service_is_guarded_limited_and_rotates_its_log(config):
    for name, body in config["services"].items():
        assert body["cap_drop"] == ["ALL"], name
        assert body["security_opt"] == ["no-new-privileges:true"], name
        assert body["read_only"] is True, name
        assert body["init"] is True, name
        assert body["hostname"] == name
        assert body["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}, name
        limits = body["deploy"]["resources"]["limits"]
        assert int(limits["memory"]) > 0, name
        assert float(limits["cpus"]) > 0, name
        assert "privileged" not in body, name


def test_services_that_stay_have_a_health_check_and_come_back(config):
    for name, body in config["services"].items():
        if name in ONE_SHOT:
            assert body["restart"] == "no", name
        else:
            assert body["healthcheck"]["test"][0] == "CMD", name
            assert body["restart"] == "unless-stopped", name


def test_nothing_starts_before_the_secrets_were_looked_at(config):
    services = config["services"]
    assert "depends_on" not in services["preflight"]
    for name in set(services) - {"preflight"}:
        assert "preflight" in _before(services, name), name
    assert {"provision", "silo-init", "migrate", "postgres", "silo"} <= _before(services, "worker")


def test_what_is_waited_for_is_ended_or_healthy(config):
    for name, body in config["services"].items():
        for other, how in body.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
            assert how["condition"] == wanted, f"{name} on {other}"


def test_images_are_pinned_and_ours_is_one(config):
    images = {name: body["image"] for name, body in config["services"].items()}
    assert {images[name] for name in OURS} == {"lakehouse:local"}
    for name in set(images) - OURS:
        assert re.fullmatch(r"[\w/.-]+:[\w.-]*\d[\w.-]*(@sha256:[0-9a-f]{64})?", images[name]), images[name]
    for name in ("silo", "silo-init", "postgres", "postgres-marts"):
        assert "@sha256:" in images[name]


def _before(services: dict, name: str) -> set[str]:
    direct = set(services[name].get("depends_on", {}))
    return direct.union(*(_before(services, other) for other in direct))


def test_the_override_for_servers_elsewhere_in_the_docs_is_valid(variables, tmp_path):
    text, _ = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/operations/hosts.md").read_text(), re.DOTALL)
    override = tmp_path / "override.yml"
    override.write_text(text)
    both = ("--file", str(ROOT / "docker-compose.yml"), "--file", str(override))
    services = resolved(variables, *both, "--profile", "delivery")["services"]
    assert set(services) == {"preflight", "migrate", "worker", "dagster-web", "lineage"} | {
        f"dagster-{name}" for name in ("code", "webserver", "daemon")
    }
    for name in set(services) - {"preflight"}:
        assert "@db.internal:5432/" in services[name]["environment"]["LAKEHOUSE_STATE_URL"]
        assert services[name]["environment"]["LAKEHOUSE_S3_ENDPOINT"] == "https://s3.internal"
    assert set(services["migrate"]["depends_on"]) == {"preflight"}


def test_the_override_with_an_openlineage_file_in_the_docs_is_valid(variables, tmp_path):
    _, text = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/operations/hosts.md").read_text(), re.DOTALL)
    override = tmp_path / "override.yml"
    override.write_text(text)
    both = ("--file", str(ROOT / "docker-compose.yml"), "--file", str(override))
    drainer = resolved(variables, *both, "--profile", "delivery")["services"]["lineage"]
    mounted = {volume["target"] for volume in drainer["volumes"]}
    assert drainer["environment"]["OPENLINEAGE_CONFIG"] in mounted
    assert "/data" in mounted, "beside what it had"
