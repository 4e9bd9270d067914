"""Edits that are known without asking for a fill, as a supply of proposals beside the model's own.

Functions come in pieces, the most suspicious lines of the most suspicious function first: the edits
of a piece are enumerated (enumerate.py), the model says what it thinks of them (score.py), and the
weights of rank.py make a probability of each of them within its piece. A piece counts by how
suspicious its function and its lines are, so that edits of all pieces compete; what a piece has not
said yet cannot, therefore a few of those before it come out first.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Protocol

from diffufix.propose.candidates import EditTarget
from diffufix.propose.edits.code import Code
from diffufix.propose.edits.enumerate import edits_of
from diffufix.propose.edits.pool import Pool, make_pool
from diffufix.propose.edits.rank import scores
from diffufix.source.edits import Edit
from diffufix.types import Hole, Kind, State, Verdict

if TYPE_CHECKING:
    from diffufix.propose.edits.score import Look

LINES = 30  # of a function in one piece
LATER = 1.0  # nats for each piece of a function before this one
FIRST = 24  # edits that come out between two pieces
LOOKED_AT = 1500  # edits of a piece that the model is asked about
LISTEN = 20  # failures that are heard before one of them is unusual
BONUS, MOVES = 1.0, 3  # nats for edits of a line where something changed the failure; how often
PAIRED, SECOND = 24, 60  # edits that are tried with others beside them; how many others
CHANGED, GREEN = -4.0, 2.0  # nats for those, by what the first did

#: Nats that a hole starts behind with, by subject and hole (proposals.py knows).
Cost = Callable[[EditTarget, Hole], float]
#: The model's looks at some edits of a subject.
Looks = Callable[[EditTarget, Sequence[Edit]], "list[Look | None]"]

_STATEMENTS = frozenset(
    {"drop-statement", "swap-statements", "indent", "drop-guard", "drop-else", "guarded"}
    | {"replace-statement", "donor-statement", "donor-guard", "new-guard", "return", "end"}
)


@dataclass(frozen=True)
class Known:
    """An edit as a proposal will have it. `score` is in nats, below 0."""

    subject: EditTarget
    hole: Hole
    text: str
    score: float
    kind: str


class KnownEdits(Iterator[Known]):
    """The edits of these subjects (most suspicious first), the likeliest first.

    `hear` moves them: what changed the failure speaks for its lines, and for a second edit beside.
    """

    def __init__(
        self,
        subjects: Sequence[EditTarget],
        cost: Cost,
        looks: Looks,
        others: Mapping[str, str] | None = None,
    ) -> None:
        self._pieces = _pieces(subjects, others or {})
        self._cost, self._looks = cost, looks
        self._order = count()
        self._waiting: list[tuple[float, int, Known]] = []
        self._all: dict[int, list[Known]] = {}  # by subject
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
            if each in self._out:
                continue
            self._out.add(each)
            self._until_piece -= 1
            return each

    def _next_piece(self) -> None:
        piece = next(self._pieces, None)
        if piece is None:
            self._more = False
            return
        subject, code, pool, behind = piece
        own = self._all.setdefault(id(subject), [])
        for each in _of(subject, code, pool, behind, self._cost, self._looks):
            own.append(each)
            self._push(each, each.score)
        self._until_piece = FIRST

    def _push(self, each: Known, score: float) -> None:
        heapq.heappush(self._waiting, (-score, next(self._order), each))

    def hear(self, proposal: Tried, verdict: Verdict) -> None:
        """What the tests said of a proposal, of these or of others, for one of the subjects."""
        if verdict.state is not State.FAIL or not verdict.detail:
            return
        self._usual[verdict.detail] += 1
        green = sum(outcome == "passed" for outcome in verdict.outcomes.values())
        usual, _ = self._usual.most_common(1)[0]
        if sum(self._usual.values()) < LISTEN or (verdict.detail == usual and not green):
            return
        nearer = green > 0 or _same_kind(verdict.detail, usual)
        if nearer:
            self._near(proposal)
            if self._paired < PAIRED:
                self._paired += 1
                self._beside(proposal, GREEN if green else CHANGED)

    def _near(self, proposal: Tried) -> None:
        """Edits of the same lines come sooner, the first few times."""
        subject, hole = proposal.subject, proposal.hole
        lines = _lines(subject, hole)
        for line in lines:
            self._moved[id(subject), line] += 1
        most = max((self._moved[id(subject), line] for line in lines), default=0)
        if most > MOVES:
            return
        for each in self._all.get(id(subject), ()):
            if each not in self._out and set(_lines(subject, each.hole)) & set(lines):
                self._push(each, each.score + BONUS * most)

    def _beside(self, proposal: Tried, worth: float) -> None:
        """The same change with each of the likeliest others of its function."""
        subject, hole = proposal.subject, proposal.hole
        likely = heapq.nlargest(SECOND, self._all.get(id(subject), ()), key=lambda k: k.score)
        for each in likely:
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


def _same_kind(detail: str, usual: str) -> bool:
    """Whether two failures are of the same sort, so that the second may be progress."""
    test, _, message = detail.partition(": ")
    before, _, old = usual.partition(": ")
    return test != before or _word(message) == _word(old)


def _word(message: str) -> str:
    return message.split(":")[0].split(" ")[0]


def _lines(subject: EditTarget, hole: Hole) -> range:
    source = subject.source
    first = source.count("\n", 0, hole.start) + 1
    return range(first, first + source.count("\n", hole.start, hole.end) + 1)


class Tried(Protocol):
    """What is known of a proposal that was tried."""

    @property
    def subject(self) -> EditTarget: ...
    @property
    def hole(self) -> Hole: ...
    @property
    def text(self) -> str: ...


def _pieces(
    subjects: Sequence[EditTarget], others: Mapping[str, str]
) -> Iterator[tuple[EditTarget, Code, Pool, float]]:
    """Parts of the subjects, with what is at hand there and the nats that each starts behind with.

    First pieces of all functions come before second ones.
    """
    pools: dict[EditTarget, Pool] = {}
    parts = [_parts(subject) for subject in subjects]
    for number in range(max(map(len, parts), default=0)):
        for subject, own in zip(subjects, parts, strict=True):
            if number >= len(own) or subject.node is None:
                continue
            try:
                code = Code(subject.source, subject.node, own[number])
                if subject not in pools:
                    far = {p: t for p, t in others.items() if t != subject.source}
                    pools[subject] = make_pool(subject.source, code, far)
            except (SyntaxError, ValueError, RecursionError):
                continue
            yield subject, code, pools[subject], LATER * number


def _parts(subject: EditTarget) -> list[dict[int, float] | None]:
    """The executed lines in runs of LINES, the most suspicious first; None: all lines."""
    lines = subject.suspect.lines
    if not lines:
        return [None]
    ranked = sorted(lines, key=lambda line: (-lines[line], line))
    runs = [ranked[i : i + LINES] for i in range(0, len(ranked), LINES)]
    return [{line: max(lines[line], 1e-9) for line in run} for run in runs]


def _of(
    subject: EditTarget, code: Code, pool: Pool, behind: float, cost: Cost, looks: Looks
) -> Iterator[Known]:
    edits = edits_of(code, pool)
    if not edits:
        return
    first = scores(edits, [None] * len(edits))
    best = sorted(range(len(edits)), key=lambda i: -first[i])[:LOOKED_AT]
    seen: list[Look | None] = [None] * len(edits)
    for index, look in zip(best, looks(subject, [edits[i] for i in best]), strict=True):
        seen[index] = look
    values = scores(edits, seen)
    top = max(values)
    whole = top + math.log(math.fsum(math.exp(value - top) for value in values))
    for edit, value in zip(edits, values, strict=True):
        hole = Hole(edit.start, edit.end, _kind(edit), _suspicion(code, edit, subject))
        score = value - whole - behind - cost(subject, hole)
        yield Known(subject, hole, edit.text, score, edit.kind)


def _kind(edit: Edit) -> Kind:
    if edit.kind in _STATEMENTS:
        return Kind.INSERTION if edit.start == edit.end else Kind.STATEMENT
    return Kind.EXPRESSION


def _suspicion(code: Code, edit: Edit, subject: EditTarget) -> float:
    lines = subject.suspect.lines
    if not lines:
        return 1.0
    last = max(edit.start, edit.end - 1)
    touched = range(code.text.line_of(edit.start), code.text.line_of(last) + 1)
    return max((lines.get(line, 0.0) for line in touched), default=0.0)
