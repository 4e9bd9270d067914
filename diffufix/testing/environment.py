"""The environment in which a project's own interpreter runs; touches nothing.

`tree` is where the code lies that is to be run, usually a scratch copy of `root`. Whatever points
into `root` (PYTHONPATH, arguments) is moved into `tree`, and the tree's import roots come first,
so that the copy wins over an editable install of the original.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

#: What must not leak into a run: another coverage measurement, options of an outer pytest.
_FOREIGN = ("COVERAGE_", "COV_CORE_", "PYTEST_XDIST_", "DIFFUFIX_INSIDE")
_FOREIGN_NAMES = frozenset({"PYTEST_CURRENT_TEST", "PYTEST_VERSION", "PYTHONHOME"})
#: Of our own variables, those that decide how pytest and the project behave and are no secrets.
INHERITED = (
    *("PYTHONPATH", "PYTEST_ADDOPTS", "PYTEST_PLUGINS", "PYTEST_DISABLE_PLUGIN_AUTOLOAD"),
    *("DJANGO_SETTINGS_MODULE", "DJANGO_CONFIGURATION"),
)


def import_roots(root: Path) -> tuple[str, ...]:
    """The folders of a project that go on PYTHONPATH, relative to it: "" for the root, "src".

    `src` is none where it is a package itself, and no folder is one whose modules would hide
    those of the standard library: what stands on PYTHONPATH comes before them. A root left out
    still is on `sys.path`, where `python -m pytest` puts the working directory.
    """
    roots = [("", root)] if not _hides_library(root) else []
    source = root / "src"
    if source.is_dir() and not (source / "__init__.py").is_file() and not _hides_library(source):
        roots.append(("src", source))
    return tuple(name for name, _ in roots)


def _hides_library(folder: Path) -> bool:
    """Whether a module or package directly in `folder` has a name of the standard library."""
    try:
        entries = list(os.scandir(folder))
    except OSError:
        return False
    return any(
        entry.name.removesuffix(".py") in sys.stdlib_module_names
        and (entry.name.endswith(".py") or os.path.isfile(os.path.join(entry.path, "__init__.py")))
        for entry in entries
    )


def import_names(root: Path, folder: str = "") -> tuple[str, ...]:
    """`import_roots` of the project in `root`; before them those of `folder`, the member in which
    the tests are started."""
    inside = [f"{folder}/{name}" for name in import_roots(root / folder)] if folder else []
    return (*inside, *import_roots(root))


def import_paths(root: Path, tree: str, folder: str = "") -> list[str]:
    """`import_names` as they are called in the project's copy `tree`."""
    return [f"{tree}/{name}".rstrip("/") for name in import_names(root, folder)]


def moved(text: str, root: Path, tree: Path) -> str:
    """`text`, or the value after its first `=`, with a path below `root` led into `tree`."""
    option, equals, value = text.partition("=") if text.startswith("-") else ("", "", text)
    for base in (str(root), str(root.resolve())):
        if value == base or value.startswith(base + os.sep):
            return option + equals + str(tree) + value[len(base) :]
    return text


def moved_args(args: Sequence[str], root: Path, tree: Path) -> list[str]:
    return [moved(argument, root, tree) for argument in args]


def child_environment(
    root: Path,
    tree: Path,
    python: Path,
    *,
    first: Sequence[Path] = (),
    extra: Mapping[str, str] | None = None,
    folder: str = "",
) -> dict[str, str]:
    """Variables for a process of `python` that runs the code in `tree`, started in `folder` of it.

    `first` goes to the head of PYTHONPATH; `extra` overrides every variable of the caller's
    environment, and its PYTHONPATH takes the place of the caller's.
    """
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_FOREIGN) and name not in _FOREIGN_NAMES
    }
    env.update(extra or {})
    given = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    roots = import_paths(tree, str(tree), folder)
    paths = [*map(str, first), *roots, *(moved(path, root, tree) for path in given)]
    env["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    if (python.parent.parent / "pyvenv.cfg").is_file():  # as if the environment were activated
        env["PATH"] = str(python.parent) + os.pathsep + env.get("PATH", os.defpath)
        env["VIRTUAL_ENV"] = str(python.parent.parent)
    return env


def inherited_environment() -> dict[str, str]:
    """What a process in a sandbox is told of the caller's environment."""
    return {name: os.environ[name] for name in INHERITED if name in os.environ}


def enclosed_environment(
    root: Path,
    tree: str,
    *,
    first: Sequence[str] = (),
    extra: Mapping[str, str] | None = None,
    folder: str = "",
) -> dict[str, str]:
    """`child_environment` for a sandbox: additions to its own variables, paths as they are there.

    The sandbox knows its interpreter; what is to be imported from is looked up in `root`.
    """
    env = inherited_environment() | dict(extra or {})
    given = [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
    paths = [
        *first,
        *import_paths(root, tree, folder),
        *(moved(path, root, Path(tree)) for path in given),
    ]
    env["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    env["PYTHONDONTWRITEBYTECODE"] = "1"
    return env
