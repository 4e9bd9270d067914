"""What goes into the sampler and what comes out. Ids only, no text, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol


@dataclass(frozen=True)
class Canvas:
    """Token ids around one hole.

    `original` is what the hole held before it was masked, where that is known: it hints at the
    length, and conditions the models that are shown it. `lead` is text that stood at the end of
    the left context and belongs to the hole's first token now: every fill is to spell it again.
    """

    left: tuple[int, ...]
    right: tuple[int, ...]
    original: tuple[int, ...] = ()
    lead: str = ""


@dataclass(frozen=True)
class Commit:
    """One decision of the decoding loop: at this step this id went to this place of the hole.

    `position` counts in the hole as it was before the step's splices; `logp` is the model's
    natural log-probability of the id among the ids allowed there (temperature 1, not truncated).
    """

    step: int
    position: int
    token: int
    logp: float


@dataclass(frozen=True)
class Fill:
    """What the sampler put into a hole.

    `ids` are the hole's tokens without masks, `<expand>` and `<delete>`; `logps` and `order` run
    along them: each token's log-probability when it was committed, and how many commits came
    before it. `trace` has every commit, deletions and expansions included; `logp` is its sum.
    `steps` counts forward passes.
    """

    ids: tuple[int, ...]
    logps: tuple[float, ...]
    order: tuple[int, ...]
    logp: float
    steps: int
    trace: tuple[Commit, ...] = ()


#: A hole that is asked about, masks included, and the index of its prompt.
Asked = tuple[int, Sequence[int]]


class PromptLike(Protocol):
    """`store.groups.Prompt`, as far as the sampler knows it."""

    @property
    def left(self) -> tuple[int, ...]: ...
    @property
    def right(self) -> tuple[int, ...]: ...
    @property
    def original(self) -> tuple[int, ...]: ...
    @property
    def width(self) -> int: ...
    @property
    def gap(self) -> bool: ...
    @property
    def failure(self) -> tuple[int, ...]: ...


class NoiseLike(Protocol):
    """`store.groups.Noise`: M masks and weights of C places, and the seed of hidden prompt ids."""

    @property
    def masks(self) -> tuple[tuple[bool, ...], ...]: ...
    @property
    def weights(self) -> tuple[tuple[float, ...], ...]: ...
    @property
    def prompt_seed(self) -> int | None: ...


class Draw(NamedTuple):
    """What estimators.py draws; `Noise(*draw)` is what the log keeps."""

    masks: tuple[tuple[bool, ...], ...]
    weights: tuple[tuple[float, ...], ...]
    prompt_seed: int | None = None
