"""Where events go: openlineage-python's conventions, held against openlineage-python itself."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lakehouse.errors import ConfigError
from lakehouse.settings import PROJECT_ROOT
from lineage import openlineage_config
from lineage.naming import job_namespace
from lineage.openlineage_config import FileTarget, HttpTarget, target

YAML = """
transport:
  type: http
  url: https://marquez.internal:8443/base/
  endpoint: api/v2/events
  timeout: 12
  verify: false
  compression: gzip
  auth: {type: api_key, apiKey: of-the-file}
  custom_headers: {X-Team: data}
"""


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    """No file of the tester's is found."""
    monkeypatch.setattr(openlineage_config, "PROJECT_ROOT", tmp_path / "checkout")
    (tmp_path / "checkout").mkdir()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in [name for name in os.environ if name.startswith("OPENLINEAGE")]:
        monkeypatch.delenv(name)
    return tmp_path


def test_nothing_set_means_no_target():
    assert target({}) is None
    assert target() is None


def test_a_url_alone_goes_to_the_standard_endpoint():
    assert target({"OPENLINEAGE_URL": "http://marquez:5000"}) == HttpTarget(
        "http://marquez:5000/api/v1/lineage", headers={"Content-Type": "application/json"}
    )


def test_endpoint_and_key_are_honoured_and_the_key_is_never_shown():
    given = {"OPENLINEAGE_URL": "http://m:5000", "OPENLINEAGE_ENDPOINT": "lineage/v9", "OPENLINEAGE_API_KEY": "s3cret"}
    found = target(given)
    assert found.url == "http://m:5000/lineage/v9"
    assert found.headers["Authorization"] == "Bearer s3cret"
    assert "s3cret" not in repr(found) + str(found)


def test_user_and_password_of_a_url_become_a_header_and_are_never_shown():
    found = target({"OPENLINEAGE_URL": "https://ann:p%40ss@marquez.internal"})
    assert found.url == "https://marquez.internal/api/v1/lineage"
    assert found.headers["Authorization"] == "Basic YW5uOnBAc3M="
    assert "p%40ss" not in repr(found)


def test_a_user_without_a_name_is_never_shown_either():
    found = target({"OPENLINEAGE_URL": "https://:s3cret@marquez.internal"})
    assert found.url == "https://marquez.internal/api/v1/lineage"
    assert "s3cret" not in repr(found) + str(found)


def test_a_key_from_a_file_may_end_with_a_line_end():
    given = {"OPENLINEAGE_URL": "http://m", "OPENLINEAGE_API_KEY": "s3cret\n"}
    assert target(given).headers["Authorization"] == "Bearer s3cret"
    auth = {"type": "api_key", "apiKey": "s3cret\n"}
    transport = json.dumps({"type": "http", "url": "http://m", "auth": auth})
    assert target({"OPENLINEAGE__TRANSPORT": transport}).headers["Authorization"] == "Bearer s3cret"


@pytest.mark.parametrize("key", ["s3c\nret", "s3c\u20acret"])
def test_a_key_that_http_cannot_carry_is_refused_at_once_and_not_shown(key):
    with pytest.raises(ConfigError, match="the value of the header 'Authorization' holds a line end") as error:
        target({"OPENLINEAGE_URL": "http://m", "OPENLINEAGE_API_KEY": key})
    assert "s3c" not in str(error.value)


def test_disabled_wins_over_everything():
    assert target({"OPENLINEAGE_URL": "http://m", "OPENLINEAGE_DISABLED": " True "}) is None


@pytest.mark.parametrize("place", ["named", "working directory", "checkout", "home"])
def test_a_file_is_found_where_openlineage_looks_and_beside_env(nowhere, place):
    folder = {"named": "some", "working directory": "elsewhere", "checkout": "checkout", "home": "home/.openlineage"}
    path = nowhere / folder[place] / ("config.yml" if place == "named" else "openlineage.yml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(YAML)
    found = target({"OPENLINEAGE_CONFIG": str(path)} if place == "named" else {})
    assert found == HttpTarget(
        "https://marquez.internal:8443/base/api/v2/events",
        timeout=12.0,
        verify=False,
        headers={"Content-Type": "application/json", "Authorization": "Bearer of-the-file", "X-Team": "data"},
        gzip=True,
    )


def test_a_transport_in_a_file_wins_over_the_url(nowhere):
    (nowhere / "elsewhere/openlineage.yml").write_text(YAML)
    assert target({"OPENLINEAGE_URL": "http://other"}).url.startswith("https://marquez.internal")


def test_dynamic_variables_make_a_transport_and_complete_that_of_a_file(nowhere):
    given = {
        "OPENLINEAGE__TRANSPORT__TYPE": "http",
        "OPENLINEAGE__TRANSPORT__URL": "http://m:5000",
        "OPENLINEAGE__TRANSPORT__TIMEOUT": "7",
        "OPENLINEAGE__TRANSPORT__AUTH__TYPE": "api_key",
        "OPENLINEAGE__TRANSPORT__AUTH__APIKEY": "k",
        "OPENLINEAGE__TRANSPORT__CUSTOM_HEADERS": '{"X-A": "1"}',
        "OPENLINEAGE__TRANSPORT__SSLCONTEXT__CACERTPATH": "/ca.pem",
    }
    assert target(given) == HttpTarget(
        "http://m:5000/api/v1/lineage",
        timeout=7.0,
        headers={"Content-Type": "application/json", "Authorization": "Bearer k", "X-A": "1"},
        ca_file="/ca.pem",
    )
    (nowhere / "elsewhere/openlineage.yml").write_text("transport: {type: http, url: 'http://of-the-file'}")
    found = target(given)
    assert (found.url, found.timeout) == ("http://of-the-file/api/v1/lineage", 7.0)


@pytest.mark.parametrize("append", [True, False])
def test_a_file_transport_is_relative_to_the_checkout(nowhere, append):
    given = {
        "OPENLINEAGE__TRANSPORT__TYPE": "file",
        "OPENLINEAGE__TRANSPORT__LOG_FILE_PATH": "data/events.jsonl",
        "OPENLINEAGE__TRANSPORT__APPEND": str(append).lower(),
    }
    assert target(given) == FileTarget(nowhere / "checkout/data/events.jsonl", append)


def test_a_variable_in_env_works_and_the_environment_wins(nowhere, monkeypatch):
    (nowhere / "checkout/.env").write_text("OPENLINEAGE_URL='http://of-env'\nOPENLINEAGE_NAMESPACE=plant-7\n")
    assert target().url == "http://of-env/api/v1/lineage"
    assert job_namespace() == "plant-7"
    monkeypatch.setenv("OPENLINEAGE_URL", "http://outside")
    assert target().url == "http://outside/api/v1/lineage"


def test_the_namespace_is_lakehouse_unless_it_is_set():
    assert job_namespace({}) == "lakehouse"
    assert job_namespace({"OPENLINEAGE_NAMESPACE": "n"}) == "n"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"OPENLINEAGE_URL": "marquez:5000"}, "url is not http"),
        ({"OPENLINEAGE__TRANSPORT__TYPE": "kafka"}, "there is no transport kafka here. Supported transports are http"),
        ({"OPENLINEAGE__TRANSPORT": '{"type": "http", "url": "http://m", "header": {}}'}, "unknown: header"),
        ({"OPENLINEAGE__TRANSPORT": '{"type": "http", "url": "http://m", "timeout": "x"}'}, "timeout is not a number"),
        ({"OPENLINEAGE__TRANSPORT": '{"type": "http", "url": "http://m", "verify": "no"}'}, "verify is neither"),
        ({"OPENLINEAGE__TRANSPORT": '{"type": "http", "url": "http://m", "auth": {"type": "jwt"}}'}, "type jwt is not"),
        ({"OPENLINEAGE__TRANSPORT": '{"type": "http", "url": "http://m", "auth": {"type": "api_key"}}'}, "no apiKey"),
        ({"OPENLINEAGE__TRANSPORT": '{"type": "http", "url": "http://m", "compression": "zstd"}'}, "zstd is not gzip"),
        ({"OPENLINEAGE__TRANSPORT__TYPE": "file"}, "log_file_path is missing"),
        ({"OPENLINEAGE__TRANSPORT": '{"type": "file", "log_file_path": "s3://b/x"}'}, "not on a local disk"),
        ({"OPENLINEAGE_CONFIG": "no/such.yml"}, "there is no file"),
    ],
)
def test_what_is_not_understood_is_named(given, said):
    with pytest.raises(ConfigError) as error:
        target(given)
    assert said in error.value.message


def test_a_file_that_is_no_yaml_is_named(nowhere):
    (nowhere / "elsewhere/openlineage.yml").write_text("transport: [")
    with pytest.raises(ConfigError, match=r"openlineage\.yml is wrong: it cannot be read"):
        target({})


def test_a_file_that_is_no_yaml_does_not_show_the_key_in_it(nowhere):
    (nowhere / "elsewhere/openlineage.yml").write_text("transport:\n  auth:\n    apiKey: @s3cret\n")
    with pytest.raises(ConfigError, match=r"it cannot be read: line 3: found character") as error:
        target({})
    assert "s3cret" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "file"),
    [
        ({"OPENLINEAGE_URL": "http://m:5000"}, None),
        ({"OPENLINEAGE_URL": "http://m:5000/base/", "OPENLINEAGE_ENDPOINT": "x/y", "OPENLINEAGE_API_KEY": "k"}, None),
        ({}, YAML),
        ({"OPENLINEAGE_URL": "http://other"}, YAML),
        ({"OPENLINEAGE__TRANSPORT__TIMEOUT": "3", "OPENLINEAGE__TRANSPORT__COMPRESSION": "gzip"}, YAML),
        ({"OPENLINEAGE__TRANSPORT": json.dumps({"type": "http", "url": "http://m", "auth": {}})}, None),
        ({"OPENLINEAGE__TRANSPORT__TYPE": "http", "OPENLINEAGE__TRANSPORT__URL": "http://a/b"}, None),
    ],
)
def test_openlineage_python_understands_the_same(nowhere, monkeypatch, given, file):
    from urllib.parse import urljoin

    from openlineage.client import OpenLineageClient

    if file:
        (nowhere / "elsewhere/openlineage.yml").write_text(file)
    found = target(given)
    with monkeypatch.context() as patch:
        for name, value in given.items():
            patch.setenv(name, value)
        before = dict(os.environ)
        theirs = OpenLineageClient().transport
        for name in set(os.environ) - set(before):  # it writes variables of its own
            patch.delenv(name)
    assert found.url == urljoin(theirs.url, theirs.endpoint)
    assert (found.timeout or 5.0, found.verify) == (theirs.timeout, theirs.verify)
    assert found.gzip == (theirs.compression is not None)
    headers = theirs._prepare_request("{}")[1]
    headers.pop("Content-Encoding", None)
    assert dict(found.headers) == headers


def test_the_checkout_has_no_openlineage_file_of_its_own():
    assert not (Path(PROJECT_ROOT) / "openlineage.yml").exists()
