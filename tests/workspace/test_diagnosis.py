"""What two runs of a suite say, told by runs that are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from diffufix.config import Settings
from diffufix.types import TestCase, TestRun
from diffufix.workspace import diagnosis
from diffufix.workspace.choice import Runtime
from diffufix.workspace.clock import Clock


class Suite:
    """Runs whose outcomes are `plain` or `covered`, one after the other, by test."""

    place = Runtime("docker", "python3", lambda tree: None)  # type: ignore[arg-type, return-value]

    def __init__(self, plain: dict[str, list[str]], covered: dict[str, list[str]]) -> None:
        self.named: dict[str, str] = {}
        self.said = {False: plain, True: covered}

    def run(self, coverage: bool = False, ids: Any = None, **_: Any) -> TestRun:
        said = self.said[coverage]
        cases = [
            TestCase(test, outcomes.pop(0) if len(outcomes) > 1 else outcomes[0], 0.01)
            for test, outcomes in said.items()
            if ids is None or test in ids
        ]
        return TestRun(Path(), (), tuple(cases), 1, 0.1)


@pytest.mark.parametrize(
    ("plain", "covered", "flaky"),
    [
        (["passed"], ["failed"], ()),
        (["passed"], ["failed", "passed"], ("t.py::b",)),
        (["passed", "failed"], ["failed"], ("t.py::b",)),
        (["failed", "passed"], ["passed"], ("t.py::b",)),
    ],
    ids=["each time under coverage", "once", "without it, too", "only without it"],
)
def test_what_fails_for_coverage_is_not_flaky(
    tmp_path: Path, plain: list[str], covered: list[str], flaky: tuple[str, ...]
) -> None:
    suite: Any = Suite(
        {"t.py::a": ["failed"], "t.py::b": plain}, {"t.py::a": ["failed"], "t.py::b": covered}
    )
    told: list[Any] = []
    found = diagnosis._diagnose(
        Settings(root=tmp_path),
        suite,
        told.append,
        told.append,
        lambda: None,
        Clock(60.0),
    )
    assert found.red == ("t.py::a",)
    assert found.flaky == flaky
    assert any("fail only where executed lines" in str(text) for text in told) is not bool(flaky)
