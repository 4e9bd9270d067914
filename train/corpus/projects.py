"""Where a corpus comes from: packages, folders and git repositories, as `CorpusProject`s.

Reads the folders it is given; a git URL is cloned, shallowly, into a temporary folder that the
caller names. Files come in sorted order, so the same input gives the same corpus. Tests and
vendored trees are told apart here by their paths; what is in the files is judged in quality.py.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import sysconfig
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffufix.errors import PrerequisiteError, ProjectError, UsageError
from diffufix.train.corpus import licences

STANDARD_LIBRARY = "python"  # the name by which it is asked for
_CLONE_SECONDS = 600
_URL = re.compile(r"^(https?|ssh|git|file)://|^[\w.-]+@[\w.-]+:")
_TESTS = re.compile(
    r"(^|/)(tests?|testing|testsuite|unittests?|fixtures?|test_[^/]*|[^/]*_tests?|conftest)(\.py|/)"
)
_FOREIGN = re.compile(
    r"(^|/)(_?vendor|vendored|_vendored|third_party|[^/]*_third_party|externals?|_external"
    r"|site-packages|node_modules|lib2to3/pgen2|idlelib|turtledemo|locales?|\.[^/]+)/"
    r"|(_pb2|_pb2_grpc|_version|_parsetab|_lextab)\.py$"
)
_NOT_SOURCES = {"__pycache__", "site-packages", "node_modules"}


@dataclass(frozen=True)
class CorpusProject:
    """One unit of the corpus: `name` decides its split, `licence` is what it states ("" if none).

    `files` and `tests` are (file, path inside the project); tests are never learned from, but what
    they mention counts as tested.
    """

    name: str
    origin: str
    licence: str
    files: Sequence[tuple[Path, str]] = field(repr=False)
    tests: Sequence[tuple[Path, str]] = field(repr=False, default=())


def canonical(name: str) -> str:
    """A distribution's name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def recommended() -> list[str]:
    """The standard library and the packages of the `corpus` extra."""
    try:
        wanted = importlib.metadata.requires("diffufix") or []
        names = [w.split(";")[0] for w in wanted if re.search(r"extra\s*==\s*['\"]corpus", w)]
    except importlib.metadata.PackageNotFoundError:  # a checkout that is not installed
        names = []
    pyproject = Path(__file__).resolve().parents[2] / "pyproject.toml"
    if not names and pyproject.is_file():
        table: dict[str, Any] = tomllib.loads(pyproject.read_text("utf-8"))
        names = table["project"]["optional-dependencies"]["corpus"]
    plain = {canonical(re.split(r"[\s<>=!~\[;(]", name.strip())[0]) for name in names}
    return [STANDARD_LIBRARY, *sorted(plain)]


def installed(
    names: Iterable[str], sites: Sequence[Path] = ()
) -> tuple[list[CorpusProject], list[str]]:
    """Installed packages by name ("python": the standard library, "all": everything there), and
    the names that are not installed. `sites`: site-packages folders, else this interpreter's.

    Raises UsageError when a site is no folder.
    """
    for site in sites:
        if not site.is_dir():
            raise UsageError(f"--site {site} is no folder.", "Name a site-packages folder.")
    here = importlib.metadata.distributions
    there: dict[str, importlib.metadata.Distribution] = {}
    for found in here(path=[str(site) for site in sites]) if sites else here():
        if found.metadata["Name"]:
            there.setdefault(canonical(found.metadata["Name"]), found)
    asked = dict.fromkeys(canonical(name) for name in names)
    if "all" in asked:
        asked = dict.fromkeys([STANDARD_LIBRARY, *sorted(there)])
    projects, missing = [], []
    for name in asked:
        if name == STANDARD_LIBRARY:
            projects.append(standard_library())
        elif name in there:
            projects.append(_distribution(name, there[name]))
        else:
            missing.append(name)
    return projects, missing


def standard_library() -> CorpusProject:
    folder = Path(sysconfig.get_paths()["stdlib"])
    version = sysconfig.get_python_version()
    files, tests = _sort_out(_walk(folder))
    return CorpusProject(STANDARD_LIBRARY, f"standard library {version}", "PSF-2.0", files, tests)


def _distribution(name: str, found: importlib.metadata.Distribution) -> CorpusProject:
    entries = [
        (Path(str(found.locate_file(entry))), entry.as_posix())
        for entry in found.files or []
        if entry.suffix == ".py" and ".." not in entry.parts
    ]
    files, tests = _sort_out(entries)
    licence = licences.of_distribution(found)
    return CorpusProject(name, f"{name} {found.version}", licence, files, tests)


def from_place(place: str, clones: Path) -> CorpusProject:
    """A folder, a git working tree, a bare git repository or a git URL (`URL#BRANCH` or `#TAG`).

    A URL is cloned into `clones`. Raises UsageError for what is none of these, PrerequisiteError
    where git or the network is missing, ProjectError for a project without Python files.
    """
    folder = Path(place).expanduser()
    if _URL.match(place) or _is_bare(folder):
        return _cloned(place, clones)
    if not folder.is_dir():
        raise UsageError(
            f"--from {place}: neither a folder nor a git URL.",
            "Give an existing folder, or a URL such as https://host/owner/name.git.",
        )
    folder = folder.resolve()
    return _tree(folder, folder.name, f"folder {folder.name}")


def _tree(folder: Path, name: str, origin: str) -> CorpusProject:
    tracked, commit = _tracked(folder)
    entries = list(_walk(folder)) if tracked is None else tracked
    files, tests = _sort_out(entries)
    if not files:
        raise ProjectError(
            f"{name} holds no Python file outside of its tests.", "Name a folder with sources."
        )
    origin += f" @ {commit[:12]}" if commit else ""
    return CorpusProject(canonical(name), origin, licences.of_folder(folder), files, tests)


def _cloned(place: str, clones: Path) -> CorpusProject:
    import git  # imports slowly, and fails where the git command is missing

    url, _, branch = place.partition("#")
    shown = re.sub(r"//[^/@]*@", "//", url)  # without a password
    name = re.sub(r"(/?\.git)?/*$", "", shown).replace(":", "/").rsplit("/", 1)[-1]
    source = url if _URL.match(url) else Path(url).expanduser().resolve().as_uri()
    target = clones / f"{len(list(clones.iterdir()))}-{name}"
    options: dict[str, Any] = {"depth": 1, "single_branch": True, "no_tags": True}
    if branch:
        options["branch"] = branch
    try:
        git.Repo.clone_from(
            source, target, env={"GIT_TERMINAL_PROMPT": "0"}, allow_unsafe_protocols=False,
            kill_after_timeout=_CLONE_SECONDS, **options,
        ).close()  # fmt: skip
    except git.GitCommandNotFound as error:
        hint = "Install git, or name a folder."
        raise PrerequisiteError("git is not installed.", hint) from error
    except (git.GitError, OSError) as error:
        lines = str(getattr(error, "stderr", "") or error).splitlines()
        reason = [line.strip(" '") for line in lines if line.strip(" '")] or ["no reason given"]
        said = re.sub(r"//[^/@\s]*@", "//", reason[-1])
        raise PrerequisiteError(
            f"{shown} cannot be cloned: {said}",
            "Check the address and the network; offline, name a folder with a clone of it.",
        ) from error
    return _tree(target, name, f"git {shown if _URL.match(url) else name}")


def _is_bare(folder: Path) -> bool:
    return (folder / "HEAD").is_file() and (folder / "objects").is_dir()


def _tracked(folder: Path) -> tuple[list[tuple[Path, str]] | None, str]:
    """The tracked files of a git working tree and its commit; (None, "") where it is none."""
    if not (folder / ".git").exists():
        return None, ""
    try:
        import git

        with git.Repo(folder) as repository:
            listed = repository.git.ls_files("-z", "*.py").split("\0")
            commit = repository.head.commit.hexsha
    except (ImportError, ValueError, OSError, git.GitError):
        return None, ""
    paths = ((folder / name, name) for name in listed if name)
    there = [(path, name) for path, name in paths if path.is_file() and not path.is_symlink()]
    return there, commit


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """Python files below a folder, leaving out hidden folders and virtual environments."""
    for at, folders, names in os.walk(folder):
        folders[:] = [
            name
            for name in folders
            if name[0] != "."
            and name not in _NOT_SOURCES
            and not (name in ("build", "dist") and at == str(folder))
            and not os.path.exists(os.path.join(at, name, "pyvenv.cfg"))
        ]
        for name in names:
            path = Path(at, name)
            if name.endswith(".py") and not path.is_symlink():
                yield path, path.relative_to(folder).as_posix()


def _sort_out(
    entries: Iterable[tuple[Path, str]],
) -> tuple[list[tuple[Path, str]], list[tuple[Path, str]]]:
    """(sources, tests) by path; foreign code is neither."""
    ours = sorted((e for e in entries if not _FOREIGN.search(e[1])), key=lambda e: e[1])
    return (
        [entry for entry in ours if not _TESTS.search(entry[1])],
        [entry for entry in ours if _TESTS.search(entry[1])],
    )
