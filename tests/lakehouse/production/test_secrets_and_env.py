"""Secrets of the stack: generated strong, kept on a second run, refused when weak, each named."""

from __future__ import annotations

import stat

import pytest

from lakehouse.errors import ConfigError
from lakehouse.production import env_file
from lakehouse.production.secrets import generate, weakness
from lakehouse.production.stack import EXAMPLE_SECRET, SECRETS, check
from lakehouse.settings import load_settings

NAMES = [secret.name for secret in SECRETS]


@pytest.fixture
def strong() -> dict[str, str]:
    return {name: generate() for name in NAMES}


def test_generated_secrets_have_160_bits_and_differ():
    made = {generate() for _ in range(200)}
    assert len(made) == 200
    assert all(len(value) == 40 and int(value, 16) < 2**160 for value in made)
    assert not [value for value in made if weakness(value)]


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ("", "is empty"),
        (EXAMPLE_SECRET, "is an example"),
        ("Password-1234567890", "is an example"),
        ("minioadmin", "is an example"),
        ("x9!kQ2", "is too short (6 characters, at least 16 are needed)"),
        ("abababababababababab", "repeats a few characters"),
        ("correct horse battery", None),
    ],
)
def test_a_weak_secret_is_told_why(value, fault):
    assert weakness(value) == fault


def test_a_new_file_is_private_and_complete(tmp_path):
    file = tmp_path / ".env"
    added, kept = env_file.write(file)
    assert list(added) == NAMES
    assert kept is None
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = env_file.values(file.read_text())
    assert found.pop("LAKEHOUSE_ENVIRONMENT") == "production"
    check(found)


def test_a_second_run_keeps_every_line_and_adds_only_what_is_missing(tmp_path):
    file = tmp_path / ".env"
    file.write_text(f"# mine\nLAKEHOUSE_TIMEZONE=Europe/Berlin\n{NAMES[0]}=my own long passphrase\n{NAMES[1]}=\n")
    added, _ = env_file.write(file)
    assert list(added) == NAMES[1:]
    text = file.read_text()
    assert text.startswith(f"# mine\nLAKEHOUSE_TIMEZONE=Europe/Berlin\n{NAMES[0]}=my own long passphrase\n")
    assert text.count(f"{NAMES[1]}=") == 1
    assert env_file.write(file) == ([], None)
    assert file.read_text() == text


def test_force_makes_new_secrets_and_keeps_the_former_file(tmp_path):
    file = tmp_path / ".env"
    env_file.write(file)
    before = file.read_text()
    added, kept = env_file.write(file, afresh=True)
    assert list(added) == NAMES
    assert kept.read_text() == before
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert not set(env_file.values(before).values()) & set(env_file.values(file.read_text()).values()) - {"production"}


def test_the_stack_names_every_weak_secret_at_once(strong):
    weak = strong | {
        NAMES[0]: "",
        NAMES[1]: EXAMPLE_SECRET,
        NAMES[2]: "short",
        NAMES[4]: strong[NAMES[3]],
        NAMES[5]: "p@ss:w0rd/of-my-own",
    }
    with pytest.raises(ConfigError) as error:
        check(weak)
    text = str(error.value)
    assert f"{NAMES[0]} is empty" in text
    assert f"{NAMES[1]} is an example" in text
    assert f"{NAMES[2]} is too short" in text
    assert f"{NAMES[4]} is the same as {NAMES[3]}" in text
    assert f"{NAMES[5]} holds other characters" in text
    assert text.count("STACK_") == 6
    assert not [value for value in strong.values() if value in text]
    assert error.value.exit_code == 2


def test_examples_are_accepted_in_development_only(strong):
    examples = dict.fromkeys(NAMES, EXAMPLE_SECRET)
    check(examples | {"LAKEHOUSE_ENVIRONMENT": "development"})
    for environment in ({}, {"LAKEHOUSE_ENVIRONMENT": "production"}, {"LAKEHOUSE_ENVIRONMENT": "Development"}):
        with pytest.raises(ConfigError):
            check(examples | environment)
    check(strong)


def test_our_own_processes_refuse_weak_passwords_in_production_and_name_each(monkeypatch):
    for name in [name for name in __import__("os").environ if name.startswith("LAKEHOUSE_")]:
        monkeypatch.delenv(name)
    values = {
        "LAKEHOUSE_STATE_URL": "postgresql://lakehouse_state@db/state",
        "LAKEHOUSE_MARTS_URL": "postgresql://lakehouse_writer:change-me@db/marts",
        "LAKEHOUSE_MARTS_ADMIN_URL": f"postgresql://lakehouse_admin:{generate()}@db/marts",
        "LAKEHOUSE_S3_ENDPOINT": "http://store:9000",
        "LAKEHOUSE_S3_SECRET_KEY": "minioadmin",
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)
    load_settings.cache_clear()
    assert load_settings().environment == "development"
    load_settings.cache_clear()
    monkeypatch.setenv("LAKEHOUSE_ENVIRONMENT", "production")
    with pytest.raises(ConfigError) as error:
        load_settings()
    text = str(error.value)
    assert "3 faults" in text
    assert "LAKEHOUSE_STATE_URL: its password is empty" in text
    assert "LAKEHOUSE_MARTS_URL: its password is an example" in text
    assert "LAKEHOUSE_S3_SECRET_KEY: its password is an example" in text
    assert "LAKEHOUSE_MARTS_ADMIN_URL" not in text
    load_settings.cache_clear()
