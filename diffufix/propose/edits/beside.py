"""Known edits as proposals beside the model's own fills: `Beside`."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from diffufix.model.checkpoint import LoadedModel
from diffufix.propose.candidates import EditTarget
from diffufix.propose.edits.features import words_of
from diffufix.propose.edits.known import KnownEdits, Tried
from diffufix.propose.proposals import FailureContext, Proposal, cost_of, fit
from diffufix.propose.shown import own_test
from diffufix.types import Fill, Hole, Verdict


class Beside(Iterator[Proposal]):
    """Proposals of edits that are known, the likeliest first; `others` are texts to take from,
    `targets` the tests that are to pass."""

    def __init__(
        self,
        model: LoadedModel,
        subjects: Sequence[EditTarget],
        story: FailureContext,
        others: Mapping[str, str],
        targets: Collection[str] = (),
    ) -> None:
        self._model = model
        self._top = max((s.suspect.score for s in subjects), default=1.0)
        told = words_of(own_test(story.test_source, story.test) + "\n" + story.message)
        self._edits = KnownEdits(subjects, self._cost, others, told, targets)

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
        return cost_of(subject.suspect, hole, self._top)
