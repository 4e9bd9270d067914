"""Which of a project's files are test code, and so are never edited: `test_code`. Only reads.

A name says little: a helper beside the tests may be called anything, `pkg/testing/` may be what the
package is for, and `stats_test.py` may do statistics. So a file is judged by who imports it:

1. Files that hold tests, and conftest.py, are test code.
2. A file that only test code imports is test code when it lies in a folder of tests, or when it
   speaks the tests' language (asserts by name, raises AssertionError, imports a test framework) and
   is not itself what a test file is about.
3. Whatever the project's own code imports, or installs as a command, is source.

Imports are read by pattern, not parsed: the project may use newer syntax than this interpreter.
`named_like_tests` judges by the name alone, where there is no project around a file.
"""

from __future__ import annotations

import configparser
import fnmatch
import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from diffufix.testing.imports import imported_names, python_sources
from diffufix.types import file_of_test

PATTERNS = ("test_*.py", "*_test.py")  # pytest's own default
_FOLDERS = re.compile(r"tests?|specs?|unittests?|\w+[-_](tests|specs)", re.I)
_NAMES = re.compile(
    r"(^|_)(tests?|testing|test_?(utils?|helpers?|case|base|tools?|support)|fixtures?|fakes?|mocks?|"
    r"asserts?|assertions?|expectations?|matchers?|helpers?|checks?)(_|$)",
    re.I,
)
_SPOKEN = re.compile(
    r"^[ \t]*(?:(?:from|import)[ \t]+(?:pytest|unittest|nose2?|hypothesis|mock|hamcrest)\b"
    r"|raise[ \t]+AssertionError\b|(?:async[ \t]+)?def[ \t]+_*(?:assert|expect)(?:_\w|[A-Z]|\b))",
    re.M,
)
_TESTS = re.compile(r"^[ \t]*(?:(?:async[ \t]+)?def[ \t]+test|class[ \t]+\w*Tests?\w*\b)", re.M)
_CASE = re.compile(r"^[ \t]*(?:async[ \t]+)?def[ \t]+test_", re.M)
_CONFIGURATION = ("pyproject.toml", "setup.cfg", "setup.py")


@dataclass(frozen=True)
class TestCode:
    """`files` are relative POSIX paths; `holding` are those of them in which tests stand."""

    __test__ = False

    files: frozenset[str] = frozenset()
    holding: frozenset[str] = frozenset()

    def __contains__(self, path: object) -> bool:
        return path in self.files or PurePosixPath(str(path)).name == "conftest.py"


def named_like_tests(path: str) -> bool:
    """Whether a relative POSIX path is that of test code, by its name and its folders' names."""
    *folders, name = PurePosixPath(path).parts
    return (
        name == "conftest.py"
        or any(fnmatch.fnmatchcase(name, pattern) for pattern in PATTERNS)
        or any(_FOLDERS.fullmatch(folder) or folder == "testing" for folder in folders)
    )


def test_code(root: Path, ids: Iterable[str]) -> TestCode:
    """The test code of the project in `root`; `ids` are the tests that pytest collected there, and
    the modules that it could not collect.

    Files that cannot be read are left out of the judgement and are source.
    """
    return _Project(root, dict(python_sources(root)), frozenset(ids)).judged()


test_code.__test__ = False  # type: ignore[attr-defined]  # pytest would take it for a test


@dataclass(frozen=True)
class _Project:
    root: Path
    texts: Mapping[str, str]
    ids: frozenset[str]
    _near: dict[tuple[str, str], frozenset[str]] = field(default_factory=dict)

    def judged(self) -> TestCode:
        seeds = self.seeds
        helpers = {path for path in self.texts if path not in seeds and self._may_help(path)}
        while gone := {path for path in helpers if self._is_used(path, seeds | helpers)}:
            helpers -= gone
        holding = frozenset(path for path in seeds if PurePosixPath(path).name != "conftest.py")
        return TestCode(frozenset(seeds | helpers), holding)

    # -- files that hold tests ---------------------------------------------------------------------

    @cached_property
    def seeds(self) -> frozenset[str]:
        patterns, found = self.settings[0], set()
        named: dict[str, set[str]] = {}
        for id_ in self.ids:
            if path := file_of_test(id_):
                first = id_.partition("::")[2].partition("::")[0].partition("[")[0]
                named.setdefault(path, set()).add(first)
        for path, text in self.texts.items():
            name = PurePosixPath(path).name
            fits = any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
            held = named.get(path, ())
            if (
                name == "conftest.py"
                or (fits and (held or _TESTS.search(text)))
                or any(each.lower().startswith("test") or _defines(text, each) for each in held)
            ):
                found.add(path)
        return frozenset(found)

    @cached_property
    def settings(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """pytest's `python_files` and `testpaths`, from wherever the project says them."""
        values: dict[str, str] = {}
        for name, section in (("pytest.ini", "pytest"), (".pytest.ini", "pytest"),
                              ("tox.ini", "pytest"), ("setup.cfg", "tool:pytest")):  # fmt: skip
            parser = configparser.RawConfigParser(strict=False)
            try:
                parser.read(self.root / name, encoding="utf-8")
                values |= dict(parser.items(section)) if parser.has_section(section) else {}
            except (configparser.Error, OSError, UnicodeDecodeError):
                continue
        table: object = {}
        try:
            table = tomllib.loads((self.root / "pyproject.toml").read_text(encoding="utf-8"))
            for key in ("tool", "pytest", "ini_options"):
                table = table.get(key, {}) if isinstance(table, dict) else {}
        except (OSError, ValueError):
            pass
        for key, value in table.items() if isinstance(table, dict) else ():
            values[key] = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        patterns = tuple(
            word if word.endswith(".py") or "*" in word else f"*{word}.py"
            for word in values.get("python_files", "").split()
        )
        paths = tuple(os.path.normpath(p) for p in values.get("testpaths", "").split())
        return patterns or PATTERNS, tuple(p for p in paths if p != ".")

    # -- files that help them ----------------------------------------------------------------------

    def _may_help(self, path: str) -> bool:
        """Whether a file is test code if nothing but test code imports it."""
        if self._folder_of_tests(path):
            return True
        pure = PurePosixPath(path)
        if pure.name in ("__init__.py", "__main__.py", "setup.py") or not self.importers[path]:
            return False
        if self._is_subject(path):
            return False
        if self._among_tests_only(path):
            return True
        text = self.texts[path]
        return bool(_SPOKEN.search(text) or _CASE.search(text) or _NAMES.search(pure.stem))

    def _folder_of_tests(self, path: str) -> bool:
        """In a folder that its name or pytest's configuration says is for tests, and has some."""
        parents = [str(p) for p in PurePosixPath(path).parents if str(p) != "."]
        named = [p for p in parents if _FOLDERS.fullmatch(PurePosixPath(p).name)]
        named += [p for p in parents if p in self.settings[1]]
        return any(seed.startswith(f"{folder}/") for folder in named for seed in self.seeds)

    def _among_tests_only(self, path: str) -> bool:
        """In a folder whose tests are about code elsewhere, and which nobody elsewhere imports."""
        folder = str(PurePosixPath(path).parent) + "/"
        tests = [s for s in self.seeds if s.startswith(folder) and "/" not in s[len(folder) :]]
        if folder == "./" or not tests:
            return False
        outside = any(not used.startswith(folder) for test in tests for used in self.imports[test])
        return outside and not any(
            not by.startswith(folder) and by not in self.seeds
            for each in self.texts
            if each.startswith(folder)
            for by in self.importers[each]
        )

    def _is_subject(self, path: str) -> bool:
        """Whether a test file is named for this one, or imports nothing else of the project."""
        stem = _bare(PurePosixPath(path).stem)
        for test in self.importers[path] & self.seeds:
            if PurePosixPath(test).name == "conftest.py":
                continue
            if _bare(PurePosixPath(test).stem) == stem:
                return True
            alone = {used for used in self.imports[test] if used not in self.seeds}
            alone = {used for used in alone if PurePosixPath(used).name != "__init__.py"}
            if alone == {path} and not self.imports[path] - {path}:
                return True
        return False

    def _is_used(self, path: str, tests: frozenset[str] | set[str]) -> bool:
        """Whether the project's own code imports it, or installs it as a command."""
        if self._installed(path):
            return True
        return any(by not in tests and self._counts(by, path) for by in self.importers[path])

    def _counts(self, by: str, path: str) -> bool:
        """A script or a benchmark that borrows from the tests does not make source of them."""
        if not self._folder_of_tests(path):
            return True
        package = PurePosixPath(by).name == "__init__.py"
        return not self._folder_of_tests(by) and (package or bool(self.importers[by]))

    def _installed(self, path: str) -> bool:
        dotted = path.removesuffix(".py").removesuffix("/__init__").removeprefix("src/")
        name = re.escape(dotted.replace("/", "."))
        return re.search(rf"[\"'=\s]{name}:", self.installs) is not None

    @cached_property
    def installs(self) -> str:
        """Where entry points are named."""
        texts = []
        for name in _CONFIGURATION:
            try:
                texts.append((self.root / name).read_text(encoding="utf-8", errors="replace"))
            except OSError:
                continue
        return "\n".join(texts)

    # -- who imports whom --------------------------------------------------------------------------

    @cached_property
    def imports(self) -> dict[str, frozenset[str]]:
        """File -> the project's files that it imports."""
        return {
            path: frozenset(
                found for name in imported_names(text) for found in self._resolved(path, name)
            )
            - {path}
            for path, text in self.texts.items()
        }

    @cached_property
    def importers(self) -> dict[str, frozenset[str]]:
        found: dict[str, set[str]] = {path: set() for path in self.texts}
        for path, used in self.imports.items():
            for each in used:
                found[each].add(path)
        return {path: frozenset(by) for path, by in found.items()}

    @cached_property
    def by_last_name(self) -> dict[str, list[str]]:
        """The last part of a dotted name -> the files that it may mean."""
        found: dict[str, list[str]] = {}
        for path in self.texts:
            pure = PurePosixPath(path)
            name = pure.parent.name if pure.name == "__init__.py" else pure.stem
            found.setdefault(name, []).append(path)
        return found

    def _resolved(self, path: str, name: str) -> frozenset[str]:
        """Files that `name` (dotted, with leading dots if relative) means in the file `path`."""
        folder = str(PurePosixPath(path).parent)
        key = (folder, name)
        if key not in self._near:
            self._near[key] = frozenset(self._found(folder, name))
        return self._near[key]

    def _found(self, folder: str, name: str) -> Iterator[str]:
        dots = len(name) - len(name.lstrip("."))
        if dots:
            above = PurePosixPath(folder)
            for _ in range(dots - 1):
                above = above.parent
            yield from self._module(str(above), name[dots:].replace(".", "/"))
            return
        tail = name.replace(".", "/")
        bases = set()
        for path in self.by_last_name.get(name.rpartition(".")[2], ()):
            whole = path.removesuffix(".py").removesuffix("/__init__")
            if whole == tail or whole.endswith("/" + tail):
                bases.add(whole[: -len(tail)].rstrip("/") or ".")
        own = folder
        while own != "." and f"{own}/__init__.py" in self.texts:
            own = str(PurePosixPath(own).parent)
        nearest = [own, folder, ".", "src", *sorted(bases)]
        for base in nearest:
            if base in bases:
                yield from self._module(base, tail)
                return

    def _module(self, base: str, tail: str) -> Iterator[str]:
        """The module's file, and those of the packages that it lies in."""
        parts = [part for part in tail.split("/") if part]
        start = "" if base == "." else base + "/"
        for count in range(len(parts) + 1):
            inner = start + "/".join(parts[:count])
            for path in (f"{inner}.py", f"{inner.rstrip('/')}/__init__.py"):
                if path in self.texts and (count or start):
                    yield path


def _bare(stem: str) -> str:
    """A file's name without what says that it holds tests: `test_basket`, `basket_spec`."""
    return re.sub(r"^(tests?|specs?|check)_|_(tests?|specs?|check)$", "", stem.lower())


def _defines(text: str, name: str) -> bool:
    """Whether a module's text binds a name by itself: what an item of a linter has no name for."""
    if not name.isidentifier():
        return False
    bound = rf"^[ \t]*(?:(?:async[ \t]+)?def|class)[ \t]+{name}\b|^{name}[ \t]*[:=]"
    return re.search(bound, text, re.M) is not None
