"""Holes of the suspects, filled: an endless-looking supply of `Proposal`s, the best ones first.

Two ways, by the family's layout:
- aside (`mini`): all holes of all suspects compete in one best-first search, so that the most
  likely edit anywhere is proposed next. The model has learnt to say that a hole is fine as it is,
  therefore likelihoods of changed fills compare between holes.
- inline (Dream family): holes one after another, the most suspicious lines first and from fine to
  coarse within a line, a batch of samples for each, round after round.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count, islice

from diffufix.decode import infill
from diffufix.decode.aside import AsideContext, Place, logits
from diffufix.decode.best_first import BestFirst, Question
from diffufix.decode.canvas import fill_text, inline_canvas, room_of
from diffufix.decode.edits import edit_costs, insertions
from diffufix.decode.threads import Threads
from diffufix.events import MASK
from diffufix.model.checkpoint import LoadedModel
from diffufix.model.families import sampling_of
from diffufix.propose.candidates import EditTarget
from diffufix.propose.clones import CloneEdits
from diffufix.propose.failure import failure_text
from diffufix.propose.holes import inside_strings
from diffufix.propose.pruning import Pruner
from diffufix.propose.shown import fitted, own_test
from diffufix.propose.surroundings import Surroundings, beside
from diffufix.propose.window import MAX_WINDOW, Window, between, window
from diffufix.source.functions import FunctionNode
from diffufix.source.spans import Text
from diffufix.types import Fill, Hole, Kind, SuspiciousFunction

MAX_ORIGINAL = 40  # tokens of a hole in the aside layout, as in training
LONGEST = 8 * MAX_ORIGINAL  # characters: not worth a view of its own
SAMPLES = 8  # fills of a hole in one batch, inline,
REFRESH = 8  # and the passes after which what they share of its surroundings is renewed
LINE_WEIGHT = 1.0  # nats per e-fold of a line's suspiciousness
SUSPECT_WEIGHT = 2.0  # and of a function's
FAR = 6.0  # nats for lines that no failing test executes
KEPT = 10  # tokens of an expression that is kept while something is added to it
ADDED = 5.0  # nats for that: its likelihood is conditional on there being an addition
#: Nats that coarse holes start behind with in the best-first search, and each token beyond two:
#: they cost more to denoise, and what they would find is mostly found by a finer one before.
COARSE = {Kind.STATEMENT: 1.0, Kind.BLOCK: 2.0, Kind.BODY: 3.0}
TOKEN, TOKENS_AT_MOST = 0.3, 4.0
STRINGS = 2.0  # nats that a hole inside of a string starts behind with, where that is new
TWIN = 3.0  # nats that the same correction in several places starts behind with
WAVE, JOIN = 5, 600  # functions that are searched together, fills until the next ones join
RANK = 0.8  # nats for every more suspicious function before it


@dataclass(frozen=True)
class Proposal:
    """A fill as text, for a hole of a subject. `score` (nats) is what the search ranked it by."""

    subject: EditTarget
    hole: Hole
    text: str
    fill: Fill
    score: float


@dataclass(frozen=True)
class FailureContext:
    """What is known of the failure, for families that read it."""

    test: str
    test_source: str = ""  # the text of its file
    traceback: str = ""
    message: str = ""
    told: str = ""  # the same for families that read little (failure.py), where it is made already
    around: Surroundings | None = None  # of the function, where its file does not say it


#: (subject, hole, text left of it, the hole with masks, text right of it) for a live display.
Watcher = Callable[[EditTarget, Hole, str, str, str], None]


def propose(
    model: LoadedModel,
    subjects: Sequence[EditTarget],
    story: FailureContext,
    *,
    seed: int = 0,
    watch: Watcher | None = None,
    busy: Callable[[], bool] = lambda: False,
    beside: Iterator[Proposal] | None = None,
) -> Iterator[Proposal]:
    """Proposals for the subjects, which come most suspicious first.

    `busy` says whether other work waits for the processor's cores; a small model leaves them to it.
    `beside` are proposals that need no fill (edits/beside.py): they take turns with the model's.
    """
    if model.family.layout != "aside":
        return _inline(model, subjects, story, seed, watch)
    own = _widening(model, subjects, story, watch, busy)
    return _with_twins(own if beside is None else in_turns(own, beside))


def _widening(
    model: LoadedModel,
    subjects: Sequence[EditTarget],
    story: FailureContext,
    watch: Watcher | None,
    busy: Callable[[], bool],
) -> Iterator[Proposal]:
    """Fills of the first functions; the next ones join when so many have been proposed."""
    waves = [subjects[i : i + WAVE] for i in range(0, len(subjects), WAVE)]
    top = max((s.suspect.score for s in subjects), default=1.0)
    supplies: list[Iterator[Proposal]] = []
    for number, wave in enumerate(waves):
        supplies.append(_aside(model, wave, story, watch, busy, top, number * WAVE))
        last = number + 1 == len(waves)
        yield from in_turns(*supplies) if last else islice(in_turns(*supplies), JOIN)


def in_turns(*supplies: Iterator[Proposal]) -> Iterator[Proposal]:
    """One of each, again and again: the place in its own supply says how good a proposal is."""
    left = list(supplies)
    while left:
        for supply in list(left):
            proposal = next(supply, None)
            if proposal is None:
                left.remove(supply)
            else:
                yield proposal


def cost_of(suspect: SuspiciousFunction, hole: Hole, top: float) -> float:
    """Nats that a hole starts behind with: less suspicious functions and lines come later."""
    function = SUSPECT_WEIGHT * -math.log(max(suspect.score, 1e-3) / max(top, 1e-3))
    highest = max(suspect.lines.values(), default=0.0)
    if not highest:
        return function
    share = hole.suspicion / highest
    return function + min(FAR, LINE_WEIGHT * -math.log(max(share, 1e-4)))


def fit(source: str, text: str) -> str:
    """The fill with the line ends of the file `source`."""
    return text.replace("\r\n", "\n").replace("\n", "\r\n") if "\r\n" in source else text


def _with_twins(proposals: Iterator[Proposal]) -> Iterator[Proposal]:
    """The proposals, and between them what each says of the other places with the same text."""
    twins, order = CloneEdits(), count()
    waiting: list[tuple[float, int, Proposal]] = []
    for proposal in proposals:
        while waiting and -waiting[0][0] >= proposal.score:
            yield heapq.heappop(waiting)[2]
        yield proposal
        twin = twins.of(proposal.subject, proposal.hole, proposal.text)
        if twin:
            score = proposal.score - TWIN
            made = replace(proposal, hole=twin[0], text=twin[1], score=score)
            heapq.heappush(waiting, (-score, next(order), made))
    yield from (heapq.heappop(waiting)[2] for _ in range(len(waiting)))


# -- aside -----------------------------------------------------------------------------------------


class _View:
    """A window on a subject, encoded once for all its holes."""

    def __init__(self, model: LoadedModel, view: Window, failure: Sequence[int]) -> None:
        self.window = view
        self.context = AsideContext(model, view.ids, failure=failure)


def _aside(
    model: LoadedModel,
    subjects: Sequence[EditTarget],
    story: FailureContext,
    watch: Watcher | None,
    busy: Callable[[], bool],
    top: float,
    before: int = 0,
) -> Iterator[Proposal]:
    questions: list[Question] = []
    asked: list[tuple[EditTarget, Hole]] = []
    for rank, subject in enumerate(subjects, start=before):
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
            place = Place(start + 1, end + 1, original)
            cost = cost_of(subject.suspect, hole, top) + COARSE.get(hole.kind, 0.0) + RANK * rank
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


def failure_ids(model: LoadedModel, story: FailureContext, subject: EditTarget) -> tuple[int, ...]:
    """What the model is shown behind the function: the failure, and what stands around it."""
    told = story.told
    if not told and story.message:
        qualname = subject.suspect.qualname
        told = failure_text(story.message, story.test, story.test_source, qualname)
    return beside(
        model.tokenizer, model.family, subject.source, subject.node, told, story.around
    )  # fmt: skip


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


def show(
    model: LoadedModel, subject: EditTarget, hole: Hole, ids: Sequence[int], watch: Watcher
) -> None:
    parts: list[str] = []
    run: list[int] = []
    for token in (*ids, model.family.mask):
        if token != model.family.mask:
            run.append(token)
            continue
        parts += [model.tokenizer.decode(run), MASK]
        run = []
    left, right = subject.source[subject.start : hole.start], subject.source[hole.end : subject.end]
    watch(subject, hole, left, "".join(parts)[: -len(MASK)], right)


# -- inline ----------------------------------------------------------------------------------------

_ORDER = list(Kind)


def _inline(
    model: LoadedModel,
    subjects: Sequence[EditTarget],
    story: FailureContext,
    seed: int,
    watch: Watcher | None,
) -> Iterator[Proposal]:
    import torch

    top = max((s.suspect.score for s in subjects), default=1.0)
    queue = sorted(
        ((cost_of(s.suspect, hole, top), _ORDER.index(hole.kind), i, hole)
         for i, s in enumerate(subjects) for hole in s.holes()),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    kind = sampling_of(model.family.name)
    temperature = kind.temperature
    while queue:
        for cost, _, index, hole in queue:
            subject = subjects[index]
            left, right = _prompt(model, subject, hole, story)
            original = subject.source[hole.start : hole.end]
            canvas = inline_canvas(model, left, right, original)

            def hook(
                step: int, rows: list[list[int]], subject: EditTarget = subject, hole: Hole = hole
            ) -> None:
                if watch:
                    show(model, subject, hole, rows[0], watch)

            fills = infill(
                model, canvas, SAMPLES, temperature=temperature, top_p=kind.top_p, alg=kind.alg,
                max_tokens=max(16, min(64, 2 * len(canvas.original) + 8)),
                generator=generator, hook=hook, refresh=REFRESH,
            )  # fmt: skip
            for fill in sorted(fills, key=lambda f: -f.logp / max(1, len(f.ids))):
                score = fill.logp / max(1, len(fill.trace)) - cost
                yield Proposal(
                    subject, hole, fit(subject.source, fill_text(model, canvas, fill)), fill, score
                )
        temperature = min(1.2, temperature * 2)  # what was likely has been tried


def _prompt(
    model: LoadedModel, subject: EditTarget, hole: Hole, story: FailureContext
) -> tuple[str, str]:
    start = subject.source.rfind("\n", 0, subject.start) + 1
    if not isinstance(subject.node, FunctionNode):
        text = Text(subject.source)
        line = text.line_of(hole.start)
        start = text.starts[max(0, line - 30)]
    return fitted(
        model.family,
        "repair",
        lambda text: len(model.tokenizer.encode(text)),
        room_of(model),
        path=subject.suspect.path,
        function=subject.suspect.qualname,
        left=subject.source[start : hole.start],
        original=subject.source[hole.start : hole.end],
        right=subject.source[hole.end : subject.end],
        test=story.test,
        test_source=own_test(story.test_source, story.test),
        traceback=story.traceback,
        message=story.message,
    )
