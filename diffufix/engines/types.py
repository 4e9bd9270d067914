"""What an engine is asked and what it answers. Text only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class FillRequest:
    """A hole between two texts, and how its fills are drawn."""

    left: str
    right: str
    max_tokens: int = 64
    temperature: float = 0.2
    seed: int = 0
    stop: tuple[str, ...] = ()
    count: int = 1  # fills; an engine may give fewer


@dataclass(frozen=True)
class EngineFill:
    """A text for the hole. `logp` (nats) of all its tokens, None where the engine does not say."""

    text: str
    logp: float | None = None
    tokens: int = 0


@dataclass(frozen=True)
class Usage:
    """Tokens that a request was counted as; None: the server does not say."""

    prompt: int | None = None
    completion: int | None = None


@dataclass
class Spending:
    """What an engine has taken so far."""

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    dollars: float = 0.0
    priced: bool = False

    def document(self) -> dict[str, Any]:
        values = asdict(self)
        if not values.pop("priced"):
            del values["dollars"]
        return values


class EngineStopped(Exception):
    """An engine gives no more fills in this run; its text says why, in one line."""


class Engine(Protocol):
    """A model behind a server, or an autoregressive one on this machine."""

    name: str  # as --model names it
    note: str  # what its probe could not make sure; empty: nothing
    at_once: int  # requests that it is given at the same time
    room: int  # tokens of both texts together

    @property
    def spending(self) -> Spending: ...

    def fill(self, request: FillRequest) -> list[EngineFill]:
        """Fills, of which there may be fewer than asked for. Raises EngineStopped."""
        ...

    def close(self) -> None:
        """Give up what is under way."""
        ...


@dataclass(frozen=True)
class EngineOnly:
    """Stands where the local model of a run stands, in a run that has engines alone."""

    name: str
    fingerprint: str = ""
    adapter: None = None

    def parameters(self) -> tuple[()]:
        return ()
