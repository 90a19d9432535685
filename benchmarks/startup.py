"""Start-up: how long until definitions are loaded, and until ``lakehouse --help`` answers.

Measured: whole processes, byte-code compiled, file cache warm, the dbt manifest prebuilt, the environment as
``lakehouse env`` gives it (the one ``lakehouse run`` sets for itself). Baseline of the definitions: a process that
imports dagster and dagster_dbt and nothing else. Excluded: parsing the dbt project, which happens once per change.
"""

from __future__ import annotations

from benchmarks.figures import Figure, Limit, Outcome
from benchmarks.options import Options
from benchmarks.places import LAKEHOUSE, PYTHON, a_place
from benchmarks.processes import measured, rounds

REPEAT = 9
LOAD_LIMIT = Limit("ratio", 1.3)
HELP_LIMIT = Limit("ours", 0.3)
LOAD = "import orchestration.definitions"
RESOLVE = "from orchestration.definitions import defs; defs.get_repository_def()"
BARE = "import dagster, dagster_dbt"


def measure(options: Options) -> Outcome:
    """Take all four processes in turn."""
    with a_place() as place:
        environment = place.tool_environment()
        commands = {
            "definitions": [PYTHON, "-c", LOAD],
            "imports": [PYTHON, "-c", BARE],
            "repository": [PYTHON, "-c", RESOLVE],
            "help": [LAKEHOUSE, "--help"],
        }
        sides = {name: lambda _, command=command: measured(command, environment) for name, command in commands.items()}
        rounds(sides, 1, lambda text: options.say(f"warm-up {text}"))
        taken = rounds(sides, options.repeat or REPEAT, options.say)
    wall = {name: [usage.wall for usage in usages] for name, usages in taken.items()}
    cpu = {name: [usage.cpu for usage in usages] for name, usages in taken.items()}
    return Outcome(
        [
            Figure("startup: definitions load", "s", wall["definitions"], BARE, wall["imports"], LOAD_LIMIT),
            Figure("startup: definitions load, CPU", "s", cpu["definitions"], BARE, cpu["imports"]),
            Figure("startup: the same + repository resolved", "s", wall["repository"], BARE, wall["imports"]),
            Figure("startup: lakehouse --help", "s", wall["help"], limit=HELP_LIMIT),
        ]
    )
