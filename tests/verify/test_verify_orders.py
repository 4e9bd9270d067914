"""Confirmation where tests share state or have an order of their own: each order is judged by what
the unedited project does in it; what is right only now and then is not confirmed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from diffufix.types import Candidate, State
from tests.support.claims import RIGHT, TARGET, claims_of, make, names


def test_state_of_a_module_is_kept_in_the_projects_own_order(make_project: Any) -> None:
    project = make(
        make_project,
        """
        seen = [1]

        def test_adds():
            seen.append(price(1))
            assert len(seen) == 2

        def test_goes_on():
            assert len(seen) == 2
        """,
    )
    claims = claims_of(project, every=True)
    assert names(claims.turned_green) == ["test_price"]
    assert names(claims.kept) == ["test_adds", "test_goes_on"]
    assert claims.dropped["reversed"] == "test_app.py::test_goes_on"
    assert [run for run in claims.runs if run.startswith("own")] == [
        f"own order, hash seed {seed}" for seed in (0, 1)
    ] + ["own order, hash seed 4"]


def test_a_target_that_fails_otherwise_in_another_order(make_project: Any) -> None:
    """It is red in both orders without the edit, and right in one of them only."""
    project = make(
        make_project,
        """
        seen = []

        def test_first():
            seen.append(1)

        def test_counts():
            assert (price(2), len(seen)) == (2, 1)
        """,
    )
    counts = "test_app.py::test_counts"
    claims = claims_of(project, targets=[TARGET, counts], every=True)
    assert set(claims.turned_green) == {TARGET, counts}
    assert claims.dropped == {"reversed": counts}
    assert len(claims.runs) == 3


def test_a_target_that_is_green_alone(make_project: Any) -> None:
    """It fails only after the tests before it, and so it is the order that has to be kept."""
    project = make_project(
        {
            "app.py": "def total(box):\n    kept = box[1:] if len(box) > 3 else box\n"
            "    return sum(kept)\n",
            "test_app.py": """
                from app import total

                box = []

                def test_none():
                    assert total(box) == 0

                def test_one():
                    box.append(4)
                    assert total(box) == 4

                def test_three():
                    box.extend([6, 5])
                    assert total(box) == 11

                def test_four():
                    box.append(9)
                    assert total(box) == 20
                """,
        }
    )
    target = "test_app.py::test_three"
    assert project.failing == [target]
    right = {"app.py": project.text("app.py").replace("> 3", ">= 3")}
    claims = claims_of(project, right, targets=[target])
    assert claims.turned_green == (target,)
    assert names(claims.kept) == ["test_none", "test_one", "test_four"]
    wrong = {"app.py": project.text("app.py").replace("> 3", "== 3")}
    with project.confirmer() as confirmer:
        verdict = confirmer.confirm(Candidate(wrong), [target]).verdict
    assert verdict.state is State.FAIL, verdict
    assert "test_four" in verdict.detail


def test_class_and_session_fixtures_with_state(make_project: Any) -> None:
    project = make(
        make_project,
        """
        @pytest.fixture(scope="session")
        def shop():
            return []

        @pytest.fixture(scope="class")
        def till():
            return []

        def test_open(shop):
            shop.append(price(0))
            assert shop == [1] or shop == [0]

        class TestTill:
            def test_first(self, till, shop):
                till.append(1)
                assert shop

            def test_second(self, till):
                assert till == [1]

        def test_close(shop):
            assert len(shop) == 1
        """,
    )
    claims = claims_of(project, every=True)
    assert names(claims.kept) == ["test_open", "test_first", "test_second", "test_close"]
    assert set(claims.dropped) >= {"reversed"}


STEPS = """
import pytest

def pytest_runtest_makereport(item, call):
    if "steps" in item.keywords and call.excinfo is not None:
        item.parent.failed_before = True

def pytest_runtest_setup(item):
    if "steps" in item.keywords and getattr(item.parent, "failed_before", False):
        pytest.xfail("a step before has failed")

def pytest_configure(config):
    config.addinivalue_line("markers", "steps: one after the other")

def pytest_collection_modifyitems(items):
    items.sort(key=lambda item: item.name)
"""


def test_steps_and_an_order_of_the_projects_own(make_project: Any) -> None:
    project = make(
        make_project,
        """
        @pytest.mark.steps
        class TestSteps:
            done = []

            def test_2_second(self):
                assert self.done == [1]

            def test_1_first(self):
                self.done.append(1)

            def test_3_third(self):
                assert self.done == [1]
        """,
        conftest__py=STEPS,
    )
    assert project.baseline["test_app.py::TestSteps::test_3_third"] == "passed"
    claims = claims_of(project)
    assert names(claims.kept) == ["test_1_first", "test_2_second", "test_3_third"]


def seed_with(bit: int) -> str:
    """A word whose hash has its lowest bit set under hash seed 0 and not under another one."""
    for word in map(str, range(50)):
        code = f"print(hash({word!r}) & 1)"
        bits = [
            subprocess.run(
                [sys.executable, "-c", code],
                env={**os.environ, "PYTHONHASHSEED": str(seed)},
                capture_output=True,
                text=True,
            ).stdout.strip()
            for seed in (0, 1)
        ]
        if bits == [str(bit), str(1 - bit)]:
            return word
    raise AssertionError


@pytest.mark.parametrize(
    "body",
    [
        "    return n + (hash('{word}') & 1 == 0)\n",
        "    import pathlib\n    mark = pathlib.Path('mark.txt')\n    late = mark.exists()\n"
        "    mark.write_text('')\n    return n + late\n",
        "    global called\n    called += 1\n    return n + (called > 2)\n",
    ],
    ids=["by the hash seed", "the first time only", "in one order only"],
)
def test_right_only_now_and_then(make_project: Any, body: str) -> None:
    project = make(make_project, "def test_a(): assert price(1)\ndef test_b(): assert price(2)\n")
    text = "called = 0\n\n\ndef price(n):\n" + body.format(word=seed_with(1))
    with project.confirmer() as confirmer:
        verdict = confirmer.confirm(Candidate({"app.py": text}), [TARGET]).verdict
        assert verdict.state is State.FAIL, verdict
        assert "not " in verdict.detail
        assert confirmer.confirm(Candidate(RIGHT), [TARGET]).verdict.passed


def test_the_number_of_runs_follows_the_time(make_project: Any) -> None:
    project = make(make_project, "")
    with project.confirmer() as confirmer:
        late = confirmer.confirm(Candidate(RIGHT), [TARGET], until=0.0)
        early = confirmer.confirm(Candidate(RIGHT), [TARGET])
    assert late.claims is not None
    assert early.claims is not None
    assert len(late.claims.runs) == 2
    assert len(early.claims.runs) == 4
