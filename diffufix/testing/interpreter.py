"""Find the project's own interpreter; runs candidates once to ask for pytest, writes nothing."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from diffufix.errors import PrerequisiteError
from diffufix.sandbox.bubblewrap import bubblewrap_works, enclosed_command, interpreter_paths
from diffufix.sandbox.mounts import links_on_the_way
from diffufix.trusted import read_regular

_ASK = """
import importlib.util, sys
sys.path[:] = [path for path in sys.path if path]
if importlib.util.find_spec("pytest"):
    print(sys.executable)
"""
_SECONDS = 20.0
_NAME_IT = "Or name the project's interpreter with --python."


def find_interpreter(root: Path, explicit: str | None = None, folder: str = "") -> Path:
    """The interpreter that runs the tests of the project in `root`.

    `explicit` (a path, a command or a folder with an environment) is taken as it is told. Without
    it: the active environment, `.venv` and `venv` in `folder` (below the root, where the tests are
    started), in the root and in those above it up to the repository's (a workspace's), `python3`
    and `python` on PATH, the interpreter that runs diffufix; the first of them that has pytest. An
    environment in the project without pytest is an error rather than passed over: another
    interpreter would lack the project's dependencies. The path is absolute and its links are not
    followed, for an environment's interpreter is known by its path. Raises PrerequisiteError.
    """
    if explicit is not None:
        named = _named(explicit)
        found = with_pytest(named, root)
        if found is None:
            if not _is_python(named, root):
                raise PrerequisiteError(
                    f"{named} is no Python interpreter that runs.",
                    "Give --python a path like .venv/bin/python or a command like python3.12.",
                )
            raise PrerequisiteError(f"{named} has no pytest.", _install(named))
        return found
    tried = []
    for python, own in _candidates(root, folder):
        found = with_pytest(python, root)
        if found is not None:
            return found
        if own:
            raise PrerequisiteError(
                f"The project's environment {python.parent.parent} has no pytest.",
                f"{_install(python)} {_NAME_IT}",
            )
        tried.append(str(python))
    raise PrerequisiteError(
        f"No interpreter with pytest was found (tried: {', '.join(tried) or 'none'}).",
        f"{_install(Path(tried[0] if tried else sys.executable))} {_NAME_IT}",
    )


def with_pytest(python: Path, root: Path) -> Path | None:
    """Where the interpreter behind `python` (it may be a version manager's shim) really lies.

    None where it does not run in `root` or cannot import pytest. One that lies in the project may
    be anything: it is asked behind bubblewrap, where that works.
    """
    try:
        asked = subprocess.run(
            [*enclosing(python, root), str(python), "-c", _ASK],
            cwd=root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = os.fsdecode(asked.stdout).splitlines()
    return Path(lines[-1]) if asked.returncode == 0 and lines else None


def _is_python(python: Path, root: Path) -> bool:
    try:
        asked = subprocess.run(
            [*enclosing(python, root), str(python), "-c", "print('python')"], cwd=root,
            stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0 and asked.stdout.strip() == b"python"


def enclosing(python: Path, root: Path) -> list[str]:
    """What a command is put behind, to run a program of the project; empty for other programs and
    where there is no bubblewrap."""
    inside = Path(os.path.abspath(python)).is_relative_to(root.resolve())
    if not inside or not bubblewrap_works():
        return []
    environment = Path(os.path.abspath(python)).parent.parent
    shown = [str(environment), *links_on_the_way(str(python)), *_homes(environment)]
    shown += interpreter_paths(sys.executable)  # what it was made of, most often
    return enclosed_command(shown, str(root))


def _homes(environment: Path) -> Iterator[str]:
    """Where the interpreter that an environment was made of lies, as far as it is written down."""
    try:
        lines = read_regular(environment / "pyvenv.cfg").splitlines()
    except (OSError, ValueError):
        return
    for line in lines:
        key, _, value = line.partition("=")
        if key.strip() == "home" and os.path.isabs(value.strip()):
            prefix = os.path.dirname(os.path.realpath(value.strip()))
            if os.path.isdir(os.path.join(prefix, "lib")):
                yield prefix


def _candidates(root: Path, inside: str) -> Iterator[tuple[Path, bool]]:
    """Interpreters in order of preference, and whether each is the project's own."""
    places = [root / inside, *(root / inside).parents]
    top = next((n for n, place in enumerate(places) if (place / ".git").exists()), None)
    last = places.index(root) if top is None else max(top, places.index(root))
    own_places = [(p / n, True) for p in places[: last + 1] for n in (".venv", "venv")]
    active = os.environ.get("VIRTUAL_ENV")
    folders = [(Path(active), False)] if active else []
    for folder, own in [*folders, *own_places]:
        python = _in_environment(folder)
        if python is not None:
            yield python, own
    for name in ("python3", "python"):
        found = shutil.which(name)
        if found:
            yield Path(found).absolute(), False
    if sys.executable:
        yield Path(sys.executable), False


def _in_environment(folder: Path) -> Path | None:
    """The interpreter of an environment, None where `folder` is none."""
    for name in ("bin/python", "bin/python3"):
        path = Path(os.path.abspath(folder / name))
        if path.is_file() and os.access(path, os.X_OK):
            return path
    return None


def _named(text: str) -> Path:
    path = Path(text).expanduser()
    if path.is_dir() and (inside := _in_environment(path)) is not None:
        return inside
    found = shutil.which(str(path))
    if found is None:
        raise PrerequisiteError(
            f"There is no interpreter {text}.",
            "Give --python a path like .venv/bin/python or a command like python3.12.",
        )
    return Path(os.path.abspath(found))


def _install(python: Path) -> str:
    return f"Install pytest there: {python} -m pip install pytest."
