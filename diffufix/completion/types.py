"""What is asked of an engine and what it answers. Plain values, no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

#: Who says something in a conversation: system, user, assistant.
Speech = tuple[str, str]
#: (how many steps are over, the text so far with masks in it), for a display. Of one sample.
Watch = Callable[[int, str], None]


@dataclass(frozen=True)
class Ask:
    """Either a text to be gone on with (`left`), or a conversation to be answered (`turns`).

    `right` is what follows a hole; empty: the completion is the end. `begun` is how the assistant's
    answer begins; it is not part of the completion. At `stops` a left-to-right model may end.
    """

    left: str = ""
    right: str = ""
    turns: tuple[Speech, ...] = ()
    begun: str = ""
    stops: tuple[str, ...] = ()

    @property
    def infills(self) -> bool:
        return bool(self.right)


@dataclass(frozen=True)
class SamplingPlan:
    """How completions are drawn. `temperature` 0: greedy. A step of diffusion commits tokens."""

    temperature: float = 0.2
    top_p: float | None = 0.95
    max_tokens: int = 512
    tokens_per_step: int = 1
    alg: str = "entropy"
    seed: int = 0
    batch: int = 8  # samples denoised at once
    seconds: float = 30.0  # that a search may take for one ask

    def after(self, asks: int) -> SamplingPlan:
        """The same with the seed of a later ask."""
        return replace(self, seed=self.seed + asks)


@dataclass(frozen=True)
class Completed:
    """One completion. `order` are the positions of its tokens as they were committed, one a step;
    None where several were, or where there is no order. `forwards` counts passes of the model."""

    text: str
    tokens: int
    forwards: int
    order: tuple[int, ...] | None = None
    ended: bool = True  # of itself, not at the limit


class Completer(Protocol):
    """A model that completes text.

    `chats`: it answers conversations. `ordered`: its completions are the best, the second best, ...
    and never the same twice, instead of samples.
    """

    name: str
    weights: str  # a hash, empty where it is not known
    chats: bool
    ordered: bool

    def complete(
        self, ask: Ask, n: int, plan: SamplingPlan, watch: Watch | None = None
    ) -> Sequence[Completed]:
        """`n` completions; fewer where an `ordered` engine finds no more.

        Raises UsageError for an ask that it cannot answer.
        """
        ...

    def excess(self, ask: Ask, plan: SamplingPlan) -> int:
        """By how many tokens an ask is too long for the context; 0 or less: it fits."""
        ...

    def spent(self) -> Mapping[str, Any]:
        """What a server was asked so far (Spending.document); empty for a model of this machine."""
        ...
