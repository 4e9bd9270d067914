"""Held-out functions with one bug put in, and the holes that cover it: what mini.py, localize.py
and ablations.py measure on. Draws from (seed, number), so that the same cases come every time.

Reads a corpus file and a tokenizer; writes nothing.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import diffufix  # noqa: F401  # isort: skip  # it decides how the threads of torch wait

from torch import Tensor

from diffufix.decode.aside import Asked, logits
from diffufix.decode.best_first import BestFirst, Question
from diffufix.model.tokenizer import Tokenizer
from diffufix.propose.holes import holes
from diffufix.propose.window import Window, window
from diffufix.source.edits import apply
from diffufix.source.functions import FunctionNode
from diffufix.source.spans import Text
from diffufix.train.bugs.corrupt import Corruptor
from diffufix.train.bugs.parsing import function, parse
from diffufix.train.corpus.build import load
from diffufix.train.corpus.shards import rows
from diffufix.train.pretrain.batches import load_corpus
from diffufix.types import Fill, Kind

MAX_TOKENS = 40  # of a hole and of what belongs in it, as in training
LEARNED = ("more-itertools",)  # held-out projects whose mutants `mini` was shown (its card)


@dataclass(frozen=True)
class Covering:
    """A hole over the bug: tokens [start, end) of the window, and the ids that belong there."""

    kind: Kind
    start: int
    end: int
    target: tuple[int, ...]


@dataclass(frozen=True)
class Bug:
    """A function with one bug. `span` is where the bug is in `broken`, in characters."""

    correct: str
    broken: str
    node: FunctionNode  # of `broken`
    kind: str  # of the edit
    span: tuple[int, int]
    view: Window
    coverings: tuple[Covering, ...]  # smallest first

    def smallest(self, kind: Kind) -> Covering | None:
        return next((hole for hole in self.coverings if hole.kind is kind), None)

    def original(self, hole: Covering) -> tuple[int, ...]:
        """The ids that stand in the hole now."""
        return self.view.ids[hole.start : hole.end]

    @property
    def lines(self) -> set[int]:
        """1-based lines of `broken` that the bug touches; where text is missing, those around."""
        text = Text(self.broken)
        return set(range(text.line_of(self.span[0]), text.line_of(self.span[1]) + 1))


def functions_of(corpus: Path, held_out: bool) -> list[str]:
    """The functions of a corpus on one side of its split: by project where it says so, else by
    file. Of the held-out ones without LEARNED."""
    by_project = [r["source"] for r in rows(corpus, "held-out") if r.get("package") not in LEARNED]
    if by_project:
        return by_project if held_out else load(corpus)
    return load_corpus(corpus, held_out)


def bugs(sources: Sequence[str], tokenizer: Tokenizer, count: int, seed: int = 0) -> Iterator[Bug]:
    """`count` bugs in functions drawn without replacement (fewer, if the functions are few)."""
    order = list(range(len(sources)))
    random.Random(f"order/{seed}").shuffle(order)
    made = 0
    for number in order:
        if made == count:
            return
        bug = make_bug(sources[number], tokenizer, random.Random(f"{seed}/{number}"))
        if bug is not None:
            made += 1
            yield bug


def make_bug(source: str, tokenizer: Tokenizer, rng: random.Random) -> Bug | None:
    """One bug in a function; None where none could be drawn or no hole covers it."""
    parsed = parse(source, rng)
    if parsed is None:
        return None
    text, node = parsed
    edit = Corruptor(text, node).draw(rng)
    if edit is None:
        return None
    broken, [(start, end, _, last)] = apply(text, [edit])
    wrong = function(broken)
    if wrong is None or wrong.name != node.name:
        return None
    view = window(broken, wrong, tokenizer, (start, end))
    found: dict[tuple[int, int], Covering] = {}
    for hole in holes(broken, wrong):
        at = view.locate(hole.start, hole.end)
        if at is None or at in found or (at[0] == at[1] and hole.kind is not Kind.INSERTION):
            continue
        a, b = (hole.start,) * 2 if at[0] == at[1] else _characters(view, at)
        if a <= start and end <= b:
            target = tuple(tokenizer.encode(text[a : b + last - end]))
            known = view.ids[at[0] : at[1]]
            if target != known and max(len(target), len(known)) <= MAX_TOKENS:
                found[at] = Covering(hole.kind, *at, target)
    if not found:
        return None
    smallest = sorted(found.values(), key=lambda hole: (hole.end - hole.start, hole.start))
    return Bug(text, broken, wrong, edit.kind, (start, end), view, tuple(smallest))


def fills(question: Question, states: int) -> Iterator[Fill]:
    """Fills of one hole, the likeliest first, as far as looking at `states` states finds them."""
    seen = 0

    def answer(asked: Sequence[Asked]) -> Tensor:
        nonlocal seen
        seen += len(asked)
        if seen > states:
            raise _Spent
        return logits(asked)

    try:
        for _, fill in BestFirst([question], batch=32, answer=answer):
            yield fill
    except _Spent:
        return


class _Spent(Exception):
    pass


def _characters(view: Window, tokens: tuple[int, int]) -> tuple[int, int]:
    return view.spans[tokens[0]][0], view.spans[tokens[1] - 1][1]
