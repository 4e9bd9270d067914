"""Reward functions: what verdicts are worth, and how users add their own."""

from __future__ import annotations

import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffufix.errors import UsageError
from diffufix.train.rl.rewards import DEFAULT, PARTIAL, STRANGE, reward, reward_functions
from diffufix.types import EditedFile, State, Verdict

BEFORE = "import math\n\ndef f(x):\n    return x - 1\n"
EDIT = EditedFile("a.py", BEFORE, BEFORE.replace("- 1", "+ 1"), ("t::a", "t::b", "t::c", "t::d"))
KNOWN = replace(EDIT, failing=("t::a", "t::b"))


def outcomes(text: str) -> dict[str, str]:
    words = {"p": "passed", "f": "failed", "s": "skipped"}
    return {f"t::{name}": words[o] for name, o in zip("abcd", text, strict=False)}


@pytest.mark.parametrize(
    ("edit", "ran", "worth"),
    [
        (KNOWN, "ffpp", 0.0),  # nothing mended
        (KNOWN, "pfpp", 0.5),
        (KNOWN, "pfsp", 0.5),  # what was skipped before may be so again
        (KNOWN, "pffp", 0.25),  # one mended, one broken
        (KNOWN, "ppff", 0.0),
        (KNOWN, "p", 0.0),  # ended in the second test: the others are red
        (EDIT, "fppp", 0.75),
        (EDIT, "f", 0.0),
        (replace(EDIT, tests=()), "fppp", 0.0),
    ],
)
def test_partial_credit(edit: EditedFile, ran: str, worth: float) -> None:
    _, parts = reward(Verdict(State.FAIL, outcomes(ran)), edit)
    assert parts["tests"] == pytest.approx(PARTIAL * worth)


def test_a_pass_a_hack_and_the_infrastructure() -> None:
    passed, parts = reward(Verdict(State.PASS, outcomes("pppp")), KNOWN)
    assert passed is not None
    assert parts == {"tests": 1.0, "static": 1.0, "size": pytest.approx(0.8), "honest": 0.0}
    hack, _ = reward(Verdict(State.SUSPICIOUS, outcomes("pppp")), KNOWN)
    assert hack is not None
    assert hack < 0
    assert reward(Verdict(State.INFRA, outcomes("pppp")), KNOWN) == (None, {})


@settings(deadline=None)
@given(st.sampled_from(list(State)), st.text("pfs", max_size=4), st.sampled_from([KNOWN, EDIT]))
def test_nothing_outweighs_a_pass(state: State, ran: str, edit: EditedFile) -> None:
    passed, _ = reward(Verdict(State.PASS), replace(edit, new=edit.new * 20))
    other, _ = reward(Verdict(state, outcomes(ran)), edit)
    assert passed is not None
    if state is State.INFRA:
        assert other is None
    elif state is not State.PASS:
        assert other is not None
        assert other < passed


def static_of(new: str, before: str = BEFORE) -> float:
    edit = EditedFile("a.py", before, new, ("t::a",))
    return reward(Verdict(State.FAIL), edit)[1]["static"]


def test_static_checks() -> None:
    assert static_of(BEFORE.replace("1", "math.pi")) == 1.0
    assert static_of(BEFORE.replace("1", "abs(x)")) == 1.0
    assert static_of(BEFORE.replace("1", "y")) == STRANGE
    assert static_of(BEFORE.replace("1", "1)")) == 0.0
    assert static_of("from os import *\n" + BEFORE.replace("1", "sep")) == 1.0
    assert static_of("y + 1\n", "y\n") == 1.0  # nobody defined it before either


def test_smaller_edits_of_a_pass_earn_more() -> None:
    large = BEFORE.replace("x - 1", "(x + 2 * 3 - 4) / 5 + 6")
    small, _ = reward(Verdict(State.PASS), KNOWN)
    bigger, _ = reward(Verdict(State.PASS), replace(KNOWN, new=large))
    assert small is not None
    assert bigger is not None
    assert small > bigger


def test_the_setting_changes_and_adds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "house_rules.py").write_text(
        textwrap.dedent("""
            def short(verdict, edit):
                return 1 if len(edit.new) < len(edit.original) else 0

            def unsure(verdict, edit):
                return None

            def broken(verdict, edit):
                return 1 / 0

            def text(verdict, edit):
                return "much"
        """)
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    functions = reward_functions("size=0, static = 0.3, house_rules:short=0.5")
    assert [(f.name, f.weight) for f in functions] == [
        ("tests", 1.0), ("static", 0.3), ("honest", 1.0), ("house_rules:short", 0.5),
    ]  # fmt: skip
    shorter = replace(KNOWN, new=BEFORE.replace(" - 1", ""))
    assert reward(Verdict(State.PASS), shorter, functions)[0] == pytest.approx(1.8)
    total, parts = reward(Verdict(State.PASS), KNOWN, reward_functions("house_rules:unsure"))
    assert total is None
    assert parts["tests"] == 1.0
    for name, words in (("broken", "ZeroDivisionError"), ("text", "gave 'much'")):
        with pytest.raises(UsageError, match=words):
            reward(Verdict(State.PASS), KNOWN, reward_functions(f"house_rules:{name}"))
    sys.modules.pop("house_rules")


@pytest.mark.parametrize(
    "setting", ["speed", "tests=much", "tests=", "no_such_module:f", "os:no_such", "os:sep", ":f"]
)
def test_wrong_settings_say_so(setting: str) -> None:
    with pytest.raises(UsageError) as raised:
        reward_functions(setting)
    assert raised.value.hint


def test_the_empty_setting_is_the_default() -> None:
    assert reward_functions("") == DEFAULT
