"""What an edit looks like: `TextFeatures`, features by name.

Of an edit: its kind, the statement that it is in, how much goes and comes, whether the names that
come are said by the failing test, stand nearby or nowhere, how alike what goes and comes are, and
which of the alternatives at its place it is. Text only; the weights are in rank.py.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import math
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from diffufix.propose.edits.code import Code, inner_blocks
from diffufix.source.edits import Edit
from diffufix.source.functions import FunctionNode

#: Features of an edit: name -> value; what is 0 is left out.
Features = dict[str, float]

_WORD = re.compile(r"\w+")
_COMMON = frozenset(
    {"self", "cls", "not", "and", "or", "in", "is", "if", "else", "for", "None", "True", "False"}
    | {"return", "raise", "continue", "break", "pass", "0", "1", "", "lambda", "await", "yield"}
)
_LEXEME = re.compile(
    r"""(?i:[rbuf]*)(?:"[^"\n]*"|'[^'\n]*')|[^\W\d]\w*|\d[\w.]*|[=!<>*/:-]=|\*\*|//|->|\S"""
)
_SPELT = frozenset(keyword.kwlist) | frozenset(dir(builtins)) | {"self", "cls", "0", "1", "2"}
_PATTERN = 6  # lexemes of what goes, and of what comes, that make a pattern


def words_of(text: str) -> frozenset[str]:
    """Names, numbers and words of strings that are worth a look."""
    return frozenset(_WORD.findall(text)) - _COMMON


def pattern(gone: str, come: str) -> str:
    """An edit with its own names, texts and numbers left out, such as `N>N.N` or `>not`; empty
    where it is long."""
    sides = (_LEXEME.findall(gone), _LEXEME.findall(come))
    if max(map(len, sides)) > _PATTERN:
        return ""
    return ">".join("".join(map(_abstract, lexemes)) for lexemes in sides)


def _abstract(lexeme: str) -> str:
    if lexeme in _SPELT:
        return f"{lexeme} "
    last = lexeme[-1]
    if last in "\"'":
        return "S"
    return "9" if lexeme[0].isdigit() else "N" if lexeme.isidentifier() else lexeme


@dataclass(frozen=True)
class _Spot:
    """What is the same for all edits of one span."""

    names: tuple[str, ...]  # features of value 1
    values: tuple[tuple[str, float], ...]
    line: frozenset[str]  # words of the lines
    gone: str


class TextFeatures:
    """The features of one function's edits. `told` are the words of the failing test."""

    def __init__(self, code: Code, told: frozenset[str] = frozenset()) -> None:
        self.code, self.told = code, told
        start, end = 0, len(code.source)
        if isinstance(code.node, FunctionNode):
            start, end = code.text.span(code.node)
        self._span = (start, end)
        self._own = Counter(_WORD.findall(code.source[start:end]))
        self._file = Counter(_WORD.findall(code.source))
        self._spots: dict[tuple[int, int], _Spot] = {}
        self._statements = sorted(self._of_statements())
        self._starts = [start for start, *_ in self._statements]

    def rough(
        self, edits: Sequence[Edit], kinds: Counter[str], known: Mapping[str, float]
    ) -> list[float]:
        """Of each edit the part of its score that its text says nothing of: its kind, how many
        there are of it, the place, and which of the alternatives there it is."""
        shares = {kind: known.get(kind, 0.0) - known.get("share", 0.0) * math.log(count)
                  for kind, count in kinds.items()}  # fmt: skip
        near = known.get("near", 0.0)
        order: Counter[tuple[int, int, str]] = Counter()
        places: dict[tuple[int, int, str], float] = {}
        found = []
        for edit in edits:
            place = (edit.start, edit.end, edit.kind)
            if place not in places:
                spot = self._spot(edit.start, edit.end)
                value = shares[edit.kind] + sum(known.get(n, 0.0) * v for n, v in spot.values)
                places[place] = value + sum(known.get(f"{edit.kind}@{n}", 0.0) for n in spot.names)
            found.append(places[place] - near * math.log1p(order[place]))
            order[place] += 1
        return found

    def of(self, edits: Sequence[Edit], kinds: Counter[str] | None = None) -> list[Features]:
        """One for each edit, in their order; `kinds` counts all of the function's edits, where
        these are not all."""
        counts = Counter(edit.kind for edit in edits) if kinds is None else kinds
        return [self._of(edit, counts[edit.kind]) for edit in edits]

    def _of(self, edit: Edit, alike: int) -> Features:
        spot = self._spot(edit.start, edit.end)
        gone, come = trim(spot.gone, edit.text)
        kind = edit.kind
        found: Features = dict.fromkeys((f"{kind}@{name}" for name in spot.names), 1.0)
        found[kind] = 1.0
        found |= dict(spot.values)
        if made := pattern(gone, come):
            found[f"{kind}={made}"] = 1.0
        found["share"] = -math.log(alike)
        found["near"] = -math.log1p(edit.order)
        found["come"] = math.log1p(len(come))
        found["gone"] = math.log1p(len(gone))
        old, new = words_of(gone), words_of(come)
        fresh = new - old
        if fresh:
            said = len(fresh & self.told)
            found["said"] = min(said, 3) / len(fresh)
            if said:
                found[f"{kind}&said"] = 1.0
            found["fresh"] = math.log1p(len(fresh))
            rarest = min(self._own[word] for word in fresh)
            found["home"] = math.log1p(rarest)
            found["abroad"] = float(rarest == 0)
            found["known"] = math.log1p(min(self._file[word] for word in fresh))
            found["inline"] = float(fresh <= spot.line)
        if lost := old - new:
            found["lost said"] = float(bool(lost & self.told))
            found["lost once"] = float(any(self._own[word] == 1 for word in lost))
        if len(old) == 1 == len(new) and gone and come:
            found["alike"] = likeness(gone, come)
        if self.told:
            found["told"] = float(bool(fresh))
        return {name: value for name, value in found.items() if value}

    def _spot(self, start: int, end: int) -> _Spot:
        if (start, end) not in self._spots:
            self._spots[start, end] = self._make_spot(start, end)
        return self._spots[start, end]

    def _make_spot(self, start: int, end: int) -> _Spot:
        source = self.code.source
        first = source.rfind("\n", 0, start) + 1
        last = source.find("\n", max(start, end - 1))
        line = source[first : len(source) if last < 0 else last]
        words = words_of(line)
        name, depth, place = self._statement(start)
        values = [("depth", float(min(depth, 4)))]
        if self.told:
            values.append(("line said", min(3, len(words & self.told)) / 3))
        if place:
            values.append((place, 1.0))
        inside = max(1, self._span[1] - self._span[0])
        values.append(("down", (start - self._span[0]) / inside))
        return _Spot((name,), tuple(values), words, source[start:end])

    def _statement(self, offset: int) -> tuple[str, int, str]:
        """The innermost statement at an offset: its type, depth and place in the function."""
        at = bisect_right(self._starts, offset) - 1
        while at >= 0:
            _, _, end, name, depth, place = self._statements[at]
            if offset <= end or at == 0:
                return name, depth, place
            at -= 1
        return "", 0, ""

    def _of_statements(self) -> Iterator[tuple[int, int, int, str, int, str]]:
        """(start, depth, end, type, depth, place); of compound ones the end is the header's."""
        for block in self.code.blocks:
            yield from self._of_block(block, 0)

    def _of_block(
        self, block: list[ast.stmt], depth: int
    ) -> Iterator[tuple[int, int, int, str, int, str]]:
        for index, statement in enumerate(block):
            start, end = self.code.text.span(statement)
            inner = inner_blocks(statement)
            if inner:
                end = self.code.text.span(inner[0][0])[0]
            place = ""
            if depth == 0:
                place = "first" if index == 0 else "last" if index + 1 == len(block) else ""
            yield start, depth, end, type(statement).__name__, depth, place
            for each in inner:
                yield from self._of_block(each, depth + 1)


def trim(old: str, new: str) -> tuple[str, str]:
    """Both without the whole words that they share at their ends."""
    least = min(len(old), len(new))
    head = 0
    while head < least and old[head] == new[head]:
        head += 1
    while head and (_inside(old, head) or _inside(new, head)):
        head -= 1
    least -= head
    tail = 0
    while tail < least and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    while tail and (_inside(old, len(old) - tail) or _inside(new, len(new) - tail)):
        tail -= 1
    return old[head : len(old) - tail], new[head : len(new) - tail]


def _inside(text: str, at: int) -> bool:
    """Whether a word goes on at this place."""
    return 0 < at < len(text) and _wordy(text[at - 1]) and _wordy(text[at])


def _wordy(char: str) -> bool:
    return char.isalnum() or char == "_"


def likeness(one: str, other: str) -> float:
    """What share of the longer one's characters two words have in common at their ends."""
    least = min(len(one), len(other))
    head = next((i for i in range(least) if one[i] != other[i]), least)
    tail = next((i for i in range(least - head) if one[-1 - i] != other[-1 - i]), least - head)
    return (head + tail) / max(len(one), len(other), 1)
