"""`Proposal`: a fill as text. What a hole costs before it is filled, and what is shown of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from diffufix.events import MASK
from diffufix.propose.candidates import EditTarget
from diffufix.propose.failure import failure_text
from diffufix.propose.surroundings import FileOutline, beside
from diffufix.types import Fill, Hole, SuspiciousFunction

if TYPE_CHECKING:
    from diffufix.model.checkpoint import LoadedModel

LINE_WEIGHT = 1.0  # nats per e-fold of a line's suspiciousness
SUSPECT_WEIGHT = 1.0  # and of a function's odds
FAR = 6.0  # nats for lines that no failing test executes


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
    around: FileOutline | None = None  # of the function, where its file does not say it


#: (subject, hole, text left of it, the hole with masks, text right of it) for a live display.
Watcher = Callable[[EditTarget, Hole, str, str, str], None]


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
    """Nats that a hole starts behind with: less suspicious functions and lines come later.

    `top` is the score of the most suspicious function.
    """
    function = SUSPECT_WEIGHT * (_logit(top) - _logit(suspect.score))
    highest = max(suspect.lines.values(), default=0.0)
    if not highest:
        return function
    share = hole.suspicion / highest
    return function + min(FAR, LINE_WEIGHT * -math.log(max(share, 1e-4)))


def _logit(score: float) -> float:
    sure = min(max(score, 1e-3), 1 - 1e-3)
    return math.log(sure / (1 - sure))


def fit(source: str, text: str) -> str:
    """The fill with the line ends of the file `source`."""
    return text.replace("\r\n", "\n").replace("\n", "\r\n") if "\r\n" in source else text


def failure_ids(model: LoadedModel, story: FailureContext, subject: EditTarget) -> tuple[int, ...]:
    """What the model is shown behind the function: the failure, and what stands around it."""
    told = story.told
    if not told and story.message:
        qualname = subject.suspect.qualname
        told = failure_text(story.message, story.test, story.test_source, qualname)
    return beside(
        model.tokenizer, model.family, subject.source, subject.node, told, story.around
    )  # fmt: skip


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
