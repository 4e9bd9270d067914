"""What would be refused after the tests is not run; what people write is."""

from __future__ import annotations

from textwrap import dedent

import pytest

from diffufix.propose.candidates import EditTarget
from diffufix.trust.sound import sound
from diffufix.types import Hole, Kind, SuspiciousFunction

SOURCE = dedent(
    '''\
    class A:
        def f(self, x, y):
            """Says."""
            if x > y and x:
                return x
            total = y + 1
            for each in x:
                total += each
            self.n = total
            return total
    '''
)


def is_run(old: str, new: str) -> bool:
    subject = EditTarget(SuspiciousFunction("a.py", "A.f", 2, 10, 1.0, {}), SOURCE)
    at = SOURCE.index(old)
    assert SOURCE.count(old) == 1
    hole = Hole(at, at + len(old), Kind.STATEMENT)
    assert subject.change(hole, new) is not None
    return EditTarget(subject.suspect, SOURCE).change(hole, new, sound) is not None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x > y and x", "x > x"),
        ("x > y and x", "x > y and True"),
        ("x > y and x", "x and x"),
        ("y + 1", "y - y"),
        ("total = y + 1", "total = total"),
        ("total = y + 1", "total"),
        ("total += each", "total += each\n            continue\n            total = 0"),
        ("self.n = total\n", "return total\n"),
        ("self.n = total", "self.n = self.x = total"),
    ],
)
def test_what_nobody_writes_is_not_run(old: str, new: str) -> None:
    assert not is_run(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x > y and x", "x >= y"),
        ("x > y and x", "x > y or not x"),
        ("y + 1", "y or 1"),
        ("total = y + 1", "x.sort()"),
        ("total += each", "total += each\n            if total: break"),
        ("self.n = total\n        return total", "return total"),
        ("\n        self.n = total", "\n        if not x: return 0\n        self.n = total"),
        ('"""Says."""', '"""Says all."""\n        x = x or y'),
    ],
)
def test_what_people_write_is_run(old: str, new: str) -> None:
    assert is_run(old, new)


def test_what_was_odd_before_may_stay() -> None:
    odd = SOURCE.replace("x > y and x", "x > y and True and x")
    suspect = SuspiciousFunction("a.py", "A.f", 2, 10, 1.0, {})
    at = odd.index("> y")
    change = EditTarget(suspect, odd).change(Hole(at, at + 1, Kind.EXPRESSION), ">=", sound)
    assert change is not None
