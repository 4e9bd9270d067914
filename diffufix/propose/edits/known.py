"""Edits that are known without asking for a fill, as a supply of proposals beside the model's own.

Functions come in pieces, the most suspicious lines of the most suspicious function first
(pieces.py): the edits of a piece are enumerated and ranked by their text. A piece counts by how
suspicious its function and its lines are, so that edits of all pieces compete; what a piece has not
said yet cannot, therefore a few of those before it come out first.
"""

from __future__ import annotations

import heapq
import re
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from itertools import count
from typing import Protocol

from diffufix.propose.candidates import EditTarget
from diffufix.propose.edits.pieces import Cost, Known, Piece, lines_of, pieces
from diffufix.types import PASSED, RED, Hole, Kind, State, Verdict

FIRST = 24  # edits that come out between two pieces
LISTEN = 20  # failures that are heard before one of them is unusual
BONUS, MOVES = 1.0, 3  # nats for edits of a line where something changed the failure; how often
CLOSER = 0.02  # of what two values have in common, so that a failure is nearer to passing
NEAR = 64  # edits of such a line that then come out
PAIRED, SECOND = 12, 60  # edits that are tried with others beside them; how many others
CHANGED, GREEN = -4.0, 0.0  # nats for those, by what the first did


#: `a == b` of pytest's messages and `a != b` of unittest's, up to the lines that compare them.
_COMPARED = re.compile(r"(?:assert |Error: )(.+?) (?:==|!=) (.+?)(?: [-?+] |$)")


class KnownEdits(Iterator[Known]):
    """The edits of these subjects (most suspicious first), the likeliest first; `told` are the
    words of the failing test, `targets` the tests that are to pass.

    `hear` moves them: what changed the failure speaks for its lines, and for a second edit beside.
    What turned a target green and broke another test speaks for its lines alone: most edits that
    do so only remove what the target checks.
    """

    def __init__(
        self,
        subjects: Sequence[EditTarget],
        cost: Cost,
        others: Mapping[str, str] | None = None,
        told: frozenset[str] = frozenset(),
        targets: Collection[str] = (),
    ) -> None:
        self._targets = frozenset(targets)
        self._pieces = pieces(subjects, others or {}, told, cost)
        self._order = count()
        self._waiting: list[tuple[float, int, Known | Piece]] = []
        self._begun: dict[int, list[Piece]] = {}  # by subject
        self._out: set[Known] = set()
        self._until_piece = 0
        self._more = True
        self._usual: Counter[str] = Counter()
        self._moved: Counter[tuple[int, int]] = Counter()  # (subject, line) -> times
        self._paired = 0

    def __next__(self) -> Known:
        while True:
            if self._more and (self._until_piece <= 0 or not self._waiting):
                self._next_piece()
                continue
            if not self._waiting:
                raise StopIteration
            _, _, each = heapq.heappop(self._waiting)
            if isinstance(each, Piece):
                self._take(each)
            elif each not in self._out:
                self._out.add(each)
                self._until_piece -= 1
                return each

    def _next_piece(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            self._more = False
            return
        self._begun.setdefault(id(piece.subject), []).append(piece)
        self._take(piece)
        self._until_piece = FIRST

    def _take(self, piece: Piece) -> None:
        """Take the next edits of a piece, and let the piece wait for its turn."""
        for each in piece.take():
            self._push(each, each.score)
        if (best := piece.best) is not None:
            self._push(piece, best)

    def _push(self, each: Known | Piece, score: float) -> None:
        heapq.heappush(self._waiting, (-score, next(self._order), each))

    def hear(self, proposal: Tried, verdict: Verdict) -> None:
        """What the tests said of a proposal, of these or of others, for one of the subjects."""
        if verdict.state is not State.FAIL or not verdict.detail:
            return
        self._usual[verdict.detail] += 1
        green = any(verdict.outcomes.get(test) == PASSED for test in self._targets)
        broken = {t for t, outcome in verdict.outcomes.items() if outcome in RED} - self._targets
        usual, _ = self._usual.most_common(1)[0]
        if sum(self._usual.values()) < LISTEN or (verdict.detail == usual and not green):
            return
        if green or closeness(verdict.detail) > closeness(usual) + CLOSER:
            self._near(proposal)
            if self._paired < PAIRED and not broken:
                self._paired += 1
                self._beside(proposal, GREEN if green else CHANGED)

    def _near(self, proposal: Tried) -> None:
        """Edits of the same lines come sooner, the first few times."""
        subject, hole = proposal.subject, proposal.hole
        lines = lines_of(subject, hole)
        for line in lines:
            self._moved[id(subject), line] += 1
        most = max((self._moved[id(subject), line] for line in lines), default=0)
        if most > MOVES:
            return
        for piece in self._begun.get(id(subject), ()):
            for each in piece.near(lines, NEAR):
                if each not in self._out:
                    self._push(each, each.score + BONUS * most)

    def _beside(self, proposal: Tried, worth: float) -> None:
        """The same change with each of the likeliest others of its function."""
        subject, hole = proposal.subject, proposal.hole
        known = (each for piece in self._begun.get(id(subject), ()) for each in piece.known)
        for each in heapq.nlargest(SECOND, known, key=lambda k: k.score):
            pair = joined(subject.source, (hole, proposal.text), (each.hole, each.text))
            if pair is not None:
                self._push(Known(subject, *pair, each.score + worth, "two"), each.score + worth)


def joined(source: str, one: tuple[Hole, str], two: tuple[Hole, str]) -> tuple[Hole, str] | None:
    """Two edits of a text as one; None where they touch each other."""
    (first, text), (second, other) = sorted([one, two])
    if second.start < first.end or (second.start, second.end) == (first.start, first.end):
        return None
    kind = max(first.kind, second.kind, key=list(Kind).index)
    hole = Hole(first.start, second.end, kind, max(first.suspicion, second.suspicion))
    return hole, text + source[first.end : second.start] + other


def closeness(detail: str) -> float:
    """How much the two values of a comparison that failed have in common (0 to 1; 0 where the
    message tells no comparison). Any edit on the way to a value changes it; one that brings it
    nearer to what is expected says more."""
    found = _COMPARED.search(detail)
    return SequenceMatcher(None, found[1], found[2], autojunk=False).ratio() if found else 0.0


class Tried(Protocol):
    """What is known of a proposal that was tried."""

    @property
    def subject(self) -> EditTarget: ...
    @property
    def hole(self) -> Hole: ...
    @property
    def text(self) -> str: ...
