"""Whole bodies for one hole. Text on one side, ids on the other, as in propose/.

- appended (`mini`): the function is shown with a gap, and holes of several first lengths, empty or
  begun with `return`, compete in one best-first search.
- in place, with `<expand>` and `<delete>`: `infill`, batch after batch, hotter every time.
- other families in place: the same, block by block (decode/blockwise.py).
"""

from __future__ import annotations

import ast
import builtins
import keyword
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from diffufix.decode import infill
from diffufix.decode.aside import AsideContext, HoleSpan
from diffufix.decode.best_first import BestFirst, Question
from diffufix.decode.blockwise import blockwise
from diffufix.decode.canvas import fill_text, inline_canvas, room_of
from diffufix.decode.leaning import LogitBias
from diffufix.decode.threads import Threads
from diffufix.generate.body import Body
from diffufix.generate.scope import BodyNames, Sketch
from diffufix.model.checkpoint import LoadedModel
from diffufix.propose.candidates import EditTarget
from diffufix.propose.in_place import REFRESH
from diffufix.propose.proposals import FailureContext, Proposal, Watcher, fit, show
from diffufix.propose.pruning import Pruner
from diffufix.propose.shown import fitted, own_test
from diffufix.propose.surroundings import beside
from diffufix.propose.window import MAX_WINDOW, window
from diffufix.source.spans import Text
from diffufix.types import Hole, Kind

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
SAMPLES = 4  # bodies of one batch, in place
MAX_TOKENS = 256  # of a body, in place
BEFORE, AFTER = 120, 40  # lines of the file around the function that a prompt shows


def whole_bodies(
    model: LoadedModel,
    body: Body,
    story: FailureContext,
    seed: int,
    watch: Watcher,
    busy: Callable[[], bool],
) -> Iterator[Proposal]:
    """Whole bodies, the likeliest first (appended) or the coolest samples first (in place)."""
    if model.family.appended:
        return _appended(model, body, watch, busy)
    return _in_place(model, body, story, seed, watch)


def _appended(
    model: LoadedModel, body: Body, watch: Watcher, busy: Callable[[], bool]
) -> Iterator[Proposal]:
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


def _in_place(
    model: LoadedModel, body: Body, story: FailureContext, seed: int, watch: Watcher
) -> Iterator[Proposal]:
    import torch

    left, right = prompt(model, body, story)
    canvas = inline_canvas(model, left, right, max_tokens=MAX_TOKENS)
    generator = torch.Generator().manual_seed(seed)
    temperature = 0.2

    def hook(step: int, rows: list[list[int]]) -> None:
        show(model, body, body.hole, rows[0], watch)

    def ended(ids: Sequence[int]) -> int | None:
        text = model.tokenizer.decode(ids).removeprefix(canvas.lead)
        end = end_of_body(text, body.indent)
        return None if end is None else _tokens_of(model, ids, len(canvas.lead) + end)

    while True:
        if model.family.variable_length:
            fills = infill(
                model, canvas, SAMPLES, temperature=temperature, top_p=0.95,
                max_tokens=MAX_TOKENS, generator=generator, hook=hook,
                refresh=REFRESH,
            )  # fmt: skip
        else:
            fills = blockwise(
                model, canvas, SAMPLES, ended, temperature=temperature, top_p=0.95,
                max_tokens=MAX_TOKENS, threshold=0.95, generator=generator, hook=hook,
                refresh=REFRESH,
            )  # fmt: skip
        for fill in sorted(fills, key=lambda f: -f.logp / max(1, len(f.ids))):
            text = fit(body.source, fill_text(model, canvas, fill))
            end = end_of_body(text, body.indent)
            text = (text if end is None else text[:end]).rstrip()
            yield Proposal(body, body.hole, text, fill, fill.logp / max(1, len(fill.trace)))
        temperature = min(1.0, temperature + 0.2)


def end_of_body(text: str, indent: str) -> int | None:
    """Where a body ends within `text`: at the first line that is indented less, or at a fence.

    None while it goes on.
    """
    at = 0
    for number, line in enumerate(Text(text).lines):
        stripped = line.strip()
        if stripped.startswith("```") or (number and stripped and not line.startswith(indent)):
            return len(text[:at].rstrip())
        at += len(line)
    return None


def _tokens_of(model: LoadedModel, ids: Sequence[int], characters: int) -> int:
    """The least number of tokens whose text has so many characters."""
    low, high = 0, len(ids)
    while low < high:
        middle = (low + high) // 2
        if len(model.tokenizer.decode(ids[:middle])) < characters:
            low = middle + 1
        else:
            high = middle
    return low


def prompt(model: LoadedModel, body: Body, story: FailureContext) -> tuple[str, str]:
    """What stands left and right of the hole for families that read prose."""
    source, hole = body.source, body.hole
    before, after = source[: hole.start], source[hole.end :]
    left = "".join(Text(before).lines[-BEFORE:])
    right = "".join(Text(after).lines[: AFTER + 1])
    return fitted(
        model.family,
        "generate",
        lambda text: len(model.tokenizer.encode(text)),
        room_of(model, MAX_TOKENS),
        path=body.suspect.path,
        function=body.qualname,
        left=left,
        right=right,
        test_source=own_test(story.test_source, story.test),
    )
