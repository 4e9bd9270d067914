"""The question which of two patches is right: when it is asked, and what the answers mean."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from diffufix.cli import question
from diffufix.config import Settings
from diffufix.repair.types import Offer, RepairResult, Status
from diffufix.source.patch import make_patch
from diffufix.trust.groups import Difference

DIFFERENCE = Difference("clamp(5, 0, 10)", "gives 0", "gives 5")
PATCH = make_patch({"a.py": "x = 1\n"}, {"a.py": "x = 2\n"})
OFFERS = (Offer(1, PATCH, 0.7), Offer(2, PATCH, 0.6, group=2, difference=DIFFERENCE))
RESULT = RepairResult(Status.PLAUSIBLE, patch=PATCH, offers=OFFERS)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A terminal; what is put into the list is typed there."""
    typed: list[str] = []
    there = SimpleNamespace(isatty=lambda: True)
    monkeypatch.setattr(question, "sys", SimpleNamespace(stdin=there, stderr=there))
    monkeypatch.setattr(typer, "prompt", lambda *a, **k: typed.pop(0))
    return typed


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["1"], ""),
        ([""], ""),
        (["2"], "clamp(5, 0, 10) == 5"),
        (["0"], ""),  # as the first
        (["7"], "clamp(5, 0, 10) == 7"),
        (["what?", " 7 "], "clamp(5, 0, 10) == 7"),
    ],
)
def test_answers(
    terminal: list[str], typed: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal += typed
    assert question.told(Settings(root=Path()), RESULT) == said
    shown = capsys.readouterr().err
    assert "differ at clamp(5, 0, 10)" in shown
    assert ("A value as Python writes it" in shown) == (len(typed) > 1)


@pytest.mark.parametrize("quiet", [{"json": True}, {"yes": True}, {"all": True}])
def test_who_wants_no_question_is_not_asked(terminal: list[str], quiet: dict[str, Any]) -> None:
    assert question.told(Settings(root=Path(), **quiet), RESULT) == ""


def test_nothing_is_asked_without_a_terminal() -> None:
    assert question.told(Settings(root=Path()), RESULT) == ""


@pytest.mark.parametrize(
    "offer",
    [
        replace(OFFERS[1], difference=None),
        replace(OFFERS[1], refused="a comparison with itself"),
        replace(OFFERS[1], difference=Difference("f(<Box>)", "gives 1", "gives 2")),
        replace(OFFERS[1], difference=Difference("f(1)", "gives <Box>", "gives 2")),
        replace(OFFERS[1], difference=Difference("f(1)", "raises KeyError", "gives 2")),
    ],
)
def test_what_cannot_be_said_in_one_expression_is_not_asked(
    terminal: list[str], offer: Offer
) -> None:
    result = replace(RESULT, offers=(OFFERS[0], offer))
    assert question.told(Settings(root=Path()), result) == ""
