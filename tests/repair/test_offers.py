"""Which patch is offered where some faults are likely mended and others only pass their tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from diffufix.repair import jury
from diffufix.repair.confirmation import Confirmation
from diffufix.repair.types import Status
from diffufix.report.result import summary
from diffufix.trust import assess as trust
from tests.support.scripted import repair

FILES = {
    "shop.py": """\
def price(items):
    total = 0
    for count, each in items:
        total += count + each
    return total
""",
    "tax.py": """\
def tax(net):
    return net + 19
""",
    "test_shop.py": """\
from shop import price


def test_price():
    assert price([(2, 3)]) == 6
    assert price([(4, 1)]) == 4
""",
    "test_tax.py": """\
from tax import tax


def test_tax():
    assert tax(100) == 81
""",
}
SCRIPT = [("count + each", "count * each"), ("net + 19", "net - 19"), ("net + 19", "81")]
CHANCE = {
    "shop.py": 0.9,
    "tax.py": 0.3,
    "m.py": 0.9,
    "a * b - 1": 0.95,
}  # by path, or by the new text


@pytest.fixture(autouse=True)
def chances(monkeypatch: pytest.MonkeyPatch) -> None:
    judged = trust.assess

    def assess(greens: Any, *rest: Any, **more: Any) -> Any:
        return [
            replace(each, probability=CHANCE.get(green.text, CHANCE[green.path]))
            for each in judged(greens, *rest, **more)
            for green in [greens[each.index]]
        ]

    monkeypatch.setattr(jury, "assess", assess)


def test_what_is_likely_right_is_the_patch_and_the_rest_another(tmp_path: Path) -> None:
    result, _ = repair(tmp_path, FILES, SCRIPT, threshold=0.8, budget=600.0)
    assert result.status is Status.NOT_REPAIRED
    assert result.patch is not None
    assert [edit.path for edit in result.patch.edits] == ["shop.py"]
    assert result.probability == 0.9
    assert result.turned_green == ("test_shop.py::test_price",)
    assert result.still_red == ("test_tax.py::test_tax",)
    first, second, third = result.offers
    assert third.difference is None  # it is not the first patch that it was compared with
    assert (first.confirmed, second.confirmed) == (True, True)
    assert [edit.path for edit in second.patch.edits] == ["shop.py", "tax.py"]
    assert second.probability == 0.3
    said = "\n".join(text for text, _ in summary(result))
    assert "Repaired in part: 1 failing test now passes." in said
    assert "Patch 2 passes further ones, but little speaks for what it adds." in said
    assert f"`diffufix apply {result.run_id} 2` writes it" in said


def test_all_is_the_patch_where_the_user_takes_what_is_plausible(tmp_path: Path) -> None:
    result, _ = repair(tmp_path, FILES, SCRIPT, threshold=0.8, budget=600.0, accept="plausible")
    assert result.status is Status.PLAUSIBLE
    assert result.patch is not None
    assert [edit.path for edit in result.patch.edits] == ["shop.py", "tax.py"]
    assert result.probability == 0.3
    assert "tax.py: 30% likely right" in result.evidence
    assert result.still_red == ()


UNSEEN = {  # what the second test reads is no code that it executes
    "m.py": "def add(a, b):\n    return a - b\n",
    "test_m.py": """\
from pathlib import Path

from m import add


def test_add():
    assert add(2, 3) == 5


def test_text():
    assert "*" not in Path(__file__).with_name("m.py").read_text()
""",
}
TWO = [("a - b", "a * b - 1"), ("a - b", "a + b"), 3.0]


def test_what_the_whole_suite_refutes_is_told_so(tmp_path: Path) -> None:
    result, _ = repair(tmp_path, UNSEEN, TWO, threshold=0.8, budget=600.0)
    assert result.patch is not None
    assert "return a + b" in result.patch.edits[0].new
    first, second = result.offers
    assert (first.confirmed, first.refused, second.confirmed) == (True, "", False)
    assert "over the whole suite it does not hold: test_m.py::test_text" in second.refused


@pytest.mark.parametrize("script", [TWO, TWO[:1]])
def test_what_the_whole_suite_refutes_is_not_kept(
    tmp_path: Path, script: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    holds, asked = Confirmation._holds, []

    def once(self: Confirmation, successes: Any) -> bool:
        asked.append(successes)
        if len(asked) > 1:
            raise KeyboardInterrupt
        return holds(self, successes)

    def stopped(self: Confirmation, accepted: Any) -> None:
        choose(self, accepted)
        raise KeyboardInterrupt

    choose = Confirmation.choose
    monkeypatch.setattr(Confirmation, "_holds", once)
    monkeypatch.setattr(Confirmation, "choose", stopped)
    result, _ = repair(tmp_path, UNSEEN, script, threshold=0.8, budget=600.0)
    assert (result.status, result.patch) == (Status.INTERRUPTED, None)
    texts = [offer.patch.edits[0].new for offer in result.offers]
    assert texts == (["def add(a, b):\n    return a + b\n"] if script == TWO else [])
