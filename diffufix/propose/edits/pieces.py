"""Functions in pieces, and what is known of the edits of each: `Piece`.

A piece is a run of LINES executed lines. Its edits are enumerated (enumerate.py) and ranked by what
their text says (features.py, rank.py). The score of an edit is the logarithm of its probability
within the piece, less what its function and its lines start behind with.
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from tokenize import TokenError

from diffufix.propose.candidates import EditTarget
from diffufix.propose.edits.code import Code
from diffufix.propose.edits.enumerate import listed, unique
from diffufix.propose.edits.features import TextFeatures
from diffufix.propose.edits.pool import Pool, make_pool
from diffufix.propose.edits.rank import score, weights
from diffufix.source.edits import Edit
from diffufix.types import Hole, Kind

LINES = 30  # of a function in one piece
LATER = 1.0  # nats for each piece of a function before this one
MOST = 2500  # edits of a piece that are looked at more closely
BATCH = 128  # edits of a piece that come out together

#: Nats that a hole starts behind with, by subject and hole (proposals.py knows).
Cost = Callable[[EditTarget, Hole], float]

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


class Piece:
    """The edits of a part of a subject. `known` are those that have come out so far."""

    def __init__(
        self, subject: EditTarget, code: Code, edits: Sequence[Edit], told: frozenset[str],
        cost: Callable[[Hole], float],
    ) -> None:  # fmt: skip
        self.subject, self.known = subject, list[Known]()
        self._code, self._cost = code, cost
        features, kinds = TextFeatures(code, told), Counter(edit.kind for edit in edits)
        self._edits = unique(code, likely(features, edits, kinds))
        texts = [score(each, weights()) for each in features.of(self._edits, kinds)]
        self._holes: dict[tuple[int, int, Kind], tuple[Hole, float]] = {}
        whole = _summed(texts)
        self._scores = [
            text - whole - self._hole(edit)[1]
            for text, edit in zip(texts, self._edits, strict=True)
        ]
        ranked = sorted(range(len(texts)), key=lambda i: -self._scores[i])
        self._left = dict.fromkeys(ranked)  # in this order

    @property
    def best(self) -> float | None:
        """The score of the likeliest edit that has not come out."""
        first = next(iter(self._left), None)
        return None if first is None else self._scores[first]

    def take(self, most: int = BATCH) -> list[Known]:
        """The likeliest edits that have not come out."""
        return self._take([i for i, _ in zip(self._left, range(most), strict=False)])

    def near(self, lines: Sequence[int], most: int) -> list[Known]:
        """Edits of these lines, `most` of those included that had not come out."""
        wanted = set(lines)
        fresh = [i for line in lines for i in self._by_line.get(line, ()) if i in self._left]
        self._take(sorted(set(fresh), key=lambda i: -self._scores[i])[:most])
        return [each for each in self.known if not wanted.isdisjoint(self._lines(each.hole))]

    def _take(self, chosen: Sequence[int]) -> list[Known]:
        made = []
        for index in chosen:
            del self._left[index]
            edit = self._edits[index]
            hole = self._hole(edit)[0]
            made.append(Known(self.subject, hole, edit.text, self._scores[index], edit.kind))
        self.known += made
        return made

    def _hole(self, edit: Edit) -> tuple[Hole, float]:
        """The hole of an edit, and the nats that it starts behind with."""
        key = (edit.start, edit.end, _kind(edit))
        if key not in self._holes:
            hole = Hole(*key, _suspicion(self._code, edit, self.subject))
            self._holes[key] = hole, self._cost(hole)
        return self._holes[key]

    def _lines(self, hole: Hole) -> range:
        first, last = hole.start, max(hole.start, hole.end - 1)
        return range(self._code.text.line_of(first), self._code.text.line_of(last) + 1)

    @cached_property
    def _by_line(self) -> dict[int, list[int]]:
        found: dict[int, list[int]] = {}
        for index, edit in enumerate(self._edits):
            found.setdefault(self._code.text.line_of(edit.start), []).append(index)
        return found


def lines_of(subject: EditTarget, hole: Hole) -> range:
    """The lines that a hole touches, counted from 1."""
    source = subject.source
    first = source.count("\n", 0, hole.start) + 1
    return range(first, first + source.count("\n", hole.start, hole.end) + 1)


def pieces(
    subjects: Sequence[EditTarget], others: Mapping[str, str], told: frozenset[str], cost: Cost
) -> Iterator[Piece]:
    """Parts of the subjects that have edits, the first pieces of all functions before second ones.

    `others` are texts to take from.
    """
    for subject, code, pool, behind in _parts(subjects, others):
        try:
            edits = listed(code, pool)
        except (SyntaxError, ValueError, RecursionError, TokenError):
            continue
        if edits:

            def costs(hole: Hole, subject: EditTarget = subject, behind: float = behind) -> float:
                return behind + cost(subject, hole)

            yield Piece(subject, code, edits, told, costs)


def _parts(
    subjects: Sequence[EditTarget], others: Mapping[str, str]
) -> Iterator[tuple[EditTarget, Code, Pool, float]]:
    """Parts of the subjects, what is at hand there, the nats that each starts behind with."""
    pools: dict[EditTarget, Pool] = {}
    parts = [_runs(subject) for subject in subjects]
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


def likely(features: TextFeatures, edits: Sequence[Edit], kinds: Counter[str]) -> Sequence[Edit]:
    """The MOST likely ones, by what is said without a look at their texts; `kinds` counts them."""
    if len(edits) <= MOST:
        return edits
    rough = features.rough(edits, kinds, weights())
    chosen = heapq.nlargest(MOST, range(len(edits)), key=rough.__getitem__)
    return [edits[i] for i in sorted(chosen)]


def _runs(subject: EditTarget) -> list[dict[int, float] | None]:
    """The executed lines in runs of LINES, the most suspicious first; None: all lines."""
    lines = subject.suspect.lines
    if not lines:
        return [None]
    ranked = sorted(lines, key=lambda line: (-lines[line], line))
    runs = [ranked[i : i + LINES] for i in range(0, len(ranked), LINES)]
    return [{line: max(lines[line], 1e-9) for line in run} for run in runs]


def _summed(values: Sequence[float]) -> float:
    """log sum exp."""
    top = max(values)
    return top + math.log(math.fsum(math.exp(value - top) for value in values))


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
