"""Nothing new: ``lakehouse run`` on an unchanged small lake beside ``dbt build`` and ``dagster asset materialize``.

Measured: whole processes, byte-code compiled, manifest prebuilt for all three, Postgres kept running for all three.
``dbt build --target postgres`` builds every model in one invocation, the mart included, and runs every test of
the data; unit tests are left out because our runs leave them to CI as well (plain ``dbt build``, which runs them, is
shown beside it). The two do not do the same: ours looks for new files, leaves out what has not changed and records the
run, dbt builds and tests everything again, without ingestion or a record. ``dagster asset materialize``
runs our definitions with all their steps, the way a Dagster project without a command line of its own does.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.figures import Figure, Limit, Outcome
from benchmarks.options import Options
from benchmarks.places import BIN, a_place, statuses
from benchmarks.processes import ROOT, Usage, measured, rounds

REPEAT = 5
BATCHES, SCALE = 6, 0.2
LIMIT = Limit("excess", 2.0)
EXCLUDED = ("--exclude-resource-type", "unit_test")
MATERIALIZE = ("asset", "materialize", "--select", "*", "-m", "orchestration.definitions")


def measure(options: Options) -> Outcome:
    """All four in turn on one platform."""
    with a_place() as place:
        place.sample(BATCHES, SCALE)
        place.run()
        environment = place.tool_environment()

        def dbt(*more: str) -> Usage:
            artefacts = place.home / "plain_dbt"
            command = [str(BIN / "dbt"), "build", "--target", "postgres", *more]
            command += ["--target-path", str(artefacts), "--log-path", str(artefacts / "logs")]
            # dbt's profile takes paths from PWD where the environment does not say them.
            project = ROOT / "dbt_project"
            return measured(command, {**environment, "PWD": str(project)}, cwd=project)

        sides = {
            "lakehouse run": lambda _: place.run(),
            "dbt build": lambda _: dbt(*EXCLUDED),
            "dbt build with unit tests": lambda _: dbt(),
            "dagster asset materialize": lambda _: measured([str(BIN / "dagster"), *MATERIALIZE], environment),
        }
        rounds(sides, 1, lambda text: options.say(f"warm-up {text}"))
        taken = rounds(sides, options.repeat or REPEAT, options.say)
    ours = taken.pop("lakehouse run")
    figures = [Figure("unchanged_run", "s", _wall(ours), "dbt build", _wall(taken["dbt build"]), LIMIT)]
    figures += [
        Figure("unchanged_run", "s", _wall(ours), against, _wall(usages))
        for against, usages in taken.items()
        if against != "dbt build"
    ]
    for against in ("dbt build", "dagster asset materialize"):
        base = taken[against]
        figures += [
            Figure("unchanged_run: CPU", "s", [use.cpu for use in ours], against, [use.cpu for use in base]),
            Figure("unchanged_run: peak", "MB", [use.peak_mb for use in ours], against, [use.peak_mb for use in base]),
        ]
    return Outcome(figures, {"statuses": dict(statuses(ours[-1])), "dbt": taken["dbt build"][-1].stdout[-300:]})


def _wall(usages: Sequence[Usage]) -> list[float]:
    return [usage.wall for usage in usages]
