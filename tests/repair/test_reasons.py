"""The sentence that says why nothing was repaired: each reason where it holds, and no other."""

from __future__ import annotations

import pytest

from diffufix.repair.reasons import (
    CANDIDATES,
    MODEL,
    SearchStats,
    explain,
    in_part,
    interrupted,
    none_reproduced,
    once,
    out_of_time,
    rule_of,
    suite_too_long,
    unconfirmed,
    unverified,
)
from diffufix.repair.run import _of_selection
from diffufix.repair.types import Offer, RepairResult, Status
from diffufix.types import Patch, State, Verdict


def tally(generated: int = 100, **states: int) -> SearchStats:
    found = SearchStats(generated)
    details = {
        "fail": "t.py::test_a: AssertionError",
        "suspicious": "the tests changed files: out/{n}.txt is test code",
        "timeout": "t.py::test_a did not end in time",
        "error": "NameError: name 'x' is not defined",
        "infra": "the container is gone",
    }
    for state, number in states.items():
        for n in range(number):
            found.note(Verdict(State(state), detail=details[state].format(n=n)))
    return found


@pytest.mark.parametrize(
    ("counts", "said", "unsaid"),
    [
        ({"generated": 0}, "no place that the model can fill", "Tried"),
        ({"generated": 7}, "None of 7 samples made a program", "Tried"),
        ({"fail": 12}, "Tried 12 candidates in 30 s: none turned a failing test green", "refused"),
        ({"fail": 1}, "Tried 1 candidate in", "refused"),
        ({"suspicious": 20}, "All 20 candidates were refused", "green"),
        ({"suspicious": 1}, "The only candidate was refused", "green"),
        ({"timeout": 9}, "All 9 candidates ran out of time", "green"),
        ({"error": 9}, "All 9 candidates ended in an error before the tests", "green"),
        ({"infra": 3}, "The sandbox failed for every candidate; the first error: the", "gre"),
        ({"error": 3, "timeout": 4}, "No candidate was judged by the tests: of 7, 3 ended in an",
         "green"),
        ({"fail": 30, "error": 2}, "Tried 32 candidates", "refused"),
        ({"fail": 30, "suspicious": 2}, "2 others refused: the tests changed files", "out/1"),
    ],
)  # fmt: skip
def test_the_reason_that_holds(counts: dict[str, int], said: str, unsaid: str) -> None:
    reason = explain(tally(**counts), 30.0)
    assert said in reason.message
    assert unsaid not in reason.message
    assert reason.message.endswith(".")
    assert reason.hint


@pytest.mark.parametrize("state", [State.FAIL, State.TIMEOUT])
def test_a_failing_test_that_turned_green_is_not_denied(state: State) -> None:
    counts = tally(fail=3)
    counts.note(Verdict(state, detail="t.py::test_b: AssertionError"), green=True)
    said = explain(counts, 30.0).message
    assert said == (
        "Tried 4 candidates in 30 s: 1 turned a failing test green, but failed another test; the "
        "first: t.py::test_b: AssertionError."
    )


def test_what_an_interrupted_run_tried_is_no_part_of_what_was_tried() -> None:
    counts = tally(fail=4)
    counts.recalled = 7  # one of those may have turned a failing test green
    assert explain(counts, 30.0).message == (
        "Tried 4 candidates in 30 s: none turned a failing test green. Not tried again: 7 that "
        "failed in the interrupted run."
    )


def test_what_passed_and_is_not_offered() -> None:
    counts = tally(fail=1)
    counts.note(Verdict(State.PASS))
    assert "there was time to try --expect on 0, and none" in explain(counts, 30.0).message
    counts.judge(Verdict(State.PASS))
    said = explain(counts, 30.0).message
    assert said == "Of 2 candidates, 1 passed the screening; none is offered: none does what " + (
        "--expect says."
    )
    counts.judge(Verdict(State.SUSPICIOUS, detail="refused: `a == a` compares nothing"))
    assert "none is offered: refused, as `a == a` compares" in explain(counts, 30.0).message


def test_the_next_step_follows_what_ended_the_search() -> None:
    assert "--budget" in explain(tally(fail=3), 1.0).hint
    assert "--budget" not in explain(tally(fail=3), 1.0, MODEL).hint
    assert "--candidates" in explain(tally(fail=3, error=1), 1.0, CANDIDATES).hint


def test_details_of_the_first_one_are_told() -> None:
    assert "NameError: name 'x'" in explain(tally(error=3), 1.0).message
    assert "t.py::test_a did not end" in explain(tally(timeout=3), 1.0).message


def test_rules_are_counted_without_what_differs() -> None:
    found = tally(suspicious=3)
    assert list(found.rules.values()) == [3]
    assert rule_of("pkg/a.py adds eval") == rule_of("pkg/b.py adds eval")
    assert rule_of("t.py::test[x] was skipped, not passed") == "a test was skipped, not passed"


def test_a_candidate_that_is_tried_again_counts_once() -> None:
    found = tally()
    found.note(Verdict(State.TIMEOUT), green=True)
    found.take_back(Verdict(State.TIMEOUT), green=True)
    found.note(Verdict(State.FAIL))
    assert found.tried == 1
    assert explain(found, 2.0).message.startswith("Tried 1 candidate in 2 s: none turned")


def test_what_failed_provisionally_is_said_until_it_is_tried_again() -> None:
    found, hasty = tally(), Verdict(State.FAIL, provisional=True)
    for verdict in (hasty, hasty, Verdict(State.FAIL)):
        found.note(verdict)
    assert explain(found, 2.0).message == (
        "Tried 3 candidates in 2 s: none turned a failing test green. 2 of them were tried only "
        "where the import had run the old code."
    )
    for _ in range(2):
        found.take_back(hasty)
        found.note(Verdict(State.FAIL))
    assert explain(found, 2.0).message == (
        "Tried 3 candidates in 2 s: none turned a failing test green."
    )


def test_what_stopped_a_run_before_its_search() -> None:
    phases = {"running the tests": 34.2, "running them with coverage": 20.0}
    late = out_of_time(phases, 60.0, 240.0)
    assert "of 60 s, running the tests 34 s, running them with coverage 20 s" in late.message
    assert "--budget 240" in late.hint
    first = suite_too_long({"running the tests": 60.0}, 60.0)
    assert "did not end within the budget of 60 s" in first.message
    assert "No time was left" in suite_too_long(phases, 60.0).message
    copied = suite_too_long({}, 60.0, "7 files, 12 MB so far")
    assert "Copying the project did not end within the budget of 60 s (7 files" in copied.message
    odd = none_reproduced({f"t.py::test_{n}": "passed" for n in range(5)})
    assert "t.py::test_0 (passed)" in odd.message
    assert "2 more" in odd.message
    for reason in (late, first, odd):
        assert "Nothing was tried" in reason.message


def test_what_was_not_confirmed() -> None:
    broke = Verdict(State.FAIL, detail="t.py::test_b: AssertionError")
    assert "t.py::test_b" in unconfirmed(1, broke, False).message
    assert "Each of 3 patches" in unconfirmed(3, broke, True).message
    assert "no time for further ones" in unconfirmed(3, broke, True).message
    infra = unconfirmed(1, Verdict(State.INFRA, detail="the engine is gone"), False)
    assert "could not be run" in infra.message
    assert "confirmed" not in interrupted(0).message
    assert "before a patch was confirmed" in interrupted(2).message
    assert "Not called repaired: 1 test that" in unverified(["t.py::test_net"]).message


def test_of_a_selection_nothing_is_said_of_the_whole_suite() -> None:
    patch = Patch((), "", 0)
    offer = Offer(1, patch, 0.5, words=("it was not run over the whole suite",), refused="no")
    reason = once(60.0, 90.0)
    result = RepairResult(Status.PLAUSIBLE, message=reason.message, offers=(offer,))
    told = _of_selection(result)
    assert "in one run of the selected tests it held" in told.message
    assert told.offers[0].words == ("it was not run over the selected tests",)
    assert "whole suite" in result.message


def test_more_time_is_no_advice_for_what_no_search_reaches() -> None:
    """As a linter's finding in a test file, which is never edited."""
    assert "--budget" in in_part(1, more=False).hint
    assert in_part(1, more=False, reached=False).hint.endswith("mend it by hand.")
