"""`diffufix evaluate SUITE`, and its commands: `compare`, `sweep`, `suites`."""

from __future__ import annotations

from typing import Any

import typer

from diffufix.cli.evaluate import compare, run, sweep
from diffufix.cli.parsing import CliCommand, CliGroup

_RUN = "run"


class _SuiteFirst(CliGroup):
    """`evaluate SUITE` is `evaluate run SUITE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ("-h", "--help", "help"):
            args = [_RUN, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=_SuiteFirst,
    no_args_is_help=True,
    help="""Measure a model on published benchmarks and on folders of real bugs.

    `diffufix evaluate SUITE` is `evaluate run SUITE`. A suite is a name, a file, or a folder.

    Examples:
      diffufix evaluate suites                                 # what there is
      diffufix evaluate humanevalfix --data cases.jsonl        # repair faults
      diffufix evaluate humaneval+ --model FOLDER -n 10        # write functions
      diffufix evaluate compare evaluation/A evaluation/B      # is B better?
    """,
)
app.command(_RUN, cls=CliCommand)(run.run)
app.command("compare", cls=CliCommand)(compare.compare)
app.command("sweep", cls=CliCommand)(sweep.sweep)
app.command("suites", cls=CliCommand)(run.suites)
