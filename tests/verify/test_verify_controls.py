"""Negative controls as texts: what each of them spoils, and whom it holds against."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from diffufix.verify.controls import raising, turning, undone, unheld
from diffufix.verify.route import Original
from diffufix.verify.trials import CONTROL, Laid, Trial

BEFORE = """# coding: latin-1
RATE = 1

def price(x):
    \"\"\"What it costs.\"\"\"
    return x

def other(x):
    return x
"""
AFTER = BEFORE.replace("return x\n\ndef", "return 2 * x\n\ndef")
MODULE = BEFORE.replace("RATE = 1", "RATE = 2")
TOKEN = "_token"


def laid(after: str) -> tuple[dict[str, str], Laid]:
    original = Original(BEFORE.encode("latin-1"))
    places = original.places("shop.py", after)
    files = {"shop.py": original.encode(after).decode("latin-1")}
    return {"shop.py": after}, Laid(files, places, (), {"shop.py": original})


def module(made: Laid | None) -> dict[str, Any]:
    assert made is not None
    space: dict[str, Any] = {"__name__": "shop", "__file__": "shop.py"}
    exec(compile(made.files["shop.py"].encode("latin-1"), "shop.py", "exec"), space)
    return space


def test_an_edited_function_does_what_it_does_and_raises() -> None:
    space = module(raising(*laid(AFTER), TOKEN))
    with pytest.raises(AssertionError, match=TOKEN):
        space["price"](1)
    assert space["price"].__doc__ == "What it costs."
    assert space["other"](1) == 1


def test_of_an_edited_module_every_function_raises() -> None:
    space = module(raising(*laid(MODULE), TOKEN))
    for name in ("price", "other"):
        with pytest.raises(AssertionError):
            space[name](1)


def test_from_a_moment_on_it_raises_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    space = module(turning(*laid(AFTER), TOKEN))
    assert space["price"](2) == 4
    monkeypatch.setattr(sys, TOKEN, True, raising=False)
    with pytest.raises(AssertionError, match=TOKEN):
        space["price"](2)


def test_the_original_text_is_executed_after_that_of_the_module() -> None:
    assert module(undone(*laid(MODULE)))["RATE"] == 1
    assert undone(*laid(AFTER)) is None


class Told:
    """In place of the trials: every control ends as the function says."""

    def __init__(
        self,
        passes: Callable[[str], bool],
        report: Mapping[str, Any] = {},
        forgiving: bool = False,
    ) -> None:
        self.passes, self.report, self.asked = passes, report, list[str]()
        self.forgiving = forgiving

    def control(self, tests: Sequence[str], edit: Laid, again: str = "") -> Trial:
        kind = "turning" if again else "undone" if "exec(" in edit.files["shop.py"] else "raising"
        self.asked.append(kind)
        order = [*tests, *tests] if again else [*tests]
        said = "passed" if self.passes(kind) else "failed"
        first = [["passed", ""]] * (len(order) - len(tests))
        report = {"outcomes": first + [[said, ""]] * len(tests), **self.report}
        return Trial(CONTROL, order, report)


@pytest.mark.parametrize("forgiving", [False, True])
@pytest.mark.parametrize("failing", ["raising", "turning", "undone", ""])
def test_what_passes_in_every_control_is_held_against_it(failing: str, forgiving: bool) -> None:
    trials = Told(lambda kind: kind != failing, forgiving=forgiving)
    reason = unheld(trials, *laid(MODULE), ["test_a"])  # type: ignore[arg-type]
    assert bool(reason) == (failing == "")
    every = [*["raising", "turning"] * (2 if forgiving else 1), "undone"]
    assert trials.asked == (every[: every.index(failing) + 1] if failing else every)


def test_a_forged_control_is_told() -> None:
    trials = Told(lambda kind: False, {"forged": "two beginnings"})
    assert "forged" in unheld(trials, *laid(AFTER), ["test_a"])  # type: ignore[arg-type]


def test_without_a_target_that_fails_for_certain_there_is_nothing_to_hold() -> None:
    trials = Told(lambda kind: True)
    assert unheld(trials, *laid(AFTER), []) == ""  # type: ignore[arg-type]
    assert trials.asked == []
