"""Whole bodies for one hole of a model that reads holes appended to their context (`mini`).

The function is shown with a gap, and holes of several first lengths, empty or begun with `return`,
compete in one best-first search: the likeliest bodies come first.
"""

from __future__ import annotations

import ast
import builtins
import keyword
import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from diffufix.decode.aside import AsideContext, HoleSpan
from diffufix.decode.best_first import BestFirst, Question
from diffufix.decode.leaning import LogitBias
from diffufix.decode.threads import Threads
from diffufix.generate.body import Body
from diffufix.generate.scope import BodyNames, Sketch
from diffufix.model.checkpoint import LoadedModel
from diffufix.propose.candidates import EditTarget
from diffufix.propose.proposals import FailureContext, Proposal, Watcher, fit, show
from diffufix.propose.pruning import Pruner
from diffufix.propose.surroundings import beside
from diffufix.propose.window import MAX_WINDOW, window
from diffufix.types import Hole, Kind

#: Whole bodies before what passes nothing is mended: they are cheap.
HEAD_START = 1_000
#: First lengths in masks, and the nats that a long one starts behind with.
EMPTY = ((6, 0.0), (12, 1.0), (20, 2.0), (32, 4.0))
#: The same for holes that begin with `return`, as most short bodies do.
RETURNS = ((3, 0.0), (6, 0.0), (10, 1.0), (16, 2.0), (24, 4.0))
SKETCHED = -3.0  # nats ahead for a hole that names what it computes with: most others never do
CHILDREN = 48  # ids of a place that are looked at; in a repair the right one ranks higher
AHEAD = 0.5  # weight of the expected cost of the masks that are left (as in A*)
BATCH = 48  # holes denoised at once; more of them delay the cheapest ones
_VARIABLES = frozenset(
    {"i", "j", "k", "n", "x", "y", "a", "b", "c", "item", "items", "key", "value", "result"}
    | {"total", "count", "index", "line", "name", "word", "best", "seen", "left", "right", "out"}
    | {"current", "previous", "first", "last", "number", "longest", "part", "parts", "row", "rest"}
)
_WORD = re.compile(r"[A-Za-z_]\w*")
_LETTERS = re.compile(r"[A-Za-z]{2}")
LONGEST = 48  # tokens of an appended body


def bodies(
    model: LoadedModel,
    body: Body,
    story: FailureContext,
    seed: int,
    watch: Watcher,
    busy: Callable[[], bool],
) -> Iterator[Proposal]:
    """The likeliest first. Nothing is drawn, so the seed changes nothing."""
    if body.node is None:
        return
    tokenizer, mask, gap = model.tokenizer, model.family.mask, model.family.gap
    assert gap is not None
    budget, focus = model.family.window or MAX_WINDOW, (body.hole.start, body.hole.end)
    view = window(body.source, body.node, tokenizer, focus, budget)
    found = view.locate(body.hole.start, body.hole.end)
    if found is None:
        return
    start, end = found
    lead = body.source[view.spans[start][0] : body.hole.start]  # blanks that a token takes along
    around = beside(tokenizer, model.family, body.source, body.node)
    context = AsideContext(model, [*view.ids[:start], gap, *view.ids[end:]], failure=around)
    words = lexicon(body.source)
    context.banned = (*context.banned, *_foreign(model, words))
    place = HoleSpan(start + 1, start + 2, ())
    body.strict = True
    scope = BodyNames(body, tokenizer.encode, tokenizer.decode, mask)
    begun, free = lead + "return", len(EMPTY)
    questions = [Question(context, place, cost, (mask,) * n) for n, cost in EMPTY]
    questions += [Question(context, place, c, _begun(model, begun, (n,))) for n, c in RETURNS]
    if _wants_value(body):
        questions += [
            Question(context, place, SKETCHED, _begun(model, begun, sketch))
            for sketch in scope.sketches()
        ]
    # a body of one `return` binds no names: those that nothing defines are refused early
    one_line = replace(body.hole, kind=Kind.EXPRESSION)
    asked: list[tuple[EditTarget, Hole]] = [
        (body, body.hole if i < free else one_line) for i in range(len(questions))
    ]
    pruner = Pruner(tokenizer.decode, mask, asked)
    search = BestFirst(
        questions, children=CHILDREN, max_tokens=LONGEST,
        answer=Threads(busy).around(LogitBias(scope.hints)),
        batch=BATCH, ahead=AHEAD,
        keep=lambda index, ids: scope.may_use_all(ids) and pruner(index, ids),
    )  # fmt: skip
    for index, fill in search:
        if search.looking:
            show(model, body, body.hole, search.looking.ids, watch)
        text = fit(body.source, tokenizer.decode(fill.ids)).removeprefix(lead)
        score = fill.logp - questions[index].cost
        yield Proposal(body, body.hole, text, fill, score)


def _wants_value(body: Body) -> bool:
    """Not where the hint says that nothing is returned, or that values are yielded."""
    hint = body.function.node.returns
    plain = hint is None or ast.unparse(hint).strip("'\"") not in ("None", "NoReturn", "Never")
    return plain and not body.function.is_generator


def _begun(model: LoadedModel, text: str, sketch: Sketch) -> tuple[int, ...]:
    """The ids of a hole that begins with a text and goes on with a sketch."""
    ids = model.tokenizer.encode(text)
    for part in sketch:
        if isinstance(part, str):
            ids += model.tokenizer.encode(part)
        else:
            ids += [model.family.mask] * part
    return tuple(ids)


def lexicon(source: str) -> frozenset[str]:
    """Words that a body in this file may well consist of: those of the file, keywords, builtins,
    what the builtin types can do, and usual names of variables."""
    words = set(_WORD.findall(source)) | set(keyword.kwlist) | set(dir(builtins)) | _VARIABLES
    for kind in (str, list, dict, set, tuple, int, float):
        words |= {name for name in dir(kind) if not name.startswith("_")}
    return frozenset(words)


def _foreign(model: LoadedModel, words: frozenset[str]) -> tuple[int, ...]:
    """Ids that are letters but no part of these words: most of a tokenizer's vocabulary."""
    known: set[int] = set()
    for word in words:
        for form in (word, " " + word, "." + word):
            known.update(model.tokenizer.encode(form))
    keep = known | {model.family.expand, model.family.delete}
    texts = ((i, model.tokenizer.decode([i])) for i in range(len(model.tokenizer)))
    return tuple(i for i, text in texts if i not in keep and _LETTERS.search(text))
