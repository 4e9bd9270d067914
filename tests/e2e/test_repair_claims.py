"""What `diffufix repair` says of tests that share state, change from run to run, are not run."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

PRICES = """\
\"\"\"What things cost.\"\"\"


def price(lines):
    \"\"\"Sum of count times price; of more than two lines the cheapest is free.\"\"\"
    sums = [count * each for count, each in lines]
    if len(sums) >= 2:
        sums.remove(min(sums))
    return sum(sums)
"""
#: Tests that go on with what the one before has left; with a helper, in a folder of any name.
TILL = """\
import os
import random

import pytest
from shop.testing.prices import price

from say import same

till = []


def test_empty():
    same(price(till), 0)


def test_one():
    till.append((2, 5))
    same(price(till), 10)


def test_two():
    till.append((1, 3))
    same(price(till), 13)


def test_three_the_cheapest_is_free():
    till.append((1, 4))
    same(price(till), 14)


@pytest.mark.skip
def test_later():
    same(price(till), -1)


@pytest.mark.xfail
def test_known():
    same(price(till), -1)


def test_other():
    assert 1 + 1 == 3


def test_every_other_time(tmp_path_factory):
    mark = os.path.join(os.path.dirname(__file__), "mark")
    there = os.path.exists(mark)
    os.remove(mark) if there else open(mark, "w").close()
    assert there


def test_deselected():
    same(price(till), 14)
"""
MESS = {
    "shop/__init__.py": "",
    "shop/testing/__init__.py": "",
    "shop/testing/prices.py": PRICES,
    "qa/say.py": "def same(seen, wanted):\n    if seen != wanted:\n"
    "        raise AssertionError((seen, wanted))\n",
    "qa/test_till.py": TILL,
    "pytest.ini": "[pytest]\npythonpath = . qa\n"
    "addopts = --deselect qa/test_till.py::test_deselected\n",
}  # fmt: skip


def write(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


def named(ids: list[str]) -> list[str]:
    return [id_.rpartition("::")[2] for id_ in ids]


@pytest.mark.slow
def test_every_claim_about_a_messy_project_holds(diffufix_cli, tmp_path: Path) -> None:
    root = write(tmp_path / "mess", MESS)
    began = time.monotonic()
    done = diffufix_cli("repair", "--json", "--model", "mini", "--budget", "240", cwd=root)
    waited = time.monotonic() - began
    document = json.loads(done.stdout)
    claims = document["claims"]
    assert claims is not None, done.stdout + done.stderr
    assert document["status"] == "not-repaired"  # one test is about nothing of this project
    assert document["patch"]["files"] == ["shop/testing/prices.py"]
    assert named(document["turned_green"]) == ["test_two"]
    assert claims["passing_as_before"] == 3
    assert named(claims["still_failing"]) == named(document["still_red"]) == ["test_other"]
    assert claims["new_failures"] == []
    assert named(claims["flaky"]) == ["test_every_other_time"]
    assert named(claims["skipped"]) == ["test_later", "test_known"]
    assert named(document["deselected"]) == ["test_deselected"]
    assert claims["runs"][:2] == ["own order, hash seed 0", "own order, hash seed 1"]
    assert "reversed" in claims["orders_that_do_not_hold"] or len(claims["runs"]) == 2
    assert "the project's own order" in done.stderr
    assert sum(document["phases"].values()) <= document["seconds"] <= waited


def test_code_and_tests_in_one_file(diffufix_cli, tmp_path: Path) -> None:
    kata = "def half(n):\n    return n * 2\n\n\ndef test_half():\n    assert half(4) == 2\n"
    root = write(tmp_path / "kata", {"kata.py": kata})
    done = diffufix_cli("repair", "kata.py", "--model", "mini", "--budget", "240", cwd=root)
    assert done.returncode == 1
    assert "kata.py holds the tests and the code that they test" in done.stdout
    assert "test_kata.py" in done.stdout


def test_nothing_fails_but_not_everything_passes(diffufix_cli, tmp_path: Path) -> None:
    test = "import pytest\n\n\n@pytest.mark.skip\ndef test_a():\n    assert False\n"
    root = write(tmp_path / "p", {"test_a.py": test})
    done = diffufix_cli("repair", "--model", "mini", cwd=root)
    assert done.returncode == 0
    assert "No test fails: nothing to repair." in done.stdout
    assert "passes" not in done.stdout
