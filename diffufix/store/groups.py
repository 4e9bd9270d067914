"""What a model learns from: groups of completions of one task, with what the tests said of them.

Plain values, no torch: `repair` and self-play make groups, the store keeps them, train/ reads them.
A completion has `width` ids: what the model put on a canvas of that many masks. Where a family has
`<delete>`, an unwanted place holds that id, always behind the others; elsewhere it holds `pad`.
Lengths: C = width, M = passes of the estimator.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Task:
    """One hole in one version of one file, and the tests that grade what is put there.

    `source` is the whole file as it stands with its fault; [start, end) (characters) is masked.
    """

    key: str  # the same for the same source, hole, `shown` and tests
    path: str
    qualname: str
    source: str
    start: int
    end: int
    kind: str  # of hole: masking.types.Kind
    origin: str  # repair, generate, mutant, history, wrong-fill, masked
    tests: tuple[str, ...]
    shown: bool = True  # whether the model is shown what stood in the hole
    answer: str | None = None  # a text known to pass; never shown to the model
    failing: tuple[str, ...] = ()  # those of the tests that fail on `source` as it stands
    said: str = ""  # what the first of those says (repair/failure.py)


@dataclass(frozen=True)
class Prompt:
    """What the model saw: ids on both sides of the hole, those of what was there, the width C.

    `gap` (layout "aside" only): something was there that is not shown, so the family's `gap` id
    stands in its place. Without `gap`, no `original` means an insertion between two tokens.
    """

    left: tuple[int, ...]
    right: tuple[int, ...]
    original: tuple[int, ...]
    width: int
    lead: str = ""
    gap: bool = False
    failure: tuple[int, ...] = ()  # behind the context: what a failing test said


@dataclass(frozen=True)
class Noise:
    """One draw of an estimator: l_i = sum over m of weights[m][i] * log p(y_i | y with masks[m]).

    `masks` and `weights` are M lists of C values; a weight is 0 where the mask is not set.
    """

    masks: tuple[tuple[bool, ...], ...]
    weights: tuple[tuple[float, ...], ...]
    prompt_seed: int | None = None  # d1 hides prompt tokens too; None: nothing is hidden


@dataclass(frozen=True)
class Completion:
    """One sample of the policy and its verdict.

    `behaviour[d]` are the C weighted log-likelihoods l_i (nats, at the sampling temperature) under
    `noise[d]`, as the policy that sampled it gave them; one draw d for each inner iteration.
    `reward` is None where the infrastructure failed: such a group is not learned from.
    """

    ids: tuple[int, ...]
    text: str
    state: str  # verify.types.State
    reward: float | None
    parts: Mapping[str, float] = field(default_factory=dict)  # reward function -> value
    noise: tuple[Noise, ...] = ()
    behaviour: tuple[tuple[float, ...], ...] = ()
    seconds: float = 0.0
    steps: int = 0  # forward passes of the sampler
    order: tuple[int, ...] = ()  # per id: how many commits came before its own


@dataclass(frozen=True)
class Group:
    """G completions of one task, all of those that were sampled."""

    task: Task
    prompt: Prompt
    completions: tuple[Completion, ...]
    model: str  # fingerprint of the weights that sampled, adapter included
    estimator: str  # train/estimators.py: coupled, d1, full, decoupled, count; empty: none
    sampling: Mapping[str, float | str | int | None] = field(default_factory=dict)
    made_at: float = 0.0  # seconds since the epoch

    @property
    def rewards(self) -> tuple[float, ...] | None:
        """The rewards; None if one is missing."""
        found = tuple(c.reward for c in self.completions if c.reward is not None)
        return found if len(found) == len(self.completions) else None

    @property
    def has_signal(self) -> bool:
        """Whether the rewards differ."""
        return self.rewards is not None and len(set(self.rewards)) > 1
