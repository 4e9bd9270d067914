"""What the decoder asks for, seen from outside. Ids only, no text, no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

#: A hole that is asked about, masks included, and the index of its prompt.
Asked = tuple[int, Sequence[int]]


class PromptLike(Protocol):
    """`types.Prompt`, as far as the decoder knows it."""

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
    """`types.Noise`: M masks and weights of C places, and the seed of hidden prompt ids."""

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
