"""`LogitBias`: what a model answers, leaned towards ids that are likely for reasons it cannot know.

A mixture (as of pointer networks): a share of the probability at a mask goes to given ids, the
rest stays as the model has it. What the model is sure of keeps its rank; what it has hardly an
opinion about is found among a few ids instead of thousands. N masked positions of all holes
together, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from diffufix.decode.aside import Asked, logits

#: For one mask: ids and their shares of the probability, which sum to less than 1.
Hint = Sequence[tuple[int, float]]


class LogitBias:
    """An `answer` for `BestFirst`: log-probabilities [N, V] instead of logits.

    `hints` gives the hint for every mask of a hole, left to right.
    """

    def __init__(
        self,
        hints: Callable[[Sequence[int]], Sequence[Hint]],
        answer: Callable[[Sequence[Asked]], Tensor] = logits,
    ) -> None:
        self._hints, self._answer = hints, answer

    def __call__(self, asked: Sequence[Asked]) -> Tensor:
        logits_NV = self._answer(asked).float()
        logits_NV[:, list(asked[0].context.banned)] = -torch.inf
        hints = [hint for each in asked for hint in self._hints(each.hole)]
        return leaned(logits_NV.log_softmax(-1), hints)


def leaned(logps_NV: Tensor, hints: Sequence[Hint]) -> Tensor:
    """Log-probabilities [N, V], mixed with one hint for each row; rows still sum to 1."""
    rest = [math.log1p(-sum(share for _, share in hint)) for hint in hints]
    mixed_NV = logps_NV + torch.tensor(rest, device=logps_NV.device)[:, None]
    rows = [n for n, hint in enumerate(hints) for _ in hint]
    if not rows:
        return mixed_NV
    ids = [token for hint in hints for token, _ in hint]
    shares = torch.tensor([share for hint in hints for _, share in hint], device=logps_NV.device)
    mixed_NV[rows, ids] = torch.logaddexp(mixed_NV[rows, ids], shares.log())
    return mixed_NV
