"""PostgreSQL's own client programs: ``pg_dump``, ``pg_restore``, ``psql`` of the embedded server's wheel.

What belongs here: starting them so that no password is on a command line, and their failures as our errors.
What does not: which schemas are dumped or replaced (:mod:`lakehouse.backup.dump`, :mod:`lakehouse.backup.load`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from lakehouse.errors import LakehouseError, UnavailableError
from lakehouse.postgres import binaries
from lakehouse.postgres.connect import server_of

NO_SPACE = ("No space left on device", "Disk quota exceeded", "File too large")
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)
LOST = ("server closed the connection", "connection to server", "could not connect")


@dataclass(frozen=True)
class Client:
    """The programs, bound to one database."""

    programs: Path
    conninfo: str
    environment: dict[str, str]
    server: str

    def dump(self, target: Path, *options: str) -> None:
        """Write a dump in PostgreSQL's custom format (compressed, listed and restored selectively).

        Raises:
            LakehouseError: it failed; quotes what ``pg_dump`` said.
        """
        command = [str(self.programs / "pg_dump"), "--format=custom", "--no-password", "--file", str(target), *options]
        done = subprocess.run(
            [*command, "--dbname", self.conninfo],
            env=self.environment,
            capture_output=True,
            preexec_fn=_end_with_parent,
        )
        _require(done.returncode, done.stderr, f"Dumping {self.server}")
        with target.open("rb") as file:
            os.fsync(file.fileno())

    def replace(self, write: Callable[[IO[bytes]], None]) -> None:
        """Run a script in one transaction: all of it or nothing.

        BEGIN and COMMIT are part of what is sent: should this process be killed, the script ends without its COMMIT
        (``psql --single-transaction`` would commit what it has when its input ends).

        Args:
            write: writes the script.

        Raises:
            LakehouseError: a statement failed and nothing was changed; quotes what ``psql`` said.
        """
        command = [str(self.programs / "psql"), "--no-psqlrc", "--quiet", "--no-password"]
        command += ["--set", "ON_ERROR_STOP=1", "--set", "VERBOSITY=terse", "--output", os.devnull]
        with (
            tempfile.TemporaryFile() as said,
            subprocess.Popen(
                [*command, "--dbname", self.conninfo, "--file", "-"],
                env=self.environment | {"PGOPTIONS": "-c client_min_messages=warning"},
                stdin=subprocess.PIPE,
                stderr=said,
                preexec_fn=_end_with_parent,
            ) as process,
        ):
            script = cast("IO[bytes]", process.stdin)
            try:
                with contextlib.suppress(BrokenPipeError):  # psql has stopped at an error; it says which
                    script.write(b"BEGIN;\n")
                    write(script)
                    script.write(b"COMMIT;\n")
            except BaseException:
                process.kill()
                raise
            finally:
                with contextlib.suppress(BrokenPipeError):  # what it did not read is still in the buffer
                    script.close()
            process.wait()
            said.seek(0)
            _require(process.returncode, said.read(), f"Restoring {self.server}", "Nothing was changed in it.")

    def script(self, dump: Path, into: IO[bytes], *options: str) -> None:
        """Write the statements of a dump, rows included, for :meth:`replace`."""
        into.flush()
        done = subprocess.run(
            [self.programs / "pg_restore", "--file", "-", *options, dump],
            stdout=into,
            stderr=subprocess.PIPE,
            preexec_fn=_end_with_parent,
        )
        if done.returncode == -signal.SIGPIPE:  # the reader stopped; it says why
            raise BrokenPipeError
        _require(done.returncode, done.stderr, f"Reading {dump}")


@contextlib.contextmanager
def client(url: str) -> Iterator[Client]:
    """The programs for a database.

    Args:
        url: a libpq URL. A password in it goes to a private file for the length of the block.

    Raises:
        ConfigError: the wheel that holds the programs is not installed.
    """
    from psycopg2.extensions import make_dsn, parse_dsn

    values = parse_dsn(url)
    password = values.pop("password", None)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    with tempfile.TemporaryDirectory(prefix="lakehouse-") as folder:  # of mode 0700
        if password:
            escaped = password.replace("\\", "\\\\").replace(":", "\\:")
            passfile = Path(folder) / "pgpass"
            passfile.touch(mode=0o600)
            passfile.write_text(f"*:*:*:*:{escaped}\n", encoding="utf-8")
            values["passfile"] = str(passfile)
        yield Client(binaries.find(), make_dsn(**values), inherited | {"LC_ALL": "C", "PGTZ": "UTC"}, server_of(url))


def listing(dump: Path) -> list[str]:
    """The entries of a dump, as ``pg_restore --list`` prints them, comments left out.

    Raises:
        LakehouseError: it is no dump, or a damaged one.
    """
    done = subprocess.run([binaries.find() / "pg_restore", "--list", dump], capture_output=True)
    _require(done.returncode, done.stderr, f"Reading {dump}")
    return [line for line in done.stdout.decode().splitlines() if line and not line.startswith(";")]


def _end_with_parent() -> None:
    """The kernel ends the program when this process is killed: nobody is left who holds tables."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _require(code: int, stderr: bytes, what: str, also: str = "") -> None:
    if code == 0:
        return
    text = stderr.decode(errors="replace").strip()
    lines = "\n    ".join(text.splitlines()[-8:]) or "it said nothing"
    if any(sign in text for sign in NO_SPACE):
        raise LakehouseError(
            f"{what} failed: there is no space left.\n    {lines}", remedy="Free space on the disk and run it again."
        )
    if any(sign in text for sign in LOST):
        raise UnavailableError(
            f"{what} failed: the server went away.\n    {lines}", remedy="Check the server, then run it again."
        )
    raise LakehouseError(f"{what} failed. {also}\n    {lines}", remedy="Mend what it names and run it again.")
