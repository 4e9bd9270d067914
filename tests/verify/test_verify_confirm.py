"""Confirmation: the whole suite, cold, several times, in several orders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from diffufix.types import Candidate, State

PROJECT = {
    "calc.py": """
        CACHE = []

        def double(x):
            return x + x + 1

        def triple(x):
            return 3 * x

        def broken(x):
            return x
        """,
    "test_calc.py": """
        import pytest
        from calc import broken, double, triple

        def test_double():
            assert double(2) == 4

        def test_triple():
            assert triple(2) == 6

        def test_broken():
            while broken(1) == 1:
                pytest.fail("known to be broken")

        @pytest.mark.skip
        def test_skipped():
            pass
        """,
}


@pytest.fixture(scope="module")
def project(make_project: Any) -> Any:
    return make_project(PROJECT)


TARGETS = ["test_calc.py::test_double"]


def edit(project: Any, *changes: tuple[str, str]) -> Candidate:
    text = project.text("calc.py")
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return Candidate({"calc.py": text})


def test_a_right_candidate_is_confirmed(project: Any) -> None:
    verdict = project.confirm(edit(project, ("x + x + 1", "x + x")), targets=TARGETS)
    assert verdict.state is State.PASS, verdict
    assert verdict.outcomes == {
        "test_calc.py::test_double": "passed",
        "test_calc.py::test_triple": "passed",
        "test_calc.py::test_broken": "failed",
        "test_calc.py::test_skipped": "skipped",
    }
    assert project.text("calc.py").count("x + x + 1") == 1
    for sandbox in project.made:
        assert not Path(sandbox.tree).exists()


def test_a_regression_is_rejected(project: Any) -> None:
    candidate = edit(project, ("x + x + 1", "x + x"), ("3 * x", "2 * x"))
    verdict = project.confirm(candidate, targets=TARGETS)
    assert verdict.state is State.FAIL
    assert "test_triple" in verdict.detail


def test_a_winner_of_one_order_is_rejected(project: Any) -> None:
    leaky = edit(
        project,
        ("x + x + 1", "CACHE or CACHE.append(1) or x + x\n    return x + x"),
        ("3 * x", "3 * x if CACHE else 0"),
    )
    leaky = Candidate({"calc.py": leaky.files["calc.py"].replace("return CACHE or", "CACHE or")})
    verdict = project.confirm(leaky, targets=TARGETS)
    assert verdict.state is State.FAIL, verdict
    assert "order" in verdict.detail


def test_added_and_lost_tests_are_errors(make_project: Any) -> None:
    project = make_project(
        {
            "app.py": "KINDS = [1, 2]\n\n\ndef one():\n    return 2\n",
            "test_app.py": """
                import pytest
                from app import KINDS, one

                @pytest.mark.parametrize("kind", KINDS)
                def test_kind(kind):
                    assert kind

                def test_one():
                    assert one() == 1
                """,
        }
    )
    right = project.text("app.py").replace("return 2", "return 1")
    for kinds in ("[1]", "[1, 2, 3]"):
        verdict = project.confirm(Candidate({"app.py": right.replace("[1, 2]", kinds)}))
        assert verdict.state is State.ERROR, verdict


def test_a_baseline_that_the_sandbox_does_not_have_is_no_verdict(project: Any) -> None:
    candidate = edit(project, ("x + x + 1", "x + x"))
    some = {test: outcome for test, outcome in project.baseline.items() if "triple" not in test}
    for baseline in (some, {**project.baseline, "test_calc.py::test_more": "passed"}):
        verdict = project.confirm(candidate, targets=TARGETS, baseline=baseline)
        assert verdict.state is State.INFRA
        assert "unedited" in verdict.detail


def test_suspicious_and_forbidden_candidates(project: Any) -> None:
    trick = edit(project, ("x + x + 1", "x + x if __import__('gc') else 0"))
    assert project.confirm(trick, targets=TARGETS).state is State.SUSPICIOUS
    assert project.confirm(Candidate({"test_calc.py": ""})).state is State.SUSPICIOUS


def test_a_suite_that_depends_on_its_order_blames_nobody(make_project: Any) -> None:
    project = make_project(
        {
            "app.py": "def one():\n    return 2\n",
            "test_app.py": """
                from app import one
                seen = []

                def test_first():
                    seen.append(1)

                def test_second():
                    assert seen

                def test_one():
                    assert one() == 1
                """,
        }
    )
    assert project.failing == ["test_app.py::test_one"]
    assert project.confirm(project.edit("app.py", "return 2", "return 1")).passed
