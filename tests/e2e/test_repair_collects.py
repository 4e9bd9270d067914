"""A repair leaves a complete group to learn from, with all that a learner needs of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from diffufix.model import load_model
from diffufix.propose.tasks import edit_of, prompt_of, text_of
from diffufix.repair.collect import ESTIMATOR, GROUP, INNER
from diffufix.store import Store
from diffufix.store.trajectories import read_groups
from diffufix.train.rl.objectives.estimators import behaviours
from diffufix.train.rl.rewards import DEFAULT, reward
from diffufix.types import Group, State, Verdict

SHAPES = '''"""Areas."""


class Box:
    def __init__(self, width, height):
        self.width = width
        self.height = height

    def area(self):
        return self.width + self.height

    def fits(self, other):
        return self.width <= other.width and self.height <= other.height
'''
TESTS = """from shapes import Box


def test_area():
    assert Box(3, 4).area() == 12


def test_square():
    assert Box(2, 2).area() == 4


def test_fits():
    assert Box(1, 2).fits(Box(1, 3))
"""


def make(folder: Path) -> Path:
    (folder / "pyproject.toml").write_text("[tool.diffufix]\nworkers = 2\n")
    (folder / "shapes.py").write_text(SHAPES)
    (folder / "test_shapes.py").write_text(TESTS)
    return folder


def repair(folder: Path, *args: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "diffufix", "repair", "--json", "--budget", "900", *args],
        cwd=folder, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.stdout, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def logged(folder: Path) -> list[Group]:
    with Store.open_strictly(folder, create=False) as store:
        return list(read_groups(store))


@pytest.mark.slow
def test_a_repair_logs_a_complete_group(tmp_path: Path) -> None:
    found = repair(make(tmp_path), "--model", "mini")
    assert found["status"] == "repaired"
    (group,) = logged(tmp_path)
    task = group.task
    assert (task.path, task.qualname, task.origin) == ("shapes.py", "Box.area", "repair")
    assert task.source == SHAPES
    assert task.failing == ("test_shapes.py::test_area",)
    assert set(task.tests) == {"test_shapes.py::test_area", "test_shapes.py::test_square"}
    assert group.estimator == ESTIMATOR
    assert group.rewards is not None
    assert len(group.completions) == GROUP

    model = load_model("mini", device="cpu")
    assert group.model == model.fingerprint == found["model"]["hash"]
    assert prompt_of(model, task) == group.prompt
    for one in group.completions:
        assert len(one.ids) == len(one.order) == group.prompt.width
        assert text_of(model, group.prompt, one.ids) == one.text
        assert [len(noise.masks) for noise in one.noise] == [3] * INNER
        assert {len(row) for row in one.behaviour} == {group.prompt.width}
        total, _ = reward(Verdict(State(one.state)), edit_of(task, one.text), DEFAULT)
        assert one.state != "pass" or total == one.reward
    again = behaviours(
        model, [((group.prompt, one.ids), one.noise) for one in group.completions], 1.0
    )
    for one, values in zip(group.completions, again, strict=True):
        for before, after in zip(one.behaviour, values, strict=True):
            assert after == pytest.approx(before, abs=1e-4)


@pytest.mark.slow
def test_what_was_not_repaired_leaves_a_group_too(tmp_path: Path) -> None:
    folder = make(tmp_path)
    (folder / "test_shapes.py").write_text(
        TESTS.replace("== 12", "== 'twelve'").replace("== 4", "== 'four'")
    )
    found = repair(folder, "--model", "mini", "--candidates", "3")
    assert found["status"] == "not-repaired"
    (group,) = logged(folder)
    assert group.task.answer is None
    assert len(group.completions) == GROUP
    assert not any(one.state == "pass" for one in group.completions)


def test_a_wrong_reward_function_is_said_at_once(tmp_path: Path) -> None:
    folder = make(tmp_path)
    (folder / "pyproject.toml").write_text('[tool.diffufix]\nrewards = "speed=2"\n')
    found = repair(folder, "--model", "mini")
    assert found["status"] == "error"
    assert "no reward function 'speed'" in found["message"]
