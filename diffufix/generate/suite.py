"""The suite that verifies bodies: the project's tests and, laid over a copy, the docstrings'.

Reads the project's pytest configuration; `ExampleTests.lay` writes into scratch copies only.
"""

from __future__ import annotations

import configparser
import glob
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any

from diffufix.generate.examples import Example
from diffufix.source.plain import write_within

NAME = "test_diffufix_examples"
_MARK = "CASES, MODULES = [], {}  # <- written by diffufix"


class ExampleTests:
    """The examples of all docstrings, and an import of each file, as one test module."""

    def __init__(self, root: Path, examples: Sequence[Example], paths: Sequence[str]) -> None:
        self.examples = tuple(examples)
        self.paths = tuple(paths)
        self.file = NAME + ".py"
        while (root / self.file).exists():
            self.file = self.file.removesuffix(".py") + "_.py"
        self.by_id = {self.id_of(e): e for e in self.examples}
        self._modules = {path: dotted(root, path) for path in self.paths}

    def id_of(self, example: Example) -> str:
        return f"{self.file}::test_example[{example.id}]"

    def import_of(self, path: str) -> str:
        """The id of the test that only imports a file."""
        return f"{self.file}::test_import[{path}]"

    def is_own(self, test: str) -> bool:
        return test.split("::")[0] == self.file

    def lay(self, tree: Path) -> None:
        """Write the test module into a copy of the project."""
        template = resources.files("diffufix.generate.inside").joinpath("_diffufix_examples.py")
        text = template.read_text(encoding="utf-8")
        cases = [_case(example) for example in self.examples]
        written = f"CASES, MODULES = {cases!r}, {self._modules!r}"
        write_within(tree, self.file, text.replace(_MARK, written).encode("utf-8"))

    def args(self, root: Path) -> tuple[str, ...]:
        """pytest's arguments: none where it finds the module by itself."""
        own = test_paths(root)
        return (*own, self.file) if own else ()


def _case(example: Example) -> dict[str, Any]:
    return {
        "id": example.id,
        "path": example.path,
        "steps": list(example.steps),
        "call": example.call,
        "value": example.value,
        "raises": example.raises,
        "wrap": example.wrap,
    }


def dotted(root: Path, path: str) -> tuple[str, str]:
    """(folder to import from, dotted name) of a file: packages have an `__init__.py`."""
    pure = PurePosixPath(path)
    names = [] if pure.name == "__init__.py" else [pure.stem]
    folder = pure.parent
    while folder.parts and (root / folder / "__init__.py").is_file():
        names.insert(0, folder.name)
        folder = folder.parent
    return (str(folder), ".".join(names or [pure.stem]))


def test_paths(root: Path) -> tuple[str, ...]:
    """`testpaths` of the project's pytest configuration, as far as they exist."""
    found: list[str] = []
    for entry in _configured(root).get("testpaths", []):
        found += sorted(glob.glob(entry, root_dir=root, recursive=True))
    return tuple(dict.fromkeys(found))


test_paths.__test__ = False  # type: ignore[attr-defined]


def _configured(root: Path) -> Mapping[str, list[str]]:
    """The options of the file that pytest takes, values as lists of words."""
    for name, section in (
        ("pytest.ini", "pytest"), (".pytest.ini", "pytest"), ("pyproject.toml", ""),
        ("tox.ini", "pytest"), ("setup.cfg", "tool:pytest"),
    ):  # fmt: skip
        path = root / name
        if not path.is_file():
            continue
        try:
            if section:
                parser = configparser.ConfigParser(interpolation=None)
                parser.read(path, encoding="utf-8")
                if parser.has_section(section):
                    return {key: value.split() for key, value in parser.items(section)}
                if name.endswith("pytest.ini"):
                    return {}
                continue
            table = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {}).get("pytest")
        except (OSError, ValueError, configparser.Error):
            continue  # pytest itself will say what is wrong with it
        if isinstance(table, dict):
            options = table.get("ini_options", table)
            return {
                key: value.split() if isinstance(value, str) else list(map(str, value))
                for key, value in options.items()
                if isinstance(value, str | list)
            }
    return {}


def uses_mypy(root: Path) -> bool:
    """Is mypy configured for this project?"""
    if (root / "mypy.ini").is_file() or (root / ".mypy.ini").is_file():
        return True
    for name, mark in (("setup.cfg", "[mypy]"), ("pyproject.toml", "[tool.mypy]")):
        try:
            if mark in (root / name).read_text(encoding="utf-8"):
                return True
        except (OSError, UnicodeDecodeError):
            continue
    return False
