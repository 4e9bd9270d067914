"""One correction in every place that holds the same text."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import pytest

from diffufix.propose.candidates import EditTarget
from diffufix.propose.clones import CloneEdits
from diffufix.propose.proposals import Proposal
from diffufix.propose.propose import TWIN, _with_twins
from diffufix.source.edits import splice
from diffufix.types import Fill, Hole, Kind, SuspiciousFunction

SOURCE = textwrap.dedent('''
    def joined(words, spare):
        """Join words."""
        if not words:
            return " "
        if words and spare and spare[0] == words[0] + words[0]:
            return spare + words
        return " "
''')


@pytest.mark.parametrize(
    ("old", "new", "mended"),
    [
        ('" "', '""', SOURCE.replace('" "', '""')),
        (' " "', ' ""', SOURCE.replace('" "', '""')),  # as the window widens it
        ("and", "or", SOURCE.replace("and spare", "or spare")),
        ("words[0]", "words[-1]", SOURCE.replace("words[0]", "words[-1]")),
        ("words", "spare", None),  # a renaming
        ('" "', '" "', None),  # nothing
        ("==", "!=", None),  # no other place
    ],
)
def test_each_place_is_mended(old: str, new: str, mended: str | None) -> None:
    subject = EditTarget(SuspiciousFunction("text.py", "joined", 2, 9, 1.0, {}), SOURCE)
    at = SOURCE.index(old, SOURCE.index("if not"))
    twin = CloneEdits().of(subject, Hole(at, at + len(old), Kind.EXPRESSION), new)
    if mended is None:
        assert twin is None
        return
    assert twin is not None
    assert splice(SOURCE, *twin) == mended
    change = subject.change(*twin)
    assert change is not None
    assert subject.edited(change)[1] == mended.strip("\n")


def test_what_stands_in_many_places_stays() -> None:
    source = "def f(a):\n    return a + 1 + 2 + 3 + 4\n"
    subject = EditTarget(SuspiciousFunction("text.py", "f", 1, 2, 1.0, {}), source)
    at = source.index("+")
    assert CloneEdits().of(subject, Hole(at, at + 1, Kind.EXPRESSION), "-") is None
    assert CloneEdits().of(subject, Hole(at, at + 1, Kind.STATEMENT), "-") is None


def test_twins_wait_for_their_turn() -> None:
    subject = EditTarget(SuspiciousFunction("text.py", "joined", 2, 9, 1.0, {}), SOURCE)
    at = SOURCE.index('" "')
    hole = Hole(at, at + 3, Kind.EXPRESSION)
    fill = Fill((), (), (), 0.0, 0)

    def proposals() -> Iterator[Proposal]:
        for number, score in enumerate((-1.0, -3.0, -5.0)):
            yield Proposal(subject, hole, f'"{number}"', fill, score)

    texts = [(p.text.count('"') > 2, p.score) for p in _with_twins(proposals())]
    alone, twin = False, True
    assert texts == [
        (alone, -1.0), (alone, -3.0), (twin, -1.0 - TWIN), (alone, -5.0), (twin, -3.0 - TWIN),
        (twin, -5.0 - TWIN),
    ]  # fmt: skip
