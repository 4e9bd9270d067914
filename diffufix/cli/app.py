"""The `diffufix` command: its subcommands, and what the user sees when one fails.

Nothing heavy is imported here, and no command but the one that is run.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import typer

import diffufix
from diffufix.cli import failures
from diffufix.cli.parsing import CliGroup, LazyCommand, LazyCommands, PytestCommand
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

REPAIRS, LOOKS, LEARNS = "Repair", "Look", "Learn"
_HERE = "diffufix.cli"
#: A command is imported when it is run; its first sentence stands here (a test compares them).
COMMANDS = {
    "repair": LazyCommand(
        f"{_HERE}.repair:repair", REPAIRS,
        "Find a verified patch that makes the failing tests of this project pass.", PytestCommand,
    ),
    "watch": LazyCommand(
        f"{_HERE}.watch:watch", REPAIRS,
        "Watch the project; when something goes red, search for its repair and show it.",
        PytestCommand,
    ),
    "generate": LazyCommand(
        f"{_HERE}.generate:generate", REPAIRS,
        "Write function bodies from signature and docstring, verified by what can verify them.",
    ),
    "apply": LazyCommand(
        f"{_HERE}.past.apply:apply", REPAIRS,
        "Write a patch of an earlier run; `diffufix undo` takes it back.",
    ),
    "undo": LazyCommand(
        f"{_HERE}.past.undo:undo", REPAIRS,
        "Take back a patch that --apply or `diffufix apply` wrote.",
    ),
    "doctor": LazyCommand(
        f"{_HERE}.doctor:doctor", LOOKS,
        "See what works on this machine and in this project, by trying it.",
    ),
    "runs": LazyCommand(
        f"{_HERE}.past.runs:app", LOOKS,
        "Look at what was run here: list, show, compare, remove.",
    ),
    "inspect": LazyCommand(
        f"{_HERE}.inspect:inspect", LOOKS,
        "Watch a model fill a hole: which tokens come first, how sure it is, how left to right.",
    ),
    "chat": LazyCommand(
        f"{_HERE}.chat:chat", LOOKS,
        "Talk with an instruction-tuned checkpoint about code. mini cannot: it fills holes.",
    ),
    "config": LazyCommand(
        f"{_HERE}.config:app", LOOKS, "The settings in force, and where each comes from."
    ),
    "env": LazyCommand(
        f"{_HERE}.env:app", LOOKS,
        "The project's environment in the sandbox: show it, build it.",
    ),
    "clean": LazyCommand(
        f"{_HERE}.clean:clean", LOOKS,
        "Remove log, rewards, trained models and undo records of this project (`.diffufix/`).",
    ),
    "mcp": LazyCommand(
        f"{_HERE}.serving.mcp:mcp", LOOKS,
        "Serve `repair`, `localize`, `verify` and `runs` to agents, as an MCP server over stdio.",
    ),
    "serve": LazyCommand(
        f"{_HERE}.serving.serve:serve", LEARNS,
        "Verify candidates for other programs over HTTP: `POST /verify`, `POST /run_code`.",
    ),
    "train": LazyCommand(
        f"{_HERE}.train:app", LEARNS,
        "Learn from what tests said, on this project; use what came of it if it is better.",
    ),
    "rewards": LazyCommand(
        f"{_HERE}.rewards:app", LEARNS,
        "The training data of this project: groups of candidates and their test outcomes.",
    ),
    "models": LazyCommand(
        f"{_HERE}.models:app", LEARNS,
        "Models: what there is, what was trained here, use, go back, share.",
    ),
    "evaluate": LazyCommand(
        f"{_HERE}.evaluate:app", LEARNS,
        "Measure a model on published benchmarks and on folders of real bugs.",
    ),
}  # fmt: skip


class _Top(CliGroup):
    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "commands": LazyCommands(COMMANDS)})

    def summaries(self) -> Iterable[tuple[str, tuple[str, str]]]:
        return ((place.panel, (name, place.summary)) for name, place in COMMANDS.items())


app = typer.Typer(
    name="diffufix",
    cls=_Top,
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
