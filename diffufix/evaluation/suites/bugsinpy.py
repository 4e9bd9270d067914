"""The reader of BugsInPy (Widyasari et al., 2020): a checkout of soarsmu/BugsInPy.

`projects/NAME/project.info` says where a project's repository is, `bugs/N/bug.info` which commits,
which Python, which test files; `bug_patch.txt` is the fix, `run_test.sh` the failing tests. The
repositories are cloned on first use, into the folder of downloads or $BUGSINPY_REPOSITORIES. Raises
UsageError and PrerequisiteError.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from diffufix.errors import PrerequisiteError, UsageError
from diffufix.evaluation.environments import default_folder
from diffufix.evaluation.suites.data import clone
from diffufix.evaluation.suites.patches import applied
from diffufix.evaluation.types import RepairCase

_LINE = re.compile(r"^(\w+)\s*=\s*\"?(.*?)\"?\s*$", re.M)
PLACE = "BUGSINPY_REPOSITORIES"


def bugsinpy(folder: Path) -> Iterator[RepairCase]:
    projects = folder / "projects"
    if not projects.is_dir():
        raise UsageError(f"{folder} has no folder projects.", "Name a checkout of BugsInPy.")
    for project in sorted(path for path in projects.iterdir() if path.is_dir()):
        if not (project / "project.info").is_file():
            continue
        info = _info(project / "project.info", "github_url", "status")
        if info["status"] != "OK":
            continue
        for bug in sorted((project / "bugs").iterdir(), key=_number):
            if (bug / "bug.info").is_file():
                yield _case(project.name, info["github_url"], bug)


def _case(project: str, url: str, bug: Path) -> RepairCase:
    info = _info(
        bug / "bug.info", "python_version", "buggy_commit_id", "fixed_commit_id", "test_file"
    )
    patch = bug / "bug_patch.txt"
    if not patch.is_file():
        raise UsageError(f"{bug} has no bug_patch.txt.", "Is the checkout complete?")
    fix = _text(patch)
    files = [name for name in info["test_file"].split(";") if name]
    return RepairCase(
        f"{project}-{bug.name}",
        partial(_lay, url, project, info["buggy_commit_id"], info["fixed_commit_id"], files),
        lambda tree: applied(tree, fix),
        tests=_tests(bug / "run_test.sh", files),
        requirements=_requirements(bug / "requirements.txt"),
        python=info["python_version"],
        pythonpath=_paths(info.get("pythonpath", "")),
    )


def _lay(url: str, project: str, buggy: str, fixed: str, tests: list[str], folder: Path) -> None:
    """The buggy commit's tree with the fixed commit's test files, without the history."""
    mirror = _mirror(url, project)
    _git(mirror, "archive", "--format=tar", buggy, into=folder)
    for name in tests:
        if _there(mirror, fixed, name):
            _git(mirror, "archive", "--format=tar", fixed, "--", name, into=folder)


def _mirror(url: str, project: str) -> Path:
    place = Path(os.environ.get(PLACE) or default_folder() / "repositories") / f"{project}.git"
    if not place.is_dir():
        hint = (
            f"Clone it where there is a network (git clone --bare), and set {PLACE} to the folder "
            f"that holds {project}.git."
        )
        clone(url, place, hint)
    return place


def _git(mirror: Path, *words: str, into: Path) -> None:
    made = subprocess.run(
        ["git", "-C", str(mirror), *words], capture_output=True, check=False
    )  # fmt: skip
    if made.returncode:
        said = made.stderr.decode(errors="replace").strip()[-200:]
        raise PrerequisiteError(f"{mirror} has no {words[2]}: {said}", "Fetch the repository anew.")
    subprocess.run(["tar", "-x", "-C", str(into)], input=made.stdout, check=True)


def _there(mirror: Path, commit: str, name: str) -> bool:
    asked = ["git", "-C", str(mirror), "cat-file", "-e", f"{commit}:{name}"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def _tests(script: Path, files: list[str]) -> tuple[str, ...]:
    """pytest's arguments for what the script runs by pytest or unittest; else the test files."""
    found: list[str] = []
    for line in _text(script).splitlines() if script.is_file() else ():
        words = [word for word in shlex.split(line, comments=True) if not word.startswith("-")]
        if "pytest" in line:
            found += [word for word in words if ".py" in word]
        elif "unittest" in line:
            found += [_of_unittest(word) for word in words if "." in word and "/" not in word]
    return tuple(dict.fromkeys(filter(None, found))) or tuple(files)


def _of_unittest(name: str) -> str:
    """tests.test_it.ItTest.test_works -> tests/test_it.py::ItTest::test_works"""
    parts = name.split(".")
    module = [part for part in parts if part[:1].islower() and not part.startswith("test_")]
    rest = parts[len(module) :]
    if not rest:
        return ""
    file = "/".join([*module, rest[0]]) + ".py"
    return "::".join([file, *rest[1:]])


def _requirements(path: Path) -> tuple[str, ...]:
    """Pinned packages; what is no plain requirement (an editable checkout) is left out. pytest is
    added where it lacks."""
    lines = [line.strip() for line in _text(path).splitlines()] if path.is_file() else []
    kept = [line for line in lines if line and not line.startswith(("#", "-")) and "@" not in line]
    if not any(line.lower().startswith("pytest=") for line in kept):
        kept.append("pytest")
    return tuple(kept)


def _paths(text: str) -> tuple[str, ...]:
    return tuple(part.strip("/") for part in text.split(";") if part.strip("/"))


def _info(path: Path, *names: str) -> Mapping[str, str]:
    found = dict(_LINE.findall(re.sub(r"\"(?=\w+=)", '"\n', _text(path))))
    if missing := [name for name in names if name not in found]:
        raise UsageError(f"{path} has no {missing[0]}.", "Is this a checkout of BugsInPy?")
    return found


def _text(path: Path) -> str:
    """Some of the files are UTF-16."""
    data = path.read_bytes()
    return data.decode("utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8", "replace")


def _number(path: Path) -> tuple[int, str]:
    return (int(path.name) if path.name.isdigit() else 0, path.name)
