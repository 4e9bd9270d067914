"""Requirements files: which ones a project has, what they include, what they ask for.

Reads the project, writes nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from diffufix.source.plain import within

#: Names of groups, extras and files that hold what tests need.
TEST_NAMES = ("test", "tests", "testing", "pytest", "unittest", "dev", "develop", "development")
_MAIN = ("requirements.txt", "requirements.in", "requirements/base.txt", "requirements/main.txt")
_SUFFIXES = (".txt", ".in", ".pip")
_INCLUDE = re.compile(r"^(?:-r|-c|--requirement|--constraint)[\s=]+(\S+)")
_EDITABLE = re.compile(r"^(?:-e|--editable)[\s=]+(.+)$")
_LINKS = re.compile(r"^(?:-f|--find-links)[\s=]+(\S+)")
_ARCHIVES = (".whl", ".zip", ".tar.gz", ".tar.bz2")
_SIZE = 64 * 2**20  # bytes at most of local packages in a context


@dataclass
class Requirements:
    """What the files say. `files` have the lines removed that name the project itself."""

    names: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    own_extras: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    hashed: set[str] = field(default_factory=set)
    requires: bool = False
    offline: bool = False
    vcs: bool = False


def find_files(root: Path) -> list[str]:
    """The requirements files that tests need, the general one first."""
    main = [name for name in _MAIN if (root / name).is_file()]
    if "requirements.txt" in main and "requirements.in" in main:
        main.remove("requirements.in")  # the .txt is compiled from it
    shapes = ["requirements-{}", "requirements_{}", "{}-requirements", "{}_requirements"]
    shapes += ["requirements.{}", "requirements/{}", "requirements/requirements-{}"]
    found = []
    for name in TEST_NAMES:
        for shape in shapes:
            stem = shape.format(name)
            path = next((stem + s for s in _SUFFIXES if (root / (stem + s)).is_file()), None)
            if path is not None:
                found.append(path)
    return [*main[:1], *found]


def read_requirements(root: Path, names: list[str]) -> Requirements:
    """The files `names` and all that they include."""
    found = Requirements(names=list(names))
    for name in names:
        _read(root, name, found)
    return found


def _read(root: Path, name: str, found: Requirements) -> None:
    path = root / name
    if name in found.files:
        return
    if not path.resolve().is_relative_to(root.resolve()) or not path.is_file():
        found.notes.append(f"{name} is not in the project and is left out")
        return
    found.files[name] = b""  # an include that goes round in circles ends here
    kept = []
    for line in _logical_lines(path.read_text(encoding="utf-8", errors="replace")):
        kept += _take(root, name, line, found)
    found.files[name] = ("\n".join(kept) + "\n").encode() if kept else b""


def _logical_lines(text: str) -> list[str]:
    """Without comments, with continued lines joined."""
    joined = re.sub(r"\\\r?\n", " ", text)
    lines = (re.sub(r"(^|\s)#.*$", "", line).strip() for line in joined.splitlines())
    return [re.sub(r"\s+", " ", line) for line in lines if line]


def _take(root: Path, name: str, line: str, found: Requirements) -> list[str]:
    """What remains of one line; notes down what it includes."""
    folder = Path(name).parent
    if included := _INCLUDE.match(line):
        target = _inside(root, folder / included.group(1))
        if target is None or not (root / target).is_file():
            found.notes.append(f"{name} includes {included.group(1)}, which is not in the project")
            return []
        _read(root, target, found)
        return [line]
    if links := _LINKS.match(line):
        if "://" not in links.group(1):
            _copy_local(root, folder / links.group(1), found)
        return [line]
    if line.startswith("-") and not line.startswith(("-e", "--editable")):
        found.offline |= line.startswith("--no-index")
        return [line]
    return _take_package(root, name, line, found)


def _take_package(root: Path, name: str, line: str, found: Requirements) -> list[str]:
    editable = _EDITABLE.match(line)
    target = (editable.group(1) if editable else line).split(" --")[0].strip()
    found.vcs |= "git+" in target
    if "--hash" in line:
        found.hashed.add(name)
    local = _local_path(target)
    if local is None:
        found.requires = True
        return [line]
    # pip reads paths relative to where it runs, and it runs in the root.
    if (root / local).resolve() == root.resolve():
        extras = re.search(r"\[([^\]]*)\]", target)
        found.own_extras += (
            [extra.strip() for extra in extras.group(1).split(",")] if extras else []
        )
        return []
    if not _copy_local(root, Path(local), found):
        found.notes.append(f"{name} names {local}, which is not in the project: left out")
        return []
    found.requires = True
    return [line]


def _local_path(target: str) -> str | None:
    """The path that a requirement names; None for a name, an index or a remote address."""
    try:
        url = Requirement(target).url or ""
    except InvalidRequirement:
        url = re.split(r"\[|\s*;", target)[0]
    else:
        if not url and not target.endswith(_ARCHIVES):
            return None
        url = url or target
    if url.startswith("file:"):
        return url.removeprefix("file:").removeprefix("//")
    return None if "://" in url or url.startswith("git+") else url


def _inside(root: Path, path: Path) -> str | None:
    """`path` relative to the root, without dots; None for one that leads out of it."""
    target = (root / path).resolve()
    base = root.resolve()
    return target.relative_to(base).as_posix() if target.is_relative_to(base) else None


def _copy_local(root: Path, path: Path, found: Requirements) -> bool:
    """Take a local archive, a folder of archives or a package's folder into the context."""
    inside = _inside(root, path)
    if inside is None or not (root / inside).exists():
        return False
    found.files.update(read_tree(root, inside))
    return True


def read_tree(root: Path, inside: str) -> dict[str, bytes]:
    """Every file at or below `inside`, by path relative to `root`, without caches."""
    start = root / inside
    paths = [start] if start.is_file() else sorted(start.rglob("*"))
    files: dict[str, bytes] = {}
    size = 0
    for path in paths:
        parts = path.relative_to(root).parts
        hidden = any(part.startswith(".") or part == "__pycache__" for part in parts[:-1])
        if hidden or not path.is_file() or path.suffix == ".pyc" or not within(root, path):
            continue
        size += path.stat().st_size
        if size > _SIZE:
            break
        files[path.relative_to(root).as_posix()] = path.read_bytes()
    return files
