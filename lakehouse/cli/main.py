"""Entry point of ``lakehouse``: the list of commands, and how errors end the process.

Imports nothing heavy: ``lakehouse --help`` must answer in 0.3 s, so a command's module is imported when it is called.
"""

from __future__ import annotations

import sys

import click

from lakehouse.cli.lazy import LazyCommands

COMMANDS = {
    "up": "Start everything and print the pages; Ctrl-C stops it.",
    "run": "Run the pipeline here and show what was built.",
    "worker": "Watch the drop zones and bring what arrives to the marts within seconds.",
    "status": "What is fresh, late, failing, and since when.",
    "logs": "What the services of `lakehouse up` write.",
    "query": "Ask the warehouse or the marts in SQL.",
    "trace": "From a mart's row back to the raw files.",
    "sample": "Generate sample data into the lake.",
    "ingest": "Validate and record what lies in the drop zones, without Dagster.",
    "replay": "Give a quarantined file a second chance.",
    "rollback": "A mart's versions; bring a former one back.",
    "source": "Declared sources: list them, derive their dbt files.",
    "backup": "State, marts and warehouse into a folder.",
    "restore": "Put a backup back.",
    "lineage": "Where data comes from and goes to; delivery to a lineage server.",
    "rebuild": "Everything anew from the lake alone.",
    "env": "Print the environment that plain dbt and dagster need.",
    "init": "Write the settings of a server, with generated secrets.",
    "serve": "One service alone, for containers and service managers.",
    "stack": "The one-shot steps of docker-compose.yml.",
    "setup": "Prepare everything `lakehouse run` would prepare, and stop.",
}
EXIT_INTERRUPTED = 130


@click.group(
    cls=LazyCommands,
    commands=COMMANDS,
    prefix="lakehouse.cli.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog="Exit codes: 0 done · 1 failed · 2 wrong usage or settings · 3 data refused · 4 a server is unreachable · "
    "5 something is in use · 6 blocked by a gate · 130 interrupted.",
)
@click.version_option(package_name="lakehouse", prog_name="lakehouse")
def cli() -> None:
    """Lakehouse: Parquet in a lake, dbt on DuckDB, marts in Postgres, orchestrated by Dagster.

    \b
    Example:
      lakehouse run                     # raw → staging → curated → marts
      lakehouse query "select * from marts.mart_bioreactor_overview limit 5"
    """


def main() -> None:
    """Run the command line; errors we understand end it with their text and exit code, never a stack trace."""
    from lakehouse.errors import LakehouseError

    try:
        code = cli.main(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("Interrupted.", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except LakehouseError as error:
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        if not _reader_is_gone():
            raise  # it was another pipe
        # The reader (`| head`) has gone. Point stdout elsewhere so that the interpreter's last flush is silent.
        sys.stdout = open("/dev/null", "w", encoding="utf-8")  # noqa: PTH123, SIM115 - lives until the process ends
        sys.exit(0)
    except Exception as error:
        from lakehouse.failures import meaning

        understood = meaning(error)
        if understood is None:
            raise
        click.echo(f"{click.style('Error:', fg='red', bold=True)} {understood}", err=True)
        sys.exit(understood.exit_code)


def _reader_is_gone() -> bool:
    """Whether nobody reads our output or our messages any more."""
    import select

    outputs = select.poll()
    for descriptor in (1, 2):
        outputs.register(descriptor, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in outputs.poll(0))


if __name__ == "__main__":
    main()
