"""Where no text gives a candidate away: controls find forged records, the compared world finds
what was changed in it, a run of the original finds what was left."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from diffufix.types import Candidate, State, Verdict
from diffufix.verify.confirm import FLOOR
from diffufix.verify.controls import unheld
from diffufix.verify.deadlines import Deadlines
from diffufix.verify.inside.frames import ANY
from diffufix.verify.judge import Usual, judge
from diffufix.verify.route import WORDS
from diffufix.verify.trials import OWN, PUT_BACK, Laid, Trials, Way
from diffufix.verify.worker import Setup
from tests.attacks.arena import BASELINE, FAILING, TESTS, WRONG, Arena
from tests.attacks.forging import FORGING, LEAVING, THREAT, leaving
from tests.attacks.hostile import Attack
from tests.attacks.test_attacks import record

FIRST = (Way(OWN, 0),)
REQUIRED = dict.fromkeys(TESTS, "passed")


@pytest.fixture(scope="module")
def trials(arena: Arena) -> Iterator[Trials]:
    setup = Setup.of(arena.python, [], arena.root, {}, None, TESTS)
    made = Trials(arena.sandbox, setup, TESTS, Deadlines({}, floor=FLOOR))
    yield made
    made.close()


@pytest.fixture(scope="module")
def usual(trials: Trials) -> Usual:
    found = Usual()
    for trial in trials.series(FIRST, TESTS, dict.fromkeys(TESTS, ANY)):
        found.add(trial.report)
    return found


def blind(trials: Trials, candidate: Candidate) -> Laid:
    """As if the original named everything: nothing that the audit hears is told."""
    return replace(trials.laid(candidate), words=WORDS)


def judged(trials: Trials, edit: Laid, usual: Usual) -> Verdict:
    trial = trials.series(FIRST, TESTS, REQUIRED, edit, targets=FAILING)[0]
    wanted = [REQUIRED[test] for test in trial.tests]
    return judge(trial.report, trial.tests, wanted, 0.0, every_place=True, usual=usual)


@pytest.mark.parametrize("attack", FORGING, ids=lambda attack: attack.name)
def test_records_cannot_be_forged(
    arena: Arena, trials: Trials, usual: Usual, attack: Attack
) -> None:
    candidate = arena.candidate(attack)
    edit = blind(trials, candidate)
    verdict = judged(trials, edit, usual)
    seen = verdict.detail or "green"
    if verdict.passed:
        reason = unheld(trials, candidate.files, edit, FAILING)
        verdict = replace(verdict, state=State.SUSPICIOUS if reason else State.PASS, detail=reason)
    record(arena, attack, verdict)
    print(f"{attack.name}: {seen}, then {verdict.detail}")
    assert not verdict.passed


@pytest.mark.parametrize("name", LEAVING)
def test_a_changed_world_is_seen(arena: Arena, trials: Trials, usual: Usual, name: str) -> None:
    text = leaving(arena.text("shop/price.py"), WRONG, name)
    verdict = judged(trials, blind(trials, Candidate({"shop/price.py": text})), usual)
    record(arena, Attack(name, "The tests' world changed"), verdict)
    assert verdict.state is State.SUSPICIOUS, verdict
    assert "is not what it" in verdict.detail, verdict


def test_a_right_candidate_has_an_honest_world_and_fails_its_controls(
    arena: Arena, trials: Trials, usual: Usual
) -> None:
    edit = blind(trials, arena.right())
    assert judged(trials, edit, usual).passed
    assert unheld(trials, arena.right().files, edit, FAILING) == ""


def test_what_an_edit_leaves_does_not_make_the_original_green(arena: Arena, trials: Trials) -> None:
    golden = "open('golden', 'w').write('1')"
    read = "__import__('os').path.exists('golden')"
    left = arena.body(f"{golden}\nreturn sum(prices) * count")
    edit = blind(trials, left)
    # The original of this arena does not read it; one that does stands in its place.
    reading = arena.body(f"return sum(prices) * count - 1 + {read}").files["shop/price.py"]
    original = replace(edit.originals["shop/price.py"], data=reading.encode())
    edit = replace(edit, originals={"shop/price.py": original})
    found = trials.series(FIRST, TESTS, REQUIRED, edit, targets=FAILING, put_back=FAILING)
    assert [trial.way for trial in found] == [FIRST[0], PUT_BACK]
    assert set(found[-1].outcomes.values()) == {"passed"}
    assert "golden" in found[0].report["added"]
    clean = blind(trials, arena.right())
    found = trials.series(FIRST, TESTS, REQUIRED, clean, targets=FAILING, put_back=FAILING)
    assert [trial.way for trial in found] == [FIRST[0]]  # nothing is left: nothing to try


def test_there_are_enough() -> None:
    assert len(FORGING) >= 10
    assert len(LEAVING) >= 10
    assert {attack.threat for attack in FORGING} == {THREAT}
    assert set(BASELINE) == set(TESTS)
