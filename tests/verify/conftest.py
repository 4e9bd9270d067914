"""Small real projects, written to disk, and screens on them."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from diffufix.sandbox import LocalSandbox, Sandbox
from diffufix.testing import run_tests
from diffufix.types import RED, Candidate, Verdict
from diffufix.verify import Confirmer, ValidatorPool

#: Set PROJECT_PLAIN to test without bubblewrap, PROJECT_PYTHON to test with the projects'
#: interpreter another one; any with pytest 7 or later.
BUBBLEWRAP = False if os.environ.get("PROJECT_PLAIN") else None
PYTHON = os.environ.get("PROJECT_PYTHON", sys.executable)


@dataclass
class Project:
    """A project in `root`; its baseline is measured when it is first asked for."""

    root: Path
    scratch: Path
    made: list[LocalSandbox] = field(default_factory=list)
    _baseline: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def baseline(self) -> dict[str, str]:
        if not self._baseline:
            run = run_tests(self.root, [], python=Path(PYTHON), timeout=60)
            self._baseline = {case.id: case.outcome for case in run.cases}
            self.seconds = {case.id: case.seconds for case in run.cases}
        return self._baseline

    @property
    def failing(self) -> list[str]:
        return [test for test, outcome in self.baseline.items() if outcome in RED]

    @property
    def tests(self) -> list[str]:
        return self.failing + [test for test in self.baseline if test not in self.failing]

    def text(self, path: str) -> str:
        return (self.root / path).read_text(encoding="utf-8")

    def edit(self, path: str, old: str, new: str) -> Candidate:
        text = self.text(path)
        assert text.count(old) == 1, (old, text.count(old))
        return Candidate({path: text.replace(old, new)})

    def sandbox(self) -> Sandbox:
        tree = Path(tempfile.mkdtemp(dir=self.scratch)) / "tree"
        shutil.copytree(self.root, tree)
        self.made.append(LocalSandbox(tree, python=PYTHON, bubblewrap=BUBBLEWRAP))
        return self.made[-1]

    def screen(self, **options: Any) -> ValidatorPool:
        options.setdefault("workers", 1)
        options.setdefault("expected", self.baseline)
        options.setdefault("failing", self.failing)
        options.setdefault("seconds", self.seconds)
        return ValidatorPool(self.sandbox, python=PYTHON, args=[], root=self.root, **options)

    def confirm(self, candidate: Candidate, **options: Any) -> Verdict:
        options.setdefault("baseline", self.baseline)
        targets = options.pop("targets", self.failing)
        with Confirmer(
            self.sandbox, python=PYTHON, args=[], root=self.root, **options
        ) as confirmer:
            return confirmer.confirm(candidate, targets).verdict

    def confirmer(self, **options: Any) -> Confirmer:
        options.setdefault("baseline", self.baseline)
        options.setdefault("seconds", self.seconds)
        return Confirmer(self.sandbox, python=PYTHON, args=[], root=self.root, **options)


def ask(screen: ValidatorPool, candidate: Candidate, tests: list[str], **options: Any) -> Verdict:
    """One candidate's verdict."""
    token = screen.submit(candidate, tests, **options)
    ((answered, verdict),) = screen.results(None)
    assert answered == token
    return verdict


@pytest.fixture(scope="module")
def make_project(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Callable[[Mapping[str, str]], Project]]:
    made = []

    def make(files: Mapping[str, str]) -> Project:
        root = tmp_path_factory.mktemp("project")
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(textwrap.dedent(text), encoding="utf-8")
        made.append(Project(root, tmp_path_factory.mktemp("scratch")))
        return made[-1]

    yield make
    for project in made:
        assert not list(project.scratch.glob("*/tree")), "a scratch tree was left behind"


@pytest.fixture(name="ask")
def ask_fixture() -> Callable[..., Verdict]:
    return ask
