"""Ids of tests that hold a path, a time or a random part are called the same everywhere."""

from __future__ import annotations

import sys
from pathlib import Path

from diffufix.testing import copy_project, run_tests

sys.path.insert(0, str(Path(__file__).parents[2] / "diffufix" / "testing" / "inside"))

from _diffufix_ids import stable_ids  # type: ignore[import-not-found]

TESTS = """
    import os, random, time, uuid
    import pytest
    HERE = os.path.dirname(os.path.abspath(__file__))

    @pytest.mark.parametrize("path", [os.path.join(HERE, "data", n) for n in ("a", "b")])
    def test_path(path):
        assert path.endswith("a")

    @pytest.mark.parametrize("key", [uuid.uuid4().hex, f"at-{time.time()}", "[x]"])
    def test_key(key):
        assert len(key) > 3

    @pytest.mark.parametrize("n", [1, 2])
    def test_plain(n):
        assert n
"""


def test_paths_are_led_back_and_random_parts_are_matched_by_position(tmp_path: Path) -> None:
    root = tmp_path / "größe"
    root.mkdir()
    (root / "test_x.py").write_text("\n".join(line[4:] for line in TESTS.splitlines()))
    first = run_tests(root, [], python=Path(sys.executable))
    ids = [case.id for case in first.cases]
    assert len(ids) == 7
    tree = copy_project(root, tmp_path / "elsewhere")
    again = run_tests(root, [], python=Path(sys.executable), tree=tree, known=ids, coverage=True)
    assert [case.id for case in again.cases] == ids
    assert [case.outcome for case in again.cases] == [case.outcome for case in first.cases]
    some = [id for id in ids if "test_path" in id or "at-" in id][::-1]
    few = run_tests(root, [], python=Path(sys.executable), tree=tree, ids=some, known=ids)
    assert [case.id for case in few.cases] == some


def test_another_number_of_tests_is_not_matched() -> None:
    names = stable_ids(["t.py::test[3]", "t.py::test[4]"], ["t.py::test[1]"], "/copy", "/root")
    assert names == {"t.py::test[3]": "t.py::test[3]", "t.py::test[4]": "t.py::test[4]"}


def test_what_is_the_same_stays() -> None:
    found = ["t.py::test[b]", "t.py::test[x9]", "t.py::other"]
    names = stable_ids(found, ["t.py::test[x1]", "t.py::test[b]"], "/copy", "/root")
    assert names == {
        "t.py::test[b]": "t.py::test[b]",
        "t.py::test[x9]": "t.py::test[x1]",
        "t.py::other": "t.py::other",
    }
