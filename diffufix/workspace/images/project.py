"""What a project's packaging files declare: dependencies of its tests, Python, name, plugins.

Reads pyproject.toml, setup.cfg and setup.py (which is never executed), writes nothing.
"""

from __future__ import annotations

import ast
import configparser
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import NormalizedName, canonicalize_name

from diffufix.errors import ProjectError
from diffufix.project import read_toml
from diffufix.workspace.images.python import pep440
from diffufix.workspace.images.requirements import TEST_NAMES


@dataclass
class ProjectMetadata:
    """Declarations found without running anything; `computed`: setup.py works them out itself."""

    name: str = ""
    version: str = "0"
    python: str = ""
    dependencies: list[str] = field(default_factory=list)
    extras: dict[str, list[str]] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    requirement_files: list[str] = field(default_factory=list)
    entry_points: dict[str, dict[str, str]] = field(default_factory=dict)
    compiled: bool = False
    computed: bool = False

    def test_extras(self) -> list[str]:
        return [name for name in self.extras if is_test_name(name)]

    def test_groups(self) -> list[str]:
        return [name for name in self.groups if is_test_name(name)]

    def requirements(self, extras: Iterable[str] = ()) -> list[str]:
        """What tests need, by PEP 508, each once; extras of the project itself are resolved."""
        wanted = dict.fromkeys(canonicalize_name(name) for name in [*extras, *self.test_extras()])
        by_name = {canonicalize_name(name): found for name, found in self.extras.items()}
        lines = [*self.dependencies]
        for group in self.test_groups():
            lines += self.groups[group]
        done: set[str] = set()
        while todo := [name for name in wanted if name not in done]:
            done.update(todo)
            for name in todo:
                lines += by_name.get(name, [])
            wanted |= dict.fromkeys(self._own_extras(lines))
        kept = (line for line in lines if not self._is_own(line))
        return list(dict.fromkeys(kept))

    def _own_extras(self, lines: list[str]) -> list[NormalizedName]:
        return [
            canonicalize_name(extra)
            for line in lines
            if self._is_own(line)
            for extra in Requirement(line).extras
        ]

    def _is_own(self, line: str) -> bool:
        try:
            name = Requirement(line).name
        except InvalidRequirement:
            return False
        return bool(self.name) and canonicalize_name(name) == canonicalize_name(self.name)


def is_test_name(name: str) -> bool:
    """Whether a group or extra of this name belongs to the tests: `test`, `dev`, `test-extra`."""
    return canonicalize_name(name).split("-")[0] in TEST_NAMES


def read_pyproject(root: Path) -> dict[str, Any]:
    """pyproject.toml, empty where there is none. Raises ProjectError."""
    path = root / "pyproject.toml"
    try:
        return read_toml(path)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise ProjectError(f"{path} cannot be read: {error}", "Correct the file.") from error


def read_project(root: Path) -> ProjectMetadata:
    """Everything that the packaging files declare, pyproject.toml before setup.cfg and setup.py."""
    document = read_pyproject(root)
    project = ProjectMetadata()
    for name in ("setup.py", "setup.cfg"):  # setup.cfg overrides setup.py, as setuptools has it
        if (root / name).is_file():
            (_take_setup_py if name == "setup.py" else _take_setup_cfg)(project, root / name)
    if "poetry" in document.get("tool", {}):
        _take_poetry(project, document["tool"]["poetry"])
    if "project" in document:
        _take_standard(project, root, document)
    _take_groups(project, document)
    backend = str(document.get("build-system", {}).get("build-backend", ""))
    project.compiled |= backend.split(".")[0] in ("maturin", "mesonpy", "scikit_build_core")
    return project


def _take_standard(project: ProjectMetadata, root: Path, document: Mapping[str, Any]) -> None:
    """The `[project]` table, with setuptools' and hatch's ways to say parts of it elsewhere."""
    table = document["project"]
    dynamic = document.get("tool", {}).get("setuptools", {}).get("dynamic", {})
    project.name = str(table.get("name", project.name))
    project.version = str(table.get("version") or _version_in(root, document) or project.version)
    project.python = str(table.get("requires-python", project.python))
    if "dependencies" not in table.get("dynamic", ()) or "dependencies" in table:
        project.dependencies = [str(line) for line in table.get("dependencies", [])]
        project.computed = False
    elif "dependencies" in dynamic:
        project.requirement_files += _strings(dynamic["dependencies"].get("file", []))
        project.computed = False
    for name, lines in table.get("optional-dependencies", {}).items():
        project.extras[name] = [str(line) for line in lines]
    for name, entry in dynamic.get("optional-dependencies", {}).items():
        if is_test_name(name):
            project.requirement_files += _strings(entry.get("file", []))
    for name, table_key in (("console_scripts", "scripts"), ("gui_scripts", "gui-scripts")):
        if table.get(table_key):
            project.entry_points[name] = dict(table[table_key])
    for name, points in table.get("entry-points", {}).items():
        project.entry_points[name] = dict(points)


def _version_in(root: Path, document: Mapping[str, Any]) -> str:
    """A version that the build backend would read from a source file."""
    tool = document.get("tool", {})
    path = tool.get("hatch", {}).get("version", {}).get("path", "")
    attribute = tool.get("setuptools", {}).get("dynamic", {}).get("version", {}).get("attr", "")
    if attribute:
        module = attribute.rpartition(".")[0].replace(".", "/")
        shapes = [
            f"{base}{module}{end}" for base in ("", "src/") for end in (".py", "/__init__.py")
        ]
        path = next((shape for shape in shapes if (root / shape).is_file()), "")
    try:
        text = (root / path).read_text(encoding="utf-8") if path else ""
    except (OSError, UnicodeDecodeError):
        return ""
    found = re.search(r"""^(?:__version__|version|VERSION)\b[^=\n]*=\s*['"]([^'"]+)""", text, re.M)
    return found.group(1) if found else ""


def _take_groups(project: ProjectMetadata, document: Mapping[str, Any]) -> None:
    """PEP 735 groups and what uv, PDM and hatch had before them."""
    standard = document.get("dependency-groups", {})
    for name in standard:
        project.groups[name] = _group(standard, name, ())
    tool = document.get("tool", {})
    if lines := _strings(tool.get("uv", {}).get("dev-dependencies", [])):
        project.groups.setdefault("dev", []).extend(lines)
    for name, lines in tool.get("pdm", {}).get("dev-dependencies", {}).items():
        project.groups.setdefault(name, []).extend(_strings(lines))
    for name, table in tool.get("hatch", {}).get("envs", {}).items():
        if name in ("default", "hatch-test") or is_test_name(name):
            lines = [*table.get("dependencies", []), *table.get("extra-dependencies", [])]
            project.groups.setdefault("test", []).extend(map(str, lines))
            project.dependencies += [f"{project.name}[{f}]" for f in table.get("features", [])]


def _group(groups: Mapping[str, Any], name: str, above: tuple[str, ...]) -> list[str]:
    lines = []
    names = {canonicalize_name(key): key for key in groups}
    for entry in groups[name]:
        if isinstance(entry, str):
            lines.append(entry)
        elif isinstance(entry, dict) and "include-group" in entry:
            inner = names.get(canonicalize_name(entry["include-group"]))
            if inner is not None and inner not in above and inner != name:
                lines += _group(groups, inner, (*above, name))
    return lines


def _take_poetry(project: ProjectMetadata, table: Mapping[str, Any]) -> None:
    project.name = str(table.get("name", ""))
    project.version = str(table.get("version", "0"))
    main = dict(table.get("dependencies", {}))
    python = main.pop("python", "")
    project.python = python if isinstance(python, str) else ""
    optional = {name for names in table.get("extras", {}).values() for name in names}
    lines = {name: _poetry_lines(name, wish) for name, wish in main.items()}
    project.dependencies = [line for name in main if name not in optional for line in lines[name]]
    for extra, names in table.get("extras", {}).items():
        project.extras[extra] = [line for name in names for line in lines.get(name, [])]
    groups = {name: group.get("dependencies", {}) for name, group in table.get("group", {}).items()}
    if "dev-dependencies" in table:
        groups.setdefault("dev", table["dev-dependencies"])
    for name, wishes in groups.items():
        project.groups[name] = [
            line for package, wish in wishes.items() for line in _poetry_lines(package, wish)
        ]
    if table.get("scripts"):
        scripts = {
            name: value for name, value in table["scripts"].items() if isinstance(value, str)
        }
        project.entry_points["console_scripts"] = scripts
    for name, points in table.get("plugins", {}).items():
        project.entry_points[name] = dict(points)
    project.compiled |= "build" in table


def _poetry_lines(name: str, wish: Any) -> list[str]:
    """One of Poetry's dependencies as PEP 508; local paths are left to the lock file."""
    if isinstance(wish, list):
        return [line for one in wish for line in _poetry_lines(name, one)]
    if isinstance(wish, str):
        return [f"{name}{pep440(wish)}"]
    extras = f"[{','.join(wish['extras'])}]" if wish.get("extras") else ""
    if "path" in wish:
        return []
    if "git" in wish:
        revision = next((f"@{wish[k]}" for k in ("rev", "tag", "branch") if k in wish), "")
        line = f"{name}{extras} @ git+{wish['git']}{revision}"
    elif "url" in wish:
        line = f"{name}{extras} @ {wish['url']}"
    else:
        line = f"{name}{extras}{pep440(str(wish.get('version', '*')))}"
    markers = [f"({wish['markers']})"] if wish.get("markers") else []
    if wish.get("python"):
        bounds = re.findall(r"([<>=!~]+)\s*([\d.*]+)", pep440(wish["python"]))
        markers += [f"python_version {op} '{version}'" for op, version in bounds]
    return [line + (f" ; {' and '.join(markers)}" if markers else "")]


def _take_setup_cfg(project: ProjectMetadata, path: Path) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError):
        return
    get = lambda section, key: parser.get(section, key, fallback="")  # noqa: E731
    project.name = get("metadata", "name") or project.name
    version = get("metadata", "version")
    project.version = version if version[:1].isdigit() else project.version
    project.python = get("options", "python_requires") or project.python
    if needed := get("options", "install_requires"):
        if needed.startswith("file:"):
            names = needed.removeprefix("file:").replace("\n", ",").split(",")
            project.requirement_files += [name.strip() for name in names if name.strip()]
        else:
            project.dependencies = _lines(needed)
        project.computed = False
    if tests := get("options", "tests_require"):
        project.groups["test"] = _lines(tests)
    if parser.has_section("options.extras_require"):
        for name, text in parser.items("options.extras_require"):
            project.extras[name] = _lines(text)
    if parser.has_section("options.entry_points"):
        for name, text in parser.items("options.entry_points"):
            project.entry_points[name] = _points(_lines(text))


def _take_setup_py(project: ProjectMetadata, path: Path) -> None:
    """What `setup(...)` is given literally, directly or through a name bound once to a literal."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError, ValueError):
        project.computed = True
        return
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    call = next((node for node in calls if _is_setup(node)), None)
    if call is None:
        return
    bound = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    given: dict[str, Any] = {}
    for keyword in call.keywords:
        value = keyword.value
        if isinstance(value, ast.Name):
            value = bound.get(value.id, value)
        try:
            given[keyword.arg or "**"] = ast.literal_eval(value)
        except ValueError:
            decides = keyword.arg in (None, "install_requires", "extras_require", "tests_require")
            project.computed |= decides
            project.compiled |= keyword.arg == "ext_modules"
    project.compiled |= bool(given.get("ext_modules"))
    project.name = str(given.get("name", ""))
    project.version = str(given.get("version", "0"))
    project.python = str(given.get("python_requires", ""))
    project.dependencies = _strings(given.get("install_requires", []))
    for name, lines in dict(given.get("extras_require") or {}).items():
        project.extras[name] = _strings(lines)
    if tests := _strings(given.get("tests_require", [])):
        project.groups["test"] = tests
    points = given.get("entry_points") or {}
    for name, lines in points.items() if isinstance(points, dict) else ():
        project.entry_points[name] = _points(_strings(lines))


def _is_setup(node: ast.Call) -> bool:
    function = node.func
    return (isinstance(function, ast.Name) and function.id == "setup") or (
        isinstance(function, ast.Attribute) and function.attr == "setup"
    )


def _points(lines: list[str]) -> dict[str, str]:
    pairs = (line.split("=", 1) for line in lines if "=" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def _lines(text: str) -> list[str]:
    return [line.strip() for line in re.split(r"[\n]", text) if line.strip()]


def _strings(value: Any) -> list[str]:
    if isinstance(value, str):
        return _lines(value)
    return [entry for entry in value if isinstance(entry, str)]
