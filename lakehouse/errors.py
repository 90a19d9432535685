"""The errors a user can cause or meet, each with a remedy.

What belongs here: exception types that the command line prints without a stack trace, and how others are quoted.
What does not: programming errors; those keep their stack trace.
"""

from __future__ import annotations


class LakehouseError(Exception):
    """A failure with a cause a person understands and a next step.

    Args:
        message: what is wrong and where (file, column, setting, server).
        remedy: what to do about it; a command where there is one.

    Attributes:
        transient: True where trying again later may succeed without any change
            (a server that is down); False where it cannot (bad data, bad settings).
        exit_code: the process exit code the command line ends with.
    """

    transient: bool = False
    exit_code: int = 1

    def __init__(self, message: str, *, remedy: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.remedy}" if self.remedy else self.message


class ConfigError(LakehouseError):
    """Settings or a declaration are wrong; lists every fault found, not just the first."""

    exit_code = 2


class DataError(LakehouseError):
    """Data broke a declared rule beyond its threshold; trying again without a fix is pointless."""

    exit_code = 3


class UnavailableError(LakehouseError):
    """A server or store cannot be reached now. Worth retrying."""

    transient = True
    exit_code = 4


class BusyError(LakehouseError):
    """Someone else holds a resource (warehouse lock, port). Names the holder."""

    transient = True
    exit_code = 5


class BlockedError(LakehouseError):
    """A gate holds: something upstream failed and must be mended (or overridden with --force)."""

    exit_code = 6


def first_line(error: BaseException) -> str:
    """What an error says, in one line; its type's name where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
