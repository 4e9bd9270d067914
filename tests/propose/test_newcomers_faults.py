"""The six slips of docs/first-ten-minutes.md in small: the right text is among the known edits, and
how early it comes."""

from __future__ import annotations

import ast
from textwrap import dedent

import pytest

from diffufix.propose.candidates import EditTarget
from diffufix.propose.edits.known import KnownEdits
from diffufix.source.functions import functions
from diffufix.source.syntax import parse
from diffufix.types import SuspiciousFunction

#: How early: a guard or a statement that is missing comes late, a branch is not among them.
#: Function; the slip and what stood there; among how many edits the right one is, 0: not at all.
SLIPS = {
    "a comparison": (
        """\
        def ago(years, days, seconds):
            if years == 0 and days <= 1:
                if seconds == 0:
                    return "now"
                return "today"
            return "long ago"
        """,
        "ago", "days <= 1", "days < 1", 20,
    ),
    "two arguments swapped": (
        """\
        def order(mine, other):
            for one, two in zip(mine, other):
                if one != two:
                    return sign(one, two)
            return sign(len(other), len(mine))
        """,
        "order", "sign(len(other), len(mine))", "sign(len(mine), len(other))", 60,
    ),
    "an attribute for a variable": (
        """\
        class Release:
            def next_build(self, token="build"):
                build = self._build or (token + ".0")
                build = increment(self._build)
                return type(self)(self._major, self._minor, build)
        """,
        "Release.next_build", "increment(self._build)", "increment(build)", 120,
    ),
    "a statement left out": (
        """\
        class Counts:
            def touch(self, key):
                link = self._links[key]
                after = link.after
                if after.count != link.count + 1:
                    after = self._insert(link)
                after.keys[key] = None
                self._links[key] = after

            def remove(self, key):
                link = self._links.pop(key)
                del link.keys[key]
        """,
        "Counts.touch", "after.keys[key] = None\n",
        "after.keys[key] = None\n        del link.keys[key]\n", 2500,
    ),
    "a guard left out": (
        """\
        class Cache:
            def __copy__(self):
                copy = type(self).__new__(type(self))
                copy._data = self._data.copy()
                copy._size = self._size.copy()
                return copy
        """,
        "Cache.__copy__", "copy._size = self._size.copy()",
        "if self._size is not None:\n            copy._size = self._size.copy()", 1200,
    ),
    "a branch left out": (
        """\
        def clamp(value, floor=None, ceil=None, floor_token="<", ceil_token=">"):
            if floor is not None and value < floor:
                value = floor
                token = floor_token
            else:
                token = ""
            return token + str(value)
        """,
        "clamp", "    else:\n",
        "    elif ceil is not None and value > ceil:\n"
        "        value = ceil\n        token = ceil_token\n    else:\n", 0,
    ),
}  # fmt: skip


def place_of(text: str, name: str, right: str, among: int) -> int | None:
    """Which of the known edits of a function gives this text; None where none of `among` does."""
    node = next(n for q, n in functions(parse(text)) if q == name)
    lines = dict.fromkeys(range(node.lineno + 1, (node.end_lineno or node.lineno) + 1), 1.0)
    suspect = SuspiciousFunction("m.py", name, node.lineno, node.end_lineno or 0, 1.0, lines)
    edits = KnownEdits([EditTarget(suspect, text)], lambda *_: 0.0)
    wanted = ast.dump(parse(right))
    for number, edit in enumerate(edits, 1):
        if number > among:
            return None
        made = text[: edit.hole.start] + edit.text + text[edit.hole.end :]
        try:
            if ast.dump(parse(made)) == wanted:
                return number
        except SyntaxError:
            continue
    return None


@pytest.mark.parametrize("slip", SLIPS)
def test_the_slips_that_newcomers_planted(slip: str) -> None:
    source, name, wrong, right, among = SLIPS[slip]
    text = dedent(source)
    assert text.count(wrong) == 1
    found = place_of(text, name, text.replace(wrong, right), among or 500)
    assert (found is not None) is bool(among), found
