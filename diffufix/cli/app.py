"""The `diffufix` command: its subcommands, and what the user sees when one fails.

Nothing heavy is imported here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

import diffufix
from diffufix.cli import (
    chat,
    clean,
    config,
    doctor,
    env,
    evaluate,
    failures,
    generate,
    inspect,
    mcp,
    models,
    repair,
    rewards,
    train,
    watch,
)
from diffufix.cli.parsing import CliCommand, CliGroup, PytestCommand
from diffufix.cli.past import apply, runs, undo
from diffufix.errors import DiffufixError
from diffufix.workspace.clock import process_began

INTERRUPTED = 130
#: The parser's base class for wrong arguments; it lives in another module in every typer.
_WrongArguments: type[Any] = typer.BadParameter.__mro__[1]

HELP = """Repairs failing tests with a masked diffusion language model.

Examples:
  diffufix repair                    # find a patch for what fails, show it
  diffufix repair tests/test_x.py    # only what fails there
  diffufix apply                     # write the patch that was found last
  diffufix undo                      # and take it back
  diffufix doctor                    # what works here, and what is missing
"""

app = typer.Typer(
    name="diffufix",
    cls=CliGroup,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help=HELP,
    epilog="Exit codes: 0 repaired, or nothing to do; 1 not repaired, or only plausible; 2 wrong "
    "usage, a project that cannot be tested, a missing prerequisite, an internal error; "
    "130 interrupted. Settings come from the command line, then DIFFUFIX_*, then "
    "[tool.diffufix] in pyproject.toml.",
)
REPAIRS, LOOKS, LEARNS = "Repair", "Look", "Learn"
app.command("repair", cls=PytestCommand, rich_help_panel=REPAIRS)(repair.repair)
app.command("watch", cls=PytestCommand, rich_help_panel=REPAIRS)(watch.watch)
app.command("generate", cls=CliCommand, rich_help_panel=REPAIRS)(generate.generate)
app.command("inspect", cls=CliCommand, rich_help_panel=LOOKS)(inspect.inspect)
app.command("chat", cls=CliCommand, rich_help_panel=LOOKS)(chat.chat)
app.command("apply", cls=CliCommand, rich_help_panel=REPAIRS)(apply.apply)
app.command("undo", cls=CliCommand, rich_help_panel=REPAIRS)(undo.undo)
app.add_typer(runs.app, name="runs", rich_help_panel=LOOKS)
app.add_typer(env.app, name="env", rich_help_panel=LOOKS)
app.command("doctor", cls=CliCommand, rich_help_panel=LOOKS)(doctor.doctor)
app.add_typer(config.app, name="config", rich_help_panel=LOOKS)
app.command("clean", cls=CliCommand, rich_help_panel=LOOKS)(clean.clean)
app.command("mcp", cls=CliCommand, rich_help_panel=LOOKS)(mcp.mcp)
app.add_typer(train.app, name="train", rich_help_panel=LEARNS)
app.add_typer(rewards.app, name="rewards", rich_help_panel=LEARNS)
app.add_typer(models.app, name="models", rich_help_panel=LEARNS)
app.add_typer(evaluate.app, name="evaluate", rich_help_panel=LEARNS)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"diffufix {diffufix.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", "-V", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; never raises."""
    args = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # not a real text stream
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    command = typer.main.get_command(app)
    try:
        with _terminate_as_interrupt():
            code = command.main(
                args,
                prog_name="diffufix",
                standalone_mode=False,
                obj=process_began() if argv is None else None,
            )
            sys.stdout.flush()
        return int(code or 0)
    except DiffufixError as error:
        return failures.tell(error, args)
    except _WrongArguments as error:
        return failures.tell(failures.usage(error, args, command), args)
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, e.g. `| head`
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except SystemExit as ended:  # of shell completion
        return ended.code if isinstance(ended.code, int) else 0
    except Exception as error:
        return failures.tell(failures.crash(error, {"--verbose", "-v"} & {*args}), args)


@contextlib.contextmanager
def _terminate_as_interrupt() -> Any:
    """SIGTERM and SIGHUP unwind like Ctrl-C, so that child processes and files are cleaned up."""

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before = {}
    with contextlib.suppress(ValueError):  # not in the main thread
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) == signal.SIG_DFL:  # `nohup` ignores SIGHUP: keep that
                before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
