"""What is taken from a completion, and what a row may be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from diffufix.errors import UsageError
from diffufix.trainers.scoring import GradedTask

SOURCE = """\
import functools


class Box:
    @functools.cache
    def size(self, a,
             b=2):
        return a - b

    def other(self):
        return 1


def size(x):
    return x
"""


def task(qualname: str) -> GradedTask:
    return GradedTask("0" * 64, "box.py", SOURCE, qualname)


@pytest.mark.parametrize(
    "completion",
    [
        "def size(self, a, b):\n    return a + b",
        "```python\ndef size(self, a, b):\n    return a + b\n```\n",
        "First\n```\nx = 1\n```\nthen\n```py\n    def size(self, a, b):\n        return a + b\n```",
        "```python\nclass Box:\n    def size(self, a, b):\n        return a + b\n```",
        "```python\nimport os\n\ndef size(self, a, b):\n    return a + b\n\nprint(1)\n```",
    ],
)
def test_a_method_takes_its_place(completion: str) -> None:
    assert task("Box.size").answered(completion) == SOURCE.replace(
        "def size(self, a,\n             b=2):\n        return a - b",
        "def size(self, a, b):\n        return a + b",
    )


def test_decorators_are_the_answers_where_it_has_some() -> None:
    new = task("Box.size").answered("@staticmethod\ndef size(self):\n    return 3")
    assert new is not None
    assert "class Box:\n    @staticmethod\n    def size(self):\n        return 3\n\n" in new
    assert "cache" not in new


@pytest.mark.parametrize("completion", ["", "I do not know.", "```python\ndef x(:\n```", "x = 1"])
def test_what_is_no_answer(completion: str) -> None:
    assert task("Box.size").answered(completion) is None


def test_a_whole_file() -> None:
    assert task("").answered("```python\nx = 1\n```") == "x = 1\n"


def test_rows(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("x = 1\n")
    row = GradedTask.of({"project": str(tmp_path), "path": "a.py", "tests": ["t::a"], "more": 1})
    assert row.source == "x = 1\n"
    assert row.tests == ("t::a",)
    read = {"project": str(tmp_path), "path": "a.py", "tests": np.array(["t::a"]), "args": None}
    assert GradedTask.of(read) == row  # as a Parquet reader gives it
    assert GradedTask.of('{"project": "p", "path": "a.py", "source": ""}').source == ""
    for wrong in ("{}", "no JSON", {"project": "p"}, "[]"):
        with pytest.raises(UsageError):
            GradedTask.of(wrong)
