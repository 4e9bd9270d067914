"""Tasks as folders in Harbor's format (https://harborframework.com/docs/tasks): written and read.

    NAME/task.toml                what it is, time-outs; ours under [metadata.diffufix]
    NAME/instruction.md           what an agent is told
    NAME/environment/             Dockerfile and the project with its fault
    NAME/tests/test.sh            puts tests and configuration back, runs the tests that grade,
                                  writes /logs/verifier/reward.txt: 1 or 0
    NAME/solution/solve.sh        writes the file that passes

Harbor runs code and tests in one process, so that reward is for agents that mean well; graded by a
verifier of ours (`GradedTask`), the same folder withstands those that do not.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from diffufix.config import Settings
from diffufix.errors import UsageError
from diffufix.project import PYTEST_FILES
from diffufix.source.file import SourceFile
from diffufix.testing import copy_project
from diffufix.testing.environment import import_paths
from diffufix.testing.testcode import test_code
from diffufix.trainers.scoring import GradedTask
from diffufix.workspace.images.dockerfile import render
from diffufix.workspace.images.plan import plan

VERSION = "1.1"  # of the format; later ones only add to it
APP = "/app"  # the project in its container
ORGANIZATION = "diffufix"
_PROJECT = "project"  # its folder in the build context
_NO_NAME = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class HarborTask:
    """A task and what else its folder holds. `answer` is the text of the file that passes; empty
    where there is none."""

    name: str
    instruction: str
    graded: GradedTask
    answer: str = ""


def write_task(folder: Path, task: HarborTask, settings: Settings) -> Path:
    """Write a task into a new folder below `folder`, which is returned.

    The project of `task.graded` is a folder, which is only read; `settings` decide its image.
    Raises UsageError where the task's folder is there already.
    """
    name = _NO_NAME.sub("-", task.name).strip("-.") or "task"
    place, graded = folder / name, task.graded
    if place.exists():
        raise UsageError(f"{place} is there already.", "Choose another folder.")
    root = Path(graded.project)
    project = place / "environment" / _PROJECT
    copy_project(root, project)
    shutil.rmtree(project / ".git", ignore_errors=True)
    _keep_tests(root, place / "tests" / "kept", graded.tests)
    _write_source(root, graded.path, graded.source, project / graded.path)
    image = plan(root, settings)
    for path, data in image.files.items():
        (place / "environment" / path).parent.mkdir(parents=True, exist_ok=True)
        (place / "environment" / path).write_bytes(data)
    made = f"FROM {image.base}\n" if image.ready else render(image, e2b=True)
    paths = os.pathsep.join(import_paths(root, APP))
    text = f"{made}\nCOPY {_PROJECT} {APP}\nWORKDIR {APP}\nENV PYTHONPATH={paths}\n"
    (place / "environment" / "Dockerfile").write_text(text, encoding="utf-8")
    (place / "instruction.md").write_text(task.instruction, encoding="utf-8")
    (place / "task.toml").write_text(_toml(name, graded), encoding="utf-8")
    _script(place / "tests" / "test.sh", _test_script(graded))
    if task.answer:
        solution = place / "solution"
        solution.mkdir()
        _write_source(root, graded.path, task.answer, solution / "answer")
        there = shlex.quote(f"{APP}/{graded.path}")
        _script(solution / "solve.sh", f'cp "$(dirname "$0")/answer" {there}\n')
    return place


def read_task(folder: Path) -> HarborTask:
    """The task in a folder that `write_task` wrote. Raises UsageError for any other."""
    try:
        values = tomllib.loads((folder / "task.toml").read_text(encoding="utf-8"))
        ours: Mapping[str, Any] = values["metadata"]["diffufix"]
        project = folder / "environment" / _PROJECT
        graded = GradedTask.of({**ours, "project": str(project)})
        answer = folder / "solution" / "answer"
        text = SourceFile.read(answer).text if answer.is_file() else ""
        instruction = (folder / "instruction.md").read_text(encoding="utf-8")
        return HarborTask(folder.name, instruction, graded, text)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{folder} is no task of ours: {type(error).__name__} {error}.",
            "`diffufix train tasks` writes such folders.",
        ) from error


def read_tasks(folder: Path) -> list[HarborTask]:
    """All tasks below a folder, by name."""
    return [read_task(path.parent) for path in sorted(folder.glob("*/task.toml"))]


def _keep_tests(root: Path, kept: Path, tests: tuple[str, ...]) -> None:
    """Copies of the test code and of pytest's configuration, which an agent cannot reach."""
    configuration = (name for name in PYTEST_FILES if (root / name).is_file())
    for path in sorted({*test_code(root, tests).files, *configuration}):
        (kept / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, kept / path)


def _write_source(root: Path, path: str, text: str, target: Path) -> None:
    """A new text of a file, in that file's own encoding."""
    target.write_bytes(SourceFile.read(root / path).encode(text))


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/bash\n{text}", encoding="utf-8")
    os.chmod(path, 0o755)


def _test_script(graded: GradedTask) -> str:
    words = ["python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *graded.args, *graded.tests]
    return f"""\
mkdir -p /logs/verifier
echo 0 > /logs/verifier/reward.txt
cp -R "$(dirname "$0")/kept/." {APP}/ && cd {APP} || exit 1
if {shlex.join(words)}; then echo 1 > /logs/verifier/reward.txt; fi
"""


def _toml(name: str, graded: GradedTask) -> str:
    ours = asdict(graded)
    del ours["project"], ours["source"]  # they are the folder's
    lines = [
        f"schema_version = {_value(VERSION)}",
        "",
        "[task]",
        f"name = {_value(f'{ORGANIZATION}/{name}')}",
        f"description = {_value(f'Repair {graded.qualname or graded.path}.')}",
        "",
        "[metadata.diffufix]",
        *(f"{key} = {_value(value)}" for key, value in ours.items()),
        "",
        "[verifier]",
        "timeout_sec = 300.0",
        "",
        "[agent]",
        "timeout_sec = 900.0",
        "",
        "[environment]",
        "build_timeout_sec = 1200.0",
        "cpus = 1",
        "memory_mb = 2048",
    ]
    return "\n".join(lines) + "\n"


def _value(value: str | tuple[str, ...]) -> str:
    """As TOML writes it: strings as JSON does, but for one character."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
