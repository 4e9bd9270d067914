"""What the user sees when a command fails: one sentence, the next step, the exit code.

Whatever only a failure needs is imported when there is one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from diffufix.errors import DiffufixError, PrerequisiteError, UsageError

_EXPECTED = {"number": "a number", "integer": "a whole number"}
_NOT_A = re.compile(r"Invalid value for '(--?[\w-]+)'.*valid (number|integer)", re.DOTALL)
_NO_VALUE = re.compile(r"Option '(--?[\w-]+)' requires an argument")
_NO_OPTION = re.compile(r"[Nn]o such option:? '?(--?[\w-]+)")


def check_system() -> None:
    """Raises PrerequisiteError on a system that diffufix does not run on, in one line."""
    if sys.platform == "win32":
        raise PrerequisiteError(
            "diffufix does not run on Windows, as its sandboxes and warm processes need fork: use "
            "it in WSL 2."
        )


def tell(error: DiffufixError, args: Sequence[str]) -> int:
    """Write a failure where the user looks for it; returns the exit code."""
    if wants_json(args):
        from diffufix.report import jsondoc

        sys.stdout.write(jsondoc.dump(jsondoc.error_document(error)))
    else:
        from diffufix.report.terminal import write_lines

        told = f"error: {error.message}" + (f"\nhint: {error.hint}" if error.hint else "")
        write_lines([(line, "") for line in told.split("\n")], sys.stderr)
    return error.exit_code


def wants_json(args: Sequence[str]) -> bool:
    ours = [*args[: args.index("--")]] if "--" in args else [*args]
    pairs = zip(ours, [*ours[1:], ""], strict=True)
    return "--json" in ours or any(
        name == "--output-format=json" or (name == "--output-format" and value == "json")
        for name, value in pairs
    )


def usage(error: Any, args: Sequence[str], command: Any) -> UsageError:
    """The parser's error about wrong arguments, with the nearest right ones."""
    path, inner = _command(args, command)
    text, hint = error.format_message(), f"`{path} --help` shows how."
    if match := _NOT_A.search(text):
        value = _value_of(match[1], args)
        text = f"{match[1]} must be {_EXPECTED[match[2]]}" + (f", not {value!r}." if value else ".")
    elif match := _NO_VALUE.search(text):
        text = f"{match[1]} needs a value."
    elif match := _NO_OPTION.search(text):
        import difflib

        names = [name for param in inner.params for name in (*param.opts, *param.secondary_opts)]
        near = difflib.get_close_matches(match[1], [n for n in names if n.startswith("-")], n=1)
        text = f"`{path}` has no option {match[1]}."
        hint = f"Did you mean {near[0]}? {hint}" if near else hint
    return UsageError(text, hint)


def _command(args: Sequence[str], command: Any) -> tuple[str, Any]:
    """The command that the arguments name, as far as they name one."""
    path = "diffufix"
    for arg in args:
        below = getattr(command, "commands", {}).get(arg)
        if below is None:
            break
        path, command = f"{path} {arg}", below
    return path, command


def _value_of(option: str, args: Sequence[str]) -> str:
    for index, arg in enumerate(args):
        name, attached, value = arg.partition("=")
        if name == option:
            return value if attached else "".join(args[index + 1 : index + 2])
    return ""


def crash(error: Exception, verbose: Collection[str]) -> DiffufixError:
    """An error that nobody foresaw; its traceback goes to a file, or to stderr."""
    import traceback

    trace = "".join(traceback.format_exception(error))
    message = f"diffufix failed: {type(error).__name__}: {error}"
    shown = bool(verbose)
    try:
        from diffufix.project import find_root
        from diffufix.store.folder import private_folder

        path = private_folder(find_root(Path.cwd())) / "crash.log"
        path.unlink(missing_ok=True)  # never through a link
        path.write_text(trace, encoding="utf-8", errors="backslashreplace")
        hint = f"This is a fault of diffufix; the traceback is in {path}."
    except (OSError, DiffufixError):
        shown, hint = True, "This is a fault of diffufix; please report the traceback above."
    if shown:
        from diffufix.trusted import visible

        sys.stderr.write(visible(trace))
    return DiffufixError(message, hint)
