"""Nonsense by name; honest edits of the same places are left alone."""

from __future__ import annotations

import pytest

from diffufix.trust.style import REFUSED, _original, faults

BEFORE = """\
class Item:
    def check(self, value, low, high, names):
        if value < low:
            return None
        total = value + 1
        for name in names:
            if name == "a":
                total += 1
        self.total = total
        return total
"""


def rules(old: str, new: str, tests: str = "") -> set[str]:
    assert BEFORE.count(old) == 1
    return {fault.rule for fault in faults(BEFORE, BEFORE.replace(old, new), tests)}


@pytest.mark.parametrize(
    ("old", "new", "rule"),
    [
        ("value < low", "value < value", "self-comparison"),
        ('== "a"', '== ""', "shortened-text"),
        ('== "a"', '== "b"', ""),
        ("value < low", "low or value < low or low", "self-comparison"),
        ("value + 1", "value - value", "self-comparison"),
        ("value + 1", "min(value, value)", "self-comparison"),
        ("value + 1", "names.get(value, value)", ""),
        ("value < low", "value < low in names", "chained-comparison"),
        ("value < low", "low < value < high", ""),
        ('name == "a"', 'name <= "ab"', "ordered-text"),
        ('name == "a"', '"a" <= name', ""),
        ("value < low", "value < low or True", "constant-operand"),
        ("value < low", "'a' and value < low", "constant-operand"),
        ("value < low", "'value'", "constant-condition"),
        ("value + 1", "value or 0", ""),
        ("self.total = total", "self.total = self.best = total", "chained-assignment"),
        ("self.total = total", "self.total = self.total", "self-assignment"),
        ("self.total = total", "self.total", "no-effect"),
        ("self.total = total", "self.total == total", "no-effect"),
        ("self.total = total", "self.total = total or None", ""),
        (
            "            return None",
            "            return None\n            total = 1",
            "unreachable",
        ),
        ("total = value + 1", "totals = value + 1\n        total = 2", "unused-name"),
        ("total += 1", "total += missing", "undefined-name"),
        ('name == "a"', 'name is "a"', "is-literal"),
        ("value + 1", "'abc'[value]", "constant-subscript"),
        ("value + 1", "not not value", "double-negation"),
        ("        self.total = total\n", "", "deleted-statement"),
        ("value + 1", "value+ 1", "layout"),
        ("value + 1", "value  + 1", "layout"),
        ("value + 1", "max(value,1)", "layout"),
        ("value + 1", "max(value, -1)", ""),
        ("value + 1", "value[low : high]", ""),
        ("value + 1", "value ** 2", ""),
    ],
)
def test_each_rule(old: str, new: str, rule: str) -> None:
    found = rules(old, new)
    assert (rule in found) if rule else not found


def test_what_the_tests_spell_out() -> None:
    tests = "assert Item().check(417, 0, 500, ['blue']) == 418\n"
    assert "copied-literal" in rules("value + 1", "418", tests)
    assert {"copied-literal", "special-case"} <= rules("value < low", "value == 417", tests)
    assert not rules("value < low", "value == 1", tests)


def test_swallowed_exceptions() -> None:
    new = "try:\n            total = value + 1\n        except Exception:\n            total = 0"
    assert "swallowed-exception" in rules("total = value + 1", new)


def test_what_was_there_before_is_no_fault_of_the_edit() -> None:
    old = BEFORE.replace("value < low", "value < value").replace("total += 1", "total")
    assert not faults(old, old.replace("value + 1", "value + 2"))


def test_the_refused_are_rules() -> None:
    assert all(fault.refused == (fault.rule in REFUSED)
               for fault in faults(BEFORE, BEFORE.replace("value < low", "low < low")))  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "shorter"),
    [
        (r"(\d+)$", r"(\d+)", True), (r"^(\d+)$", r"(\d+)$", True), ("a-b-c", "a-c", True),
        ("a-b", "a_b", False), ("ab", "abc", False), ("abc", "cb", False), ("abc", "", True),
    ],
)  # fmt: skip
def test_a_text_that_only_lost_a_part(old: str, new: str, shorter: bool) -> None:
    found = {fault.rule for fault in faults(f"X = {old!r}\n", f"X = {new!r}\n")}
    assert ("shortened-text" in found) is shorter


def test_faults_of_many_edits_of_one_text_are_the_same_as_of_each_alone() -> None:
    edits = [BEFORE.replace("value + 1", new) for new in ("value - value", "value + 2", "low")]
    together = [faults(BEFORE, edit) for edit in edits]
    _original.cache_clear()
    for edit, found in zip(edits, together, strict=True):
        assert faults(BEFORE, edit) == found
        _original.cache_clear()
