"""What a repair tells while it runs. A listener takes every `Event`; it must return quickly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from diffufix.types import SuspiciousFunction, TestRun

#: How a token that is still masked looks in `CanvasStep.canvas`.
MASK = "▒"


@dataclass(frozen=True)
class Stage:
    """A step that may take a while begins, e.g. "running the tests"."""

    text: str


@dataclass(frozen=True)
class Placed:
    """Where the tests run from now on; `enclosed`: in a sandbox from the first of them on."""

    kind: str  # docker, e2b, local
    python: str
    enclosed: bool


@dataclass(frozen=True)
class TestsRan:
    """The suite ran on the unchanged project."""

    __test__ = False

    run: TestRun


@dataclass(frozen=True)
class Localized:
    """The suspects, most suspicious first; with a title they are what that says."""

    suspects: tuple[SuspiciousFunction, ...]
    title: str = ""


@dataclass(frozen=True)
class ModelLoaded:
    name: str
    parameters: int
    seconds: float
    note: str = ""  # what was trained here is in use


@dataclass(frozen=True)
class HoleStarted:
    """Fills of a hole are sampled from now on; `text` is what stood there (may be empty)."""

    suspect: SuspiciousFunction
    line: int  # 1-based
    kind: str
    text: str


@dataclass(frozen=True)
class CanvasStep:
    """One sample being denoised: text left of the hole, the hole with masks as MASK, right."""

    left: str
    canvas: str
    right: str


@dataclass(frozen=True)
class Progress:
    """Counters so far; `best` says in words what the best candidate does ("fixes 1 of 3")."""

    tried: int
    generated: int
    per_second: float
    elapsed: float
    best: str = ""


@dataclass(frozen=True)
class Found:
    """A candidate passed the screening; it is not yet confirmed."""

    summary: str


@dataclass(frozen=True)
class Confirming:
    """The winner is run in a fresh process over the whole suite."""

    summary: str


@dataclass(frozen=True)
class Warned:
    """Something is less than it should be, and the repair goes on."""

    text: str


@dataclass(frozen=True)
class Finished:
    """Nothing follows; the result is on its way."""


Event = (
    Stage
    | Placed
    | TestsRan
    | Localized
    | ModelLoaded
    | HoleStarted
    | CanvasStep
    | Progress
    | Found
    | Confirming
    | Warned
    | Finished
)
Listener = Callable[[Event], None]
