"""Work out how a project gets its environment: `plan`. Reads the project, writes nothing.

In this order: a named image, the configured Dockerfile, devcontainer.json, uv.lock, poetry.lock,
pdm.lock, pyproject.toml, requirements files, setup.cfg and setup.py. A devcontainer only says what
to build on; one of the later sources says what to install there.
"""

from __future__ import annotations

import re
import tempfile
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.utils import canonicalize_name

from diffufix.config import Settings
from diffufix.errors import UsageError
from diffufix.source.plain import read_within
from diffufix.workspace.images.devcontainer import find_devcontainer
from diffufix.workspace.images.dockerfile import install
from diffufix.workspace.images.project import (
    ProjectMetadata,
    is_test_name,
    read_project,
    read_pyproject,
)
from diffufix.workspace.images.python import python_version
from diffufix.workspace.images.requirements import (
    Requirements,
    find_files,
    read_requirements,
    read_tree,
)
from diffufix.workspace.images.types import Foundation, ImagePlan, Layer

BASE = "python:{}-slim"
_TOOLS = "python3 -m venv /opt/tools && /opt/tools/bin/pip install {}"
_METADATA = ".diffufix-metadata"


@dataclass
class _Dependencies:
    """What one source makes of the project's dependencies."""

    source: str
    why: str
    steps: list[Layer] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    downloads: bool = True
    vcs: bool = False
    installs_project: bool = False


def plan(root: Path, settings: Settings) -> ImagePlan:
    """The plan for the project in `root`.

    Raises UsageError (a configured Dockerfile that is not there), ProjectError (unreadable files).
    """
    root = root.resolve()
    if settings.image:
        return ImagePlan(
            root, "image", f"the image {settings.image} was named", base=settings.image
        )
    if settings.dockerfile:
        return _from_dockerfile(root, settings.dockerfile)
    project = read_project(root)
    python, python_why = python_version(root, project.python)
    found = _dependencies(root, project)
    steps, files, notes = list(found.steps), dict(found.files), list(found.notes)
    if found.vcs:
        steps.insert(0, Layer("git, for dependencies in repositories", _APT.format("git")))
    if project.compiled:
        notes.append("compiled parts of the project are not built in the image")
    metadata = {} if found.installs_project else _metadata(project)
    base, foundation, base_why = settings.base_image, None, "the base image was named"
    if not base:
        base, base_why = BASE.format(python), f"Python {python}: {python_why}"
        container = find_devcontainer(root)
        if container is not None:
            base, foundation = container.image, container.foundation
            base_why = f"{container.path} names its base"
    named = bool(settings.base_image) or base != BASE.format(python)
    if steps or metadata or not settings.base_image:
        steps.append(_pytest(offline=bool(settings.base_image) and not found.steps))
    if metadata:
        files |= metadata
        steps.append(_metadata_step(project, metadata))
    return ImagePlan(
        root, found.source, f"{found.why}; {base_why}", base, foundation,
        python="" if named else python, steps=tuple(steps), files=files, system_packages=named,
        downloads=found.downloads or not (settings.base_image or found.steps), notes=tuple(notes),
    )  # fmt: skip


_APT = (
    "apt-get update && apt-get install -y --no-install-recommends {} && rm -rf /var/lib/apt/lists/*"
)


def _from_dockerfile(root: Path, name: str) -> ImagePlan:
    path = (root / name).resolve()
    if not path.is_file() or not path.is_relative_to(root):
        raise UsageError(
            f"There is no Dockerfile {name} in {root}.",
            "Correct `dockerfile` in [tool.diffufix]; it is relative to the project's root.",
        )
    inside = path.relative_to(root).as_posix()
    return ImagePlan(root, inside, f"`dockerfile` names {inside}", foundation=Foundation(inside))


def _dependencies(root: Path, project: ProjectMetadata) -> _Dependencies:
    document = read_pyproject(root)
    if document:
        for name, read in (("uv", _uv), ("poetry", _poetry), ("pdm", _pdm)):
            if (root / f"{name}.lock").is_file():
                return read(root, project, document)
    declared = project.requirements()
    if document and (declared or project.requirement_files):
        return _declared(root, project, declared)
    if names := find_files(root):
        return _requirements(root, project, names)
    if project.computed:
        return _computed(root, project)
    if declared or project.requirement_files:
        return _declared(root, project, declared)
    return _Dependencies("no dependencies", "nothing names any", downloads=False)


def _uv(root: Path, project: ProjectMetadata, document: dict[str, Any]) -> _Dependencies:
    table = document.get("tool", {}).get("uv", {})
    files = _read_files(root, "pyproject.toml", "uv.lock", ".python-version")
    notes = []
    members = [
        path.parent
        for pattern in table.get("workspace", {}).get("members", [])
        for path in sorted(root.glob(f"{pattern}/pyproject.toml"))
    ]
    sources = table.get("sources", {}).values()
    local = [root / s["path"] for s in sources if isinstance(s, dict) and "path" in s]
    for folder in [*members, *local]:
        if folder.resolve().is_relative_to(root):
            files |= read_tree(root, folder.resolve().relative_to(root).as_posix())
            notes.append(f"{folder.name} is installed as it is now: changes in it have no effect")
    words = ["uv sync --frozen --no-install-project --inexact"]
    default = table.get("default-groups", ["dev"])
    words += [f"--group {name}" for name in project.test_groups() if name not in default]
    words += [f"--extra {name}" for name in project.test_extras()]
    steps = [
        Layer("the installer", _TOOLS.format("uv")),
        Layer("dependencies as locked", " ".join(words), tuple(sorted(files))),
    ]
    vcs = b"git = " in files["uv.lock"]
    return _Dependencies("uv.lock", "uv.lock pins them", steps, files, notes, vcs=vcs)


def _poetry(root: Path, project: ProjectMetadata, document: dict[str, Any]) -> _Dependencies:
    files = _read_files(root, "pyproject.toml", "poetry.lock", "poetry.toml")
    groups = document.get("tool", {}).get("poetry", {}).get("group", {})
    groups = [*groups, *document.get("dependency-groups", {})]
    wanted = [name for name in groups if is_test_name(name)]
    words = ["POETRY_VIRTUALENVS_CREATE=false poetry install --no-root --no-interaction"]
    words += [f"--with {','.join(dict.fromkeys(wanted))}"] if wanted else []
    words += [f"--extras {name}" for name in project.test_extras()]
    steps = [
        Layer("the installer", _TOOLS.format("poetry")),
        Layer("dependencies as locked", " ".join(words), tuple(sorted(files))),
    ]
    vcs = b'type = "git"' in files["poetry.lock"]
    return _Dependencies("poetry.lock", "poetry.lock pins them", steps, files, vcs=vcs)


def _pdm(root: Path, project: ProjectMetadata, document: dict[str, Any]) -> _Dependencies:
    files = _read_files(root, "pyproject.toml", "pdm.lock")
    try:
        lock = tomllib.loads(files["pdm.lock"].decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        lock = {}
    locked = lock.get("metadata", {}).get("groups", [])
    groups = [name for name in locked if is_test_name(name)]
    words = ["PDM_CHECK_UPDATE=0 pdm sync --no-self --no-editable"]
    words += [f"-G {name}" for name in groups]
    steps = [
        Layer("the installer", _TOOLS.format("pdm")),
        Layer("dependencies as locked", " ".join(words), tuple(sorted(files))),
    ]
    vcs = b"git = " in files["pdm.lock"]
    return _Dependencies("pdm.lock", "pdm.lock pins them", steps, files, vcs=vcs)


def _declared(root: Path, project: ProjectMetadata, declared: list[str]) -> _Dependencies:
    """Dependencies named one by one, and the requirements files that they refer to."""
    source = "pyproject.toml" if (root / "pyproject.toml").is_file() else "setup.cfg or setup.py"
    names = [*project.test_groups(), *project.test_extras()]
    why = "its dependencies" + (f" with {', '.join(names)}" if names else "")
    found = _Dependencies(source, why, vcs=any("git+" in line for line in declared))
    if project.requirement_files:
        _add_files(found, read_requirements(root, project.requirement_files))
    if declared:
        found.steps.append(Layer("dependencies", install(declared)))
        found.downloads = True
    else:
        found.downloads &= bool(found.steps)
    return found


def _requirements(root: Path, project: ProjectMetadata, names: list[str]) -> _Dependencies:
    found = _Dependencies(names[0], f"the project has {', '.join(names)}")
    read = read_requirements(root, names)
    _add_files(found, read)
    if declared := project.requirements(read.own_extras):
        found.steps.append(Layer("what the project itself declares", install(declared)))
        found.downloads = True
        found.vcs |= any("git+" in line for line in declared)
    return found


def _add_files(found: _Dependencies, read: Requirements) -> None:
    """One command for all files; one each where some have hashes, as pip wants all or none."""
    found.files |= read.files
    found.notes += read.notes
    found.vcs |= read.vcs
    if not read.requires:
        return
    words = [f"-r {name}" for name in read.names if name in read.files]
    commands = [f"python -m pip install {word}" for word in words]
    run = " && ".join(commands) if read.hashed else f"python -m pip install {' '.join(words)}"
    found.steps.append(Layer("dependencies", run, tuple(sorted(read.files))))
    found.downloads = not read.offline


def _computed(root: Path, project: ProjectMetadata) -> _Dependencies:
    """setup.py works its dependencies out when it runs: it runs, in the image, with all files."""
    from diffufix.testing.copy import copy_project

    with tempfile.TemporaryDirectory(prefix="dfx-") as scratch:
        files = read_tree(copy_project(root, Path(scratch) / "project"), ".")
    extras = f"[{','.join(project.test_extras())}]" if project.test_extras() else ""
    step = Layer(
        "the project, for its dependencies", f"python -m pip install '.{extras}'", tuple(files)
    )
    note = "setup.py computes its dependencies: the image is made anew when any file changes"
    return _Dependencies(
        "setup.py", "it is run to learn them", [step], files, [note], installs_project=True
    )


def _pytest(offline: bool) -> Layer:
    """pytest, unless the project named one; its version is then the project's."""
    check = "python -c 'import pytest'"
    if offline:
        return Layer("pytest must be in the base image", check)
    return Layer(
        "pytest, unless it is there", f"{check} 2>/dev/null || python -m pip install pytest"
    )


def _metadata(project: ProjectMetadata) -> dict[str, bytes]:
    """The project's name, version and entry points as an installed package has them."""
    if not project.name:
        return {}
    name, version = project.name, project.version
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {f"{_METADATA}/METADATA": text.encode(), f"{_METADATA}/INSTALLER": b"diffufix\n"}
    lines = []
    for group, points in sorted(project.entry_points.items()):
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in sorted(points.items())), ""]
    if lines:
        files[f"{_METADATA}/entry_points.txt"] = "\n".join(lines).encode()
    return files


def _metadata_step(project: ProjectMetadata, files: dict[str, bytes]) -> Layer:
    version = re.sub(r"[^\w.+]", "_", project.version)
    folder = f"{canonicalize_name(project.name).replace('-', '_')}-{version}.dist-info"
    where = "$(python -c 'import sysconfig; print(sysconfig.get_path(\"purelib\"))')"
    run = f'cp -r {_METADATA} "{where}/{folder}"'
    return Layer("the project's metadata; its code comes at run time", run, tuple(sorted(files)))


def _read_files(root: Path, *names: str) -> dict[str, bytes]:
    found = {name: read_within(root, root / name) for name in names if (root / name).is_file()}
    return {name: data for name, data in found.items() if data is not None}
