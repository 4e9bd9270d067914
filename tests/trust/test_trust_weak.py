"""Proposals for places where nearly anything passes come later, and none is lost."""

from __future__ import annotations

from diffufix.propose.candidates import EditTarget
from diffufix.propose.proposals import Proposal
from diffufix.trust.strength import MutantCounts
from diffufix.trust.weak import LOWER, Lowered
from diffufix.types import Fill, Hole, Kind, State, SuspiciousFunction

SOURCE = "def f(a, b):\n    if a < b:\n        return a + 1\n    return b\n"
SUBJECT = EditTarget(SuspiciousFunction("m.py", "f", 1, 4, 1.0, {}), SOURCE)


def proposal(text: str, at: str, score: float) -> Proposal:
    start = SOURCE.index(at)
    hole = Hole(start, start + len(at), Kind.EXPRESSION)
    return Proposal(SUBJECT, hole, text, Fill((), (), (), 0.0, 1), score)


def test_weak_places_wait_and_the_order_is_kept_otherwise() -> None:
    tally = MutantCounts({"m.py": SOURCE})
    weak = SOURCE.index("a < b")
    for _ in range(5):
        tally.note("m.py", weak, weak + 5, State.PASS)
    given = [proposal("1", "a < b", -1.0), proposal("2", "a + 1", -1.5),
             proposal("3", "a + 1", -2.0 - LOWER), proposal("4", "a < b", -3.0 - LOWER),
             proposal("5", "a + 1", -3.5 - LOWER)]  # fmt: skip
    assert [p.text for p in Lowered(iter(given), tally)] == ["2", "1", "3", "5", "4"]


def test_without_weak_places_nothing_changes() -> None:
    given = [proposal(str(n), "a + 1", -n) for n in (3, 1, 2)]
    assert list(Lowered(iter(given), MutantCounts({"m.py": SOURCE}))) == given


def test_only_weak_places() -> None:
    tally = MutantCounts({"m.py": SOURCE})
    weak = SOURCE.index("a < b")
    for _ in range(9):
        tally.note("m.py", weak, weak + 5, State.PASS)
    given = [proposal(str(n), "a < b", -float(n)) for n in range(120)]
    assert sorted(int(p.text) for p in Lowered(iter(given), tally)) == list(range(120))
