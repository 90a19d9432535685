"""Generated secrets, and what makes a given one too weak for production. Pure but for the random numbers."""

from __future__ import annotations

import secrets

MIN_LENGTH = 16
"""Shorter passwords are refused. Generated ones have 40 characters; this is for those that people choose."""
MIN_DISTINCT = 6
SECRET_BYTES = 20
"""160 random bits. As hexadecimal digits they need no quoting in URLs, shells and ``.env``, and 40 characters are the
most that MinIO takes for a secret key."""
EXAMPLES = ("change", "example", "password", "passw0rd", "secret", "minioadmin", "postgres", "lakehouse")
"""What stands in examples and defaults; a password that holds one of them is taken for one."""


def generate() -> str:
    """A new secret of 160 random bits, as 40 hexadecimal digits."""
    return secrets.token_hex(SECRET_BYTES)


def weakness(value: str) -> str | None:
    """Why a password or key must not be used in production, None where it may; never quotes it."""
    if not value:
        return "is empty"
    if any(example in value.lower() for example in EXAMPLES):
        return "is an example"
    if len(value) < MIN_LENGTH:
        return f"is too short ({len(value)} characters, at least {MIN_LENGTH} are needed)"
    if len(set(value)) < MIN_DISTINCT:
        return "repeats a few characters"
    return None
