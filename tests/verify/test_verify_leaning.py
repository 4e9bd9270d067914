"""Right fixes of projects whose tests lean on each other, or whose hooks let failures pass."""

from __future__ import annotations

import textwrap
from typing import Any

import pytest

from diffufix.errors import TooLate
from diffufix.types import Candidate, State
from diffufix.verify import Confirmer
from diffufix.verify.trials import FILES
from diffufix.verify.unedited import UneditedProject

APP = "def price(n):\n    return n + 1\n"
RIGHT = {"app.py": "def price(n):\n    return n\n"}
TARGET = "test_app.py::test_price"
CLASS = """
import pytest
from app import price

class TestDay:
    @pytest.fixture(scope="class")
    def till(self):
        return []

    def test_opens(self, till):
        till.append(1)
        assert till

    def test_sells(self, till):
        if not till or price(2) != 2:
            raise AssertionError("nothing is sold")
"""
SELLS = "test_app.py::TestDay::test_sells"
OPENS = "test_app.py::TestDay::test_opens"


def test_a_target_that_needs_the_tests_before_it(make_project: Any) -> None:
    project = make_project({"app.py": APP, "test_app.py": CLASS})
    for shared, passed in (((SELLS, OPENS), True), ((), False)):
        baseline = {OPENS: "passed", SELLS: "failed"}
        with project.confirmer(baseline=baseline, shared=shared) as confirmer:
            confirmed = confirmer.confirm(Candidate(RIGHT), [SELLS])
        assert confirmed.verdict.passed is passed, confirmed.verdict
        if confirmed.claims is not None:
            assert confirmed.claims.leaning == {"reversed": SELLS, "shuffled": SELLS}
            assert len(confirmed.claims.runs) == 4
            assert confirmed.claims.runs[2].startswith("file by file reversed order")


@pytest.mark.parametrize("late", [False, True])
def test_what_fails_is_not_excused_unseen(
    make_project: Any, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    compared = Confirmer._compared

    def blind(self: Confirmer, pool: Any, ways: Any, *rest: Any) -> Any:
        if not ways[0].order.startswith(FILES):
            return compared(self, pool, ways, *rest)
        if late:
            raise TooLate
        return None  # the unedited project does not hold in that order

    monkeypatch.setattr(Confirmer, "_compared", blind)
    project = make_project({"app.py": APP, "test_app.py": CLASS})
    baseline = {OPENS: "passed", SELLS: "failed"}
    with project.confirmer(baseline=baseline, shared=(SELLS, OPENS)) as confirmer:
        verdict = confirmer.confirm(Candidate(RIGHT), [SELLS]).verdict
    assert verdict.state is State.FAIL
    assert verdict.detail.startswith(f"not in every order: {SELLS}")


def test_one_run_of_the_unedited_project_is_compared_in_no_other_order(
    make_project: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    measure = UneditedProject.measure

    def once(self: UneditedProject, ways: Any) -> None:
        measure(self, ways[:1])  # there was no time for more

    monkeypatch.setattr(UneditedProject, "measure", once)
    project = make_project({"app.py": APP, "test_app.py": KNOWN})
    baseline = {TARGET: "failed", "test_app.py::test_old": "failed"}
    with project.confirmer(baseline=baseline) as confirmer:
        confirmed = confirmer.confirm(Candidate(RIGHT), [TARGET])
    assert confirmed.claims is not None, confirmed.verdict
    assert len(confirmed.claims.runs) == 2


def test_what_is_right_the_second_time_only_does_not_lean(make_project: Any) -> None:
    other = "from app import price\n\ndef test_price():\n    assert price(2) == 2\n"
    project = make_project({"app.py": APP, "test_app.py": CLASS, "test_other.py": other})
    tests = [OPENS, SELLS, "test_other.py::test_price"]
    baseline = dict(zip(tests, ["passed", "failed", "failed"], strict=True))
    text = "called = 0\n\n\ndef price(n):\n    global called\n    called += 1\n"
    text += "    return n + (called > 1)\n"
    with project.confirmer(baseline=baseline, shared=tests[:2]) as confirmer:
        verdict = confirmer.confirm(Candidate({"app.py": text}), [SELLS]).verdict
    assert verdict.state is State.FAIL, verdict


HOOK = """
import pytest

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if report.failed and ({condition}):
        report.outcome = {outcome!r}
        {more}
"""
KNOWN = "from app import price\n\ndef test_price():\n    assert price(2) == 2\n"
KNOWN += "\ndef test_old():\n    assert price(2) == 7\n"


@pytest.mark.parametrize(
    ("condition", "outcome"),
    [
        ("'test_old' in item.nodeid", "passed"),
        ("'test_price' not in item.nodeid or 'Assert' in call.excinfo.typename", "skipped"),
        ("call.excinfo.errisinstance(AssertionError)", "passed"),
    ],
    ids=["of some tests", "most of them are skipped", "of a kind"],
)
def test_hooks_that_let_failures_pass(make_project: Any, condition: str, outcome: str) -> None:
    more = "report.longrepr = ('', 0, 'known')" if outcome == "skipped" else ""
    hook = HOOK.format(condition=condition, outcome=outcome, more=more)
    breaks = "Assert" in condition  # then the fault is another error
    app = "def price(n):\n    return n + ''\n" if breaks else APP
    project = make_project({"app.py": app, "conftest.py": hook, "test_app.py": KNOWN})
    old = "test_app.py::test_old"
    baseline = {TARGET: "failed", old: "failed" if condition.startswith("call") else outcome}
    with project.confirmer(baseline=baseline) as confirmer:
        confirmed = confirmer.confirm(Candidate(RIGHT), [TARGET])
        assert confirmed.verdict.passed, confirmed.verdict
        forged = textwrap.dedent("""
            def price(n):
                import pytest
                pytest.Function.runtest = lambda self: None
                return n
        """)
        verdict = confirmer.confirm(Candidate({"app.py": forged}), [TARGET]).verdict
        assert verdict.state is State.SUSPICIOUS, verdict
