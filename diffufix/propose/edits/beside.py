"""Known edits as proposals beside the model's own fills: `Beside`. Uses the model to rank them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from diffufix.decode.aside import logits
from diffufix.decode.threads import Threads
from diffufix.model.checkpoint import LoadedModel
from diffufix.propose.candidates import EditTarget
from diffufix.propose.edits.features import words_of
from diffufix.propose.edits.known import KnownEdits, Tried
from diffufix.propose.edits.score import Look, Scorer
from diffufix.propose.proposals import RANK, FailureContext, Proposal, cost_of, failure_ids, fit
from diffufix.propose.shown import own_test
from diffufix.source.edits import Edit
from diffufix.types import Fill, Hole, Verdict


class Beside(Iterator[Proposal]):
    """Proposals of edits that are known, the likeliest first; `others` are texts to take from."""

    def __init__(
        self,
        model: LoadedModel,
        subjects: Sequence[EditTarget],
        story: FailureContext,
        busy: Callable[[], bool],
        others: Mapping[str, str],
    ) -> None:
        self._model, self._story = model, story
        self._top = max((s.suspect.score for s in subjects), default=1.0)
        self._ranks = {id(subject): rank for rank, subject in enumerate(subjects)}
        self._scorers: dict[EditTarget, Scorer] = {}
        self._answer = Threads(busy).around(logits)
        told = words_of(own_test(story.test_source, story.test) + "\n" + story.message)
        self._edits = KnownEdits(subjects, self._cost, self._looks, others, told)

    def __next__(self) -> Proposal:
        each = next(self._edits)
        text = fit(each.subject.source, each.text)
        ids = tuple(self._model.tokenizer.encode(text))
        fill = Fill(ids, (0.0,) * len(ids), tuple(range(len(ids))), each.score, 0)
        return Proposal(each.subject, each.hole, text, fill, each.score)

    def hear(self, proposal: Tried, verdict: Verdict) -> None:
        """What became of a proposal, one of these or of the model's own."""
        self._edits.hear(proposal, verdict)

    def _cost(self, subject: EditTarget, hole: Hole) -> float:
        return cost_of(subject.suspect, hole, self._top) + RANK * self._ranks[id(subject)]

    def _looks(self, subject: EditTarget, edits: Sequence[Edit]) -> list[Look | None]:
        if subject not in self._scorers:
            failure = failure_ids(self._model, self._story, subject)
            assert subject.node is not None
            self._scorers[subject] = Scorer(
                self._model, subject.source, subject.node, failure, self._answer
            )
        return self._scorers[subject].looks(edits)
