"""From the command's arguments to functions: `PATH`, `PATH::QUALNAME`, `--all`. Reads sources.

Folders that hold no code of the project (environments, caches, tests) are passed over.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from diffufix.errors import ProjectError, UsageError
from diffufix.generate.stubs import Stub, functions_of, in_call_order
from diffufix.source.file import SourceFile
from diffufix.testing.testcode import test_code
from diffufix.verify.static import forbidden

_PASSED_OVER = frozenset({"node_modules", "build", "dist", "__pycache__"})
MOST = 5_000  # files of a folder


@dataclass
class StubSelection:
    """Functions to be filled, callees first, and the sources of their files."""

    functions: list[Stub] = field(default_factory=list)
    sources: dict[str, SourceFile] = field(default_factory=dict)


def choose(root: Path, cwd: Path, arguments: Sequence[str], every: bool) -> StubSelection:
    """Raises UsageError (no such file or function, nothing to fill, several without `--all`),
    ProjectError (a file that does not parse or lies outside the project)."""
    if not arguments:
        if not every:
            raise UsageError(
                "What is to be generated?",
                "diffufix generate PATH::FUNCTION, or diffufix generate --all PATH.",
            )
        arguments = ["."]
    choice = StubSelection()
    known: list[Stub] = []
    chosen: dict[tuple[str, str, int], Stub] = {}
    for argument in arguments:
        name, _, qualname = argument.partition("::")
        place = Path(os.path.abspath(cwd / name))
        found: list[Stub] = []
        for path in _files(root, place, name):
            found += _read(root, path, choice, strictly=place.is_file())
        known += found
        picked = _picked(argument, qualname.replace("::", "."), found, place, every)
        chosen |= {(f.path, f.qualname, f.node.lineno): f for f in picked}
    choice.functions = in_call_order(list(chosen.values()), known)
    used = {function.path for function in choice.functions}
    choice.sources = {path: s for path, s in choice.sources.items() if path in used}
    return choice


def _picked(
    argument: str, qualname: str, found: list[Stub], place: Path, every: bool
) -> list[Stub]:
    if qualname:
        named = [f for f in found if f.qualname == qualname.replace(".<locals>", "")]
        if not named:
            raise _unknown(argument, qualname, found)
        alone = [f for f in named if not f.left_alone]
        if not alone:
            raise UsageError(
                f"{argument} is abstract, an overload or of a protocol: it needs no body.",
                "Name the function that implements it.",
            )
        return alone
    stubs = [f for f in found if f.is_stub and not f.is_no_op]
    if not stubs:
        raise UsageError(
            f"There is no stub in {argument}.",
            "A stub's body is `...`, `pass`, `raise NotImplementedError` or only a docstring. "
            "To have another function written anew, name it: PATH::FUNCTION.",
        )
    if len(stubs) > 1 and not every:
        shown = ", ".join(f.qualname for f in stubs[:8]) + (", ..." if len(stubs) > 8 else "")
        raise UsageError(
            f"{argument} has {len(stubs)} stubs: {shown}.",
            "Name one with PATH::FUNCTION, or fill all of them with --all.",
        )
    return stubs


def _unknown(argument: str, qualname: str, found: list[Stub]) -> UsageError:
    names = list(dict.fromkeys(f.qualname for f in found))
    near = difflib.get_close_matches(qualname, names, n=3, cutoff=0.4)
    last = qualname.split(".")[-1]
    near += [n for n in names if n.split(".")[-1] == last and n not in near]
    if near:
        return UsageError(
            f"There is no function {argument}.", "Did you mean " + " or ".join(near[:3]) + "?"
        )
    shown = ", ".join(names[:10]) or "none"
    return UsageError(f"There is no function {argument}.", f"The file's functions: {shown}.")


def _files(root: Path, place: Path, name: str) -> Iterator[Path]:
    if not place.exists():
        beside = [p.name for p in place.parent.glob("*.py")] if place.parent.is_dir() else []
        near = difflib.get_close_matches(place.name, beside, n=1, cutoff=0.4)
        raise UsageError(
            f"There is no file or folder {name}.",
            f"Did you mean {near[0]}?" if near else "Paths are relative to the current folder.",
        )
    if not place.is_relative_to(root):
        raise ProjectError(f"{name} lies outside the project in {root}.", "Run diffufix there.")
    if place.is_file():
        if place.suffix != ".py":
            raise UsageError(f"{name} is not a Python file.", "Its name must end in .py.")
        reason = forbidden(place.relative_to(root).as_posix(), test_code(root, ()))
        if reason:
            raise UsageError(f"{reason}: diffufix does not write tests.", "Name the tested code.")
        yield place
        return
    count, tests = 0, test_code(root, ())
    for folder, folders, files in os.walk(place):
        folders[:] = sorted(
            f for f in folders
            if not f.startswith(".") and f not in _PASSED_OVER
            and not os.path.exists(os.path.join(folder, f, "pyvenv.cfg"))
        )  # fmt: skip
        for file in sorted(files):
            path = Path(folder, file)
            if path.suffix == ".py" and not forbidden(path.relative_to(root).as_posix(), tests):
                count += 1
                if count > MOST:
                    raise UsageError(f"{name} has over {MOST:,} files.", "Name a smaller folder.")
                yield path


def _read(root: Path, path: Path, choice: StubSelection, strictly: bool) -> list[Stub]:
    relative = path.relative_to(root).as_posix()
    try:
        if relative not in choice.sources:
            choice.sources[relative] = SourceFile.read(path)
        return functions_of(relative, choice.sources[relative].text)
    except (SyntaxError, ValueError, RecursionError) as error:
        choice.sources.pop(relative, None)
        if not strictly:
            return []
        line = f", line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else ""
        reason = error.msg if isinstance(error, SyntaxError) else str(error)
        raise ProjectError(
            f"{relative}{line} does not parse: {reason}.",
            "Correct it first: only the bodies of functions are generated.",
        ) from error
    except ProjectError:
        if strictly:
            raise
        return []
