"""Where a project begins, by the files that configure or package it. Reads the file system."""

from __future__ import annotations

import configparser
import re
import tomllib
from pathlib import Path
from typing import Any

#: Files in which pytest looks for its own settings, in its order, and what makes them such:
#: a table or section of that name; the first ones are taken whatever they hold.
PYTEST_FILES = {
    "pytest.toml": (),
    ".pytest.toml": (),
    "pytest.ini": (),
    ".pytest.ini": (),
    "pyproject.toml": ("tool.pytest.ini_options", "tool.pytest"),
    "tox.ini": ("pytest",),
    "setup.cfg": ("tool:pytest",),
}
#: Files that mark a project, or a member of a larger one.
PROJECT_FILES = (*PYTEST_FILES, "setup.py")

LARGEST = 1 << 22  # characters of a pyproject.toml


def find_root(cwd: Path) -> Path:
    """The project's root, as pytest finds it: the nearest folder at or above `cwd` that configures
    pytest; else the nearest with a packaging file; else the repository's. No folder above the
    repository or the user's home is looked at."""
    parents = _parents(cwd)
    for folder in parents:
        if any(_configures(folder / name, tables) for name, tables in PYTEST_FILES.items()):
            return folder
    for folder in parents:
        if any((folder / name).is_file() for name in PROJECT_FILES):
            return folder
    return next((folder for folder in parents if (folder / ".git").exists()), cwd)


def find_member(cwd: Path, root: Path) -> Path:
    """The nearest folder with a packaging file between `cwd` and the root."""
    for folder in (cwd, *cwd.parents):
        if folder == root or any((folder / name).is_file() for name in PROJECT_FILES):
            return folder
    return root


def _parents(cwd: Path) -> list[Path]:
    """`cwd` and the folders above it that may belong to the same project."""
    found: list[Path] = []
    for folder in (cwd, *cwd.parents):
        if found and folder == Path.home():
            break
        found.append(folder)
        if (folder / ".git").exists():
            break
    return found


def _configures(path: Path, tables: tuple[str, ...]) -> bool:
    """Whether a file is one that pytest takes its settings from."""
    if not path.is_file():
        return False
    if not tables:
        return True
    try:
        text = path.read_text(encoding="utf-8")
        if path.suffix == ".toml":
            document = tomllib.loads(text)
            return any(_table(document, name) is not None for name in tables)
        parser = configparser.RawConfigParser(strict=False)
        parser.read_string(text)
    except (OSError, ValueError, configparser.Error):
        return False
    return any(parser.has_section(name) for name in tables)


def _table(document: Any, name: str) -> Any:
    for key in name.split("."):
        document = document.get(key) if isinstance(document, dict) else None
    return document


def relocate(args: tuple[str, ...], cwd: Path, root: Path) -> tuple[str, ...]:
    """Pytest arguments given in `cwd` as they read from `root` above it; ids keep their `::`."""
    if cwd == root:
        return args
    moved = tuple(_relocate_one(arg, cwd, root) for arg in args)
    return moved if selection(args) else (*moved, posix(cwd, root))


def _relocate_one(arg: str, cwd: Path, root: Path) -> str:
    name, separator, rest = arg.partition("::")
    if not name or name.startswith("-") or not (cwd / name).exists():
        return arg
    return posix((cwd / name).resolve(), root) + separator + rest


#: Options of pytest that say nothing of which tests are run: of what is printed, of when a run ends
#: or what comes first, which diffufix decides itself, and of where tests run.
_SHOWS = frozenset(
    {"--quiet", "--verbose", "--showlocals", "--no-showlocals", "--full-trace", "--no-header"}
    | {"--no-summary", "--disable-warnings", "--disable-pytest-warnings", "--no-fold-skipped"}
    | {"--exitfirst", "--lf", "--last-failed", "--ff", "--failed-first", "--nf", "--new-first"}
    | {"--sw", "--stepwise", "--sw-skip", "--stepwise-skip", "--no-cov"}
)
_SHOWS_VALUE = frozenset(
    {"--tb", "--color", "--capture", "--show-capture", "--durations", "--durations-min", "-r", "-n"}
    | {"--verbosity", "--maxfail", "--numprocesses", "--dist", "--junitxml", "--junit-xml"}
)
_SHORT = re.compile(r"-[qvslx]+|-r\w+|-n(\d+|auto|logical)")


def selection(args: tuple[str, ...]) -> tuple[str, ...]:
    """pytest's arguments where one of them may leave tests out; () where the whole suite is run."""
    left = iter(args)
    for arg in left:
        name, attached, _ = arg.partition("=")
        if name in _SHOWS_VALUE:
            if not attached:
                next(left, None)
        elif arg not in _SHOWS and not _SHORT.fullmatch(arg):
            return args
    return ()


def posix(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)


def pyproject_of(cwd: Path) -> Path | None:
    """The nearest pyproject.toml at or above `cwd`."""
    found = (folder / "pyproject.toml" for folder in (cwd, *cwd.parents))
    return next((path for path in found if path.is_file()), None)


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file, of bounded size and depth. Raises OSError, ValueError."""
    text = path.read_text(encoding="utf-8")
    if len(text) > LARGEST:
        raise ValueError("it is too large")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
