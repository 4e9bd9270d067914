"""Proposals for a body: whole ones first, then what the examples refused is mended.

Whole bodies come from the model's first look at the hole. Of those that were tried, the ones that
satisfy most examples become drafts, and a draft is searched just as `repair` searches a faulty
function: holes on the lines that the failing examples execute, fine to coarse. What that yields
may become a draft in turn. Streams of whole bodies and of drafts share the time by their worth.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from diffufix.generate.body import Body, Draft
from diffufix.propose.proposals import Proposal
from diffufix.types import State, Verdict

OPEN = 4  # drafts searched at the same time
QUOTA = 240  # proposals of a draft before the next one has its turn
WHOLE = 1.0  # weight of whole bodies in the sharing; a draft's is between 0 and 2


@dataclass
class _PacedProposals:
    """Proposals of one kind; `pace` is what it has used of its share."""

    proposals: Iterator[Proposal]
    weight: float
    worth: tuple[float, ...] = ()
    pace: float = 0.0
    taken: int = 0


@dataclass(order=True)
class _Waiting:
    worth: tuple[float, ...]
    text: str = field(compare=False)


class Bodies:
    """An iterator of proposals that learns from what became of them (`hear`).

    `whole` yields proposals of whole bodies; `mend` makes the proposals for a draft.
    """

    def __init__(
        self,
        body: Body,
        whole: Iterator[Proposal],
        mend: Callable[[Draft], Iterator[Proposal]],
        lines: Callable[[Draft, Verdict], dict[int, float] | None] = lambda draft, verdict: None,
        first: int = 0,
    ) -> None:
        """Drafts that pass no example wait for `first` whole bodies: where these are cheap."""
        self.body, self.mend, self.lines = body, mend, lines
        self._whole = _PacedProposals(whole, WHOLE)
        self._first = first
        self._drafts: list[_PacedProposals] = []
        self._waiting: list[_Waiting] = []
        self._verdicts: dict[str, Verdict] = {}
        self._opened: set[str] = set()
        self._exhausted = False
        self._order = itertools.count()

    def __iter__(self) -> Iterator[Proposal]:
        return self

    def __next__(self) -> Proposal:
        while True:
            self._open()
            streams = [*([] if self._exhausted else [self._whole]), *self._drafts]
            if not streams:
                raise StopIteration
            stream = min(streams, key=lambda s: s.pace)
            proposal = next(stream.proposals, None)
            if proposal is None or (stream is not self._whole and stream.taken >= QUOTA):
                self._close(stream)
                if proposal is None:
                    continue
            assert proposal is not None
            stream.taken += 1
            stream.pace += 1.0 / stream.weight
            return proposal

    def hear(self, proposal: Proposal, verdict: Verdict) -> None:
        """A body that failed by what it returned, or ran at least, may be worth mending."""
        if verdict.state not in (State.FAIL, State.TIMEOUT):
            return
        text = self._text(proposal)
        if text is None or text in self._opened:
            return
        passed = sum(outcome == "passed" for outcome in verdict.outcomes.values())
        wrong = verdict.state is State.FAIL and not _crashed(verdict.detail)
        score = proposal.score + (self._parent_score(proposal) if passed == 0 else 0.0)
        worth = (float(passed), float(wrong), score, -float(next(self._order)))
        self._waiting.append(_Waiting(worth, text))
        self._waiting.sort(reverse=True)
        del self._waiting[64:]
        self._verdicts = {w.text: self._verdicts.get(w.text, verdict) for w in self._waiting}

    def _parent_score(self, proposal: Proposal) -> float:
        return -2.0 if isinstance(proposal.subject, Draft) else 0.0

    def _text(self, proposal: Proposal) -> str | None:
        subject, hole = proposal.subject, proposal.hole
        if subject is self.body:
            return proposal.text
        if isinstance(subject, Draft):
            source = subject.source
            return (
                source[subject.begin : hole.start] + proposal.text + source[hole.end : subject.stop]
            )
        return None

    def _open(self) -> None:
        """Take up the best draft that waits, where there is room or it beats what is open."""
        while self._waiting:
            best = self._waiting[0]
            if not best.worth[0] and self._whole.taken < self._first and not self._exhausted:
                return
            if len(self._drafts) >= OPEN:
                worst = min(self._drafts, key=lambda s: s.worth[:2])
                if worst.worth[:2] >= best.worth[:2]:
                    return
                self._drafts.remove(worst)
            self._waiting.pop(0)
            if best.text in self._opened:
                continue
            self._opened.add(best.text)
            try:
                draft = Draft(self.body, best.text)
                lines = self.lines(draft, self._verdicts[best.text])
                if lines:
                    draft = Draft(self.body, best.text, lines)
            except SyntaxError:
                continue
            stream = _PacedProposals(
                self.mend(draft), 0.4 + min(1.6, 0.8 * best.worth[0]), best.worth
            )
            stream.pace = self._whole.pace
            self._drafts.append(stream)

    def _close(self, stream: _PacedProposals) -> None:
        if stream is self._whole:
            self._exhausted = True
        else:
            self._drafts.remove(stream)


def _crashed(detail: str) -> bool:
    """Did the code itself raise? What an example says of a wrong value is an AssertionError."""
    message = detail.partition(": ")[2]
    return not message.startswith(("AssertionError", "Failed", "assert")) or any(
        f"AssertionError: {name}" in message
        for name in ("TypeError", "NameError", "AttributeError", "UnboundLocalError")
    )
