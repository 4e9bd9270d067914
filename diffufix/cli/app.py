"""The `diffufix` command: its subcommands, and what the user sees when one fails.

Exit codes: 0 repaired or nothing to do, 1 not repaired or only plausible, 2 usage, project,
prerequisite or internal error, 130 interrupted. Nothing heavy is imported here.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

import diffufix
from diffufix.cli import (
    apply,
    clean,
    env,
    evaluate,
    generate,
    models,
    repair,
    rewards,
    runs,
    train,
    undo,
)
from diffufix.errors import DiffufixError, UsageError
from diffufix.trusted import visible
from diffufix.workspace.clock import process_began

INTERRUPTED = 130
#: The parser's base class for wrong arguments; it lives in another module in every typer.
_WrongArguments: type[Any] = typer.BadParameter.__mro__[1]

app = typer.Typer(
    name="diffufix",
    add_completion=False,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    help="Repairs failing tests with a masked diffusion language model.",
    epilog="Exit codes: 0 repaired or nothing to do, 1 not repaired or only plausible, 2 error, "
    "130 interrupted.",
)
app.command("repair", context_settings=repair.PYTEST_PASSTHROUGH)(repair.repair)
app.command("generate")(generate.generate)
app.command("apply")(apply.apply)
app.command("undo")(undo.undo)
app.command("clean")(clean.clean)
app.add_typer(runs.app, name="runs")
app.add_typer(env.app, name="env")
app.add_typer(train.app, name="train")
app.add_typer(rewards.app, name="rewards")
app.add_typer(models.app, name="models")
app.add_typer(evaluate.app, name="evaluate")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"diffufix {diffufix.__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; never raises."""
    args = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # not a real text stream
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        with _terminate_as_interrupt():
            code = typer.main.get_command(app).main(
                args,
                prog_name="diffufix",
                standalone_mode=False,
                obj=process_began() if argv is None else None,
            )
            sys.stdout.flush()
        return int(code or 0)
    except DiffufixError as error:
        return _fail(error, args)
    except _WrongArguments as error:
        command = error.ctx.command_path if error.ctx else "diffufix"
        return _fail(UsageError(error.format_message(), f"`{command} --help` shows how."), args)
    except (KeyboardInterrupt, typer.Abort):
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of our output has gone, e.g. `| head`
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        return _fail(_crash(error, "--verbose" in args), args)


def _fail(error: DiffufixError, args: Sequence[str]) -> int:
    from diffufix.report import jsondoc, terminal

    if "--json" in args:
        sys.stdout.write(jsondoc.dump(jsondoc.error_document(error)))
    else:
        sys.stderr.write(visible("\n".join(terminal.error_lines(error))) + "\n")
    return error.exit_code


def _crash(error: Exception, verbose: bool) -> DiffufixError:
    """An error that nobody foresaw; its traceback goes to a file, or to stderr."""
    trace = "".join(traceback.format_exception(error))
    message = f"diffufix failed: {type(error).__name__}: {error}"
    try:
        from diffufix.config import find_root
        from diffufix.store.folder import private_folder

        path = private_folder(find_root(Path.cwd())) / "crash.log"
        path.unlink(missing_ok=True)  # never through a link
        path.write_text(trace, encoding="utf-8", errors="backslashreplace")
        hint = f"This is a fault of diffufix; the traceback is in {path}."
    except (OSError, DiffufixError):
        verbose, hint = True, "This is a fault of diffufix; please report the traceback above."
    if verbose:
        sys.stderr.write(visible(trace))
    return DiffufixError(message, hint)


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
