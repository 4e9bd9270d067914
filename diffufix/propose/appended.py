"""Appended holes (`mini`): all holes of all suspects compete in one best-first search.

The most likely edit anywhere is proposed next. The model has learnt to say that a hole is fine as
it is, therefore likelihoods of changed fills compare between holes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from diffufix.decode.aside import AsideContext, HoleSpan, logits
from diffufix.decode.best_first import BestFirst, Question
from diffufix.decode.edits import edit_costs, insertions
from diffufix.decode.threads import Threads
from diffufix.model.checkpoint import LoadedModel
from diffufix.propose.candidates import EditTarget
from diffufix.propose.holes import inside_strings
from diffufix.propose.proposals import (
    FailureContext,
    Proposal,
    Watcher,
    cost_of,
    failure_ids,
    fit,
    show,
)
from diffufix.propose.pruning import Pruner
from diffufix.propose.window import MAX_WINDOW, Window, between, window
from diffufix.types import Hole, Kind

MAX_ORIGINAL = 40  # tokens of a hole, as in training
LONGEST = 8 * MAX_ORIGINAL  # characters: not worth a view of its own
KEPT = 10  # tokens of an expression that is kept while something is added to it
ADDED = 5.0  # nats for that: its likelihood is conditional on there being an addition
#: Nats that coarse holes start behind with in the best-first search, and each token beyond two:
#: they cost more to denoise, and what they would find is mostly found by a finer one before.
COARSE = {Kind.STATEMENT: 1.0, Kind.BLOCK: 2.0, Kind.BODY: 3.0}
TOKEN, TOKENS_AT_MOST = 0.3, 4.0
STRINGS = 2.0  # nats that a hole inside of a string starts behind with, where that is new


class _View:
    """A window on a subject, encoded once for all its holes."""

    def __init__(self, model: LoadedModel, view: Window, failure: Sequence[int]) -> None:
        self.window = view
        self.context = AsideContext(model, view.ids, failure=failure)


def appended(
    model: LoadedModel,
    subjects: Sequence[EditTarget],
    story: FailureContext,
    watch: Watcher | None,
    busy: Callable[[], bool],
    top: float,
) -> Iterator[Proposal]:
    questions: list[Question] = []
    asked: list[tuple[EditTarget, Hole]] = []
    for subject in subjects:
        failure = failure_ids(model, story, subject)
        views: list[_View] = []
        seen: set[tuple[int, int]] = set()
        first = len(questions)
        for hole in _holes(model, subject, views, failure):
            found = _locate(model, subject, hole, views, failure)
            if found is None:
                continue
            view, (start, end) = found
            original = view.window.ids[start:end]
            if len(original) > MAX_ORIGINAL or (start == end and hole.kind is not Kind.INSERTION):
                continue
            wide = hole if start == end else _widened(hole, view.window, start, end)
            if (wide.start, wide.end) in seen:
                continue
            seen.add((wide.start, wide.end))
            place = HoleSpan(start + 1, end + 1, original)
            cost = cost_of(subject.suspect, hole, top) + COARSE.get(hole.kind, 0.0)
            cost += min(TOKENS_AT_MOST, TOKEN * max(0, len(original) - 2))
            for begin, extra in _starts(model, original, hole.kind):
                questions.append(Question(view.context, place, cost + extra, begin))
                asked.append((subject, wide))
        questions[first:] = _priced(questions[first:])
    pruner = Pruner(model.tokenizer.decode, model.family.mask, asked)
    search = BestFirst(questions, keep=pruner, answer=Threads(busy).around(logits))
    for index, fill in search:
        subject, hole = asked[index]
        if watch and search.looking:
            shown, at = asked[search.looking.question]
            show(model, shown, at, search.looking.ids, watch)
        text = fit(subject.source, model.tokenizer.decode(fill.ids))
        yield Proposal(subject, hole, text, fill, fill.logp - questions[index].cost)


def _starts(
    model: LoadedModel, original: Sequence[int], kind: Kind
) -> list[tuple[tuple[int, ...] | None, float]]:
    """What a hole's search begins with: masks alone; for short expressions also the original with
    masks behind it (`x` to `x + 1`) and around it (`x` to `abs(x)`)."""
    starts: list[tuple[tuple[int, ...] | None, float]] = [(None, 0.0)]
    if kind is Kind.EXPRESSION and 0 < len(original) <= KEPT:
        mask = model.family.mask
        text = model.tokenizer.decode(original)
        bare = model.tokenizer.encode(text.lstrip(" "))
        starts.append(((*original, mask, mask, mask, mask), ADDED))
        starts.append(((mask, mask, *bare, mask), ADDED))
    return starts


def _holes(
    model: LoadedModel, subject: EditTarget, views: list[_View], failure: Sequence[int]
) -> Iterator[Hole]:
    """The subject's holes and those inside of strings, which come later where the model has not
    learnt from such; for families with an outline also where the model thinks that something is
    missing between two tokens."""
    found = subject.holes()
    yield from found
    if subject.node is None:
        return
    late = math.exp(-STRINGS) if model.family.outline is None else 1.0
    for hole in inside_strings(subject.source, subject.node, subject.suspect.lines):
        if hole.suspicion or not subject.suspect.lines:
            yield replace(hole, suspicion=hole.suspicion * late)
    if model.family.outline is None:
        return
    for view in list(views):
        for index in insertions(view.context.edits or ()):
            if 0 < index < len(view.window.ids) and between(subject.source, view.window, index):
                at = view.window.spans[index][0]
                suspicion = max((h.suspicion for h in found if h.start <= at <= h.end), default=0.0)
                yield Hole(at, at, Kind.INSERTION, suspicion)


def _priced(questions: Sequence[Question]) -> list[Question]:
    """The questions about one function, where the model knows better than its lines where fixes
    edit: behind by that, too."""
    made = list(questions)
    for context in {id(q.context): q.context for q in questions}.values():
        own = [i for i, q in enumerate(questions) if q.context is context]
        if context.edits is None:
            continue
        spans = [(q.place.start - 1, q.place.end - 1) for q in (questions[i] for i in own)]
        for i, cost in zip(own, edit_costs(context.edits, spans), strict=True):
            made[i] = replace(questions[i], cost=questions[i].cost + cost)
    return made


def _locate(
    model: LoadedModel,
    subject: EditTarget,
    hole: Hole,
    views: list[_View],
    failure: Sequence[int],
) -> tuple[_View, tuple[int, int]] | None:
    for view in views:
        found = view.window.locate(hole.start, hole.end)
        if found is not None:
            return view, found
    assert subject.node is not None
    if hole.end - hole.start > LONGEST:
        return None
    budget, focus = model.family.window or MAX_WINDOW, (hole.start, hole.end)
    made = window(subject.source, subject.node, model.tokenizer, focus, budget)
    if made.locate(hole.start, hole.end) is None or any(v.window.ids == made.ids for v in views):
        return None
    views.append(_View(model, made, failure))
    return _locate(model, subject, hole, views, failure)


def _widened(hole: Hole, view: Window, start: int, end: int) -> Hole:
    return Hole(view.spans[start][0], view.spans[end - 1][1], hole.kind, hole.suspicion)
