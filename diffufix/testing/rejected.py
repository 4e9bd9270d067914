"""Why pytest did not accept its arguments, in one sentence and the next step. Reads test files."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Callable
from pathlib import Path

from diffufix.errors import UsageError

_UNKNOWN = re.compile(r"error: unrecognized arguments: (.+)")
_NO_FILE = re.compile(r"ERROR: file or directory not found: (.+)")
_NO_TEST = re.compile(r"ERROR: not found: (\S.*?)::(.+)")
_WRONG = re.compile(r"ERROR: (Wrong expression passed to .+)")
PASSED_ON = "Everything that is no option of diffufix is passed on to pytest."


def rejection(output: str, root: Path) -> UsageError:
    """What pytest's output says; `root` is the project that its paths lie in."""
    for pattern, told in _TOLD:
        if match := pattern.search(output):
            return told(match, root)
    return UsageError(f"pytest does not accept these arguments:\n{output}", PASSED_ON)


def _unknown(match: re.Match[str], root: Path) -> UsageError:
    names = match[1].strip()
    return UsageError(
        f"Neither diffufix nor this project's pytest knows {names}.",
        "`diffufix repair --help` lists our options, `python -m pytest --help` the project's.",
    )


def _no_file(match: re.Match[str], root: Path) -> UsageError:
    name = _short(match[1].strip(), root)
    near = _nearest_of(name, root)
    return UsageError(
        f"There are no tests in {name}: no such file or folder.",
        f"Did you mean {near}?" if near else "Paths are relative to the folder that you are in.",
    )


def _no_test(match: re.Match[str], root: Path) -> UsageError:
    path, name = _short(match[1].strip(), root), match[2].strip()
    plain = re.sub(r"\[.*", "", name)
    near = difflib.get_close_matches(plain, _names(root / path), n=1, cutoff=0.5)
    missing = name if plain not in _names(root / path) else name[len(plain) :]
    hint = f"Did you mean {path}::{near[0]}?" if near and near[0] != plain else (
        f"See what it has: python -m pytest --collect-only -q {path}"
    )  # fmt: skip
    return UsageError(f"There is no test {missing} in {path}.", hint)


def _wrong(match: re.Match[str], root: Path) -> UsageError:
    return UsageError(f"pytest: {match[1].strip()}", "Write it as pytest has it: -k 'a and not b'.")


_TOLD: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], Path], UsageError]], ...] = (
    (_UNKNOWN, _unknown), (_NO_TEST, _no_test), (_NO_FILE, _no_file), (_WRONG, _wrong),
)  # fmt: skip


def _short(name: str, root: Path) -> str:
    path = Path(name)
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else name


def _nearest_of(name: str, root: Path) -> str:
    """What lies in the folder of a name that is not there and is most like it."""
    folder = (root / name).parent
    try:
        beside = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return ""
    near = difflib.get_close_matches(Path(name).name, beside, n=1)
    return _short(str(folder / near[0]), root) if near else ""


def _names(path: Path) -> list[str]:
    """`test_x`, `Class::test_x` of a file, as pytest names them."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8", errors="replace"))
    except (OSError, SyntaxError, ValueError, RecursionError):
        return []
    found: list[str] = []
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    for node in tree.body:
        if isinstance(node, functions):
            found.append(node.name)
        elif isinstance(node, ast.ClassDef):
            found.append(node.name)
            found += [f"{node.name}::{n.name}" for n in node.body if isinstance(n, functions)]
    return found
