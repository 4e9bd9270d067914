"""All checks in their order: `examine`. One check's failure keeps none of the others from it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

from diffufix.config import Settings
from diffufix.doctor import machine, sandboxes, speed, suite
from diffufix.doctor.check import Health, HealthCheck, tried
from diffufix.types import TestRun

Look = Callable[[Settings], HealthCheck]
_MACHINE: tuple[tuple[str, Look, Health], ...] = (
    ("diffufix", machine.python, Health.ERROR),
    ("torch", machine.torch, Health.ERROR),
    ("gpu", machine.gpu, Health.WARNING),
    ("models", machine.models, Health.ERROR),
    ("git", machine.git, Health.WARNING),
    ("interpreter", machine.interpreter, Health.ERROR),
)
_PLACES: tuple[tuple[str, Look], ...] = (
    ("bubblewrap", sandboxes.bubblewrap),
    ("container", sandboxes.container),
    ("e2b", sandboxes.e2b),
)


def examine(
    settings: Settings, quick: bool = False, tell: Callable[[str], None] = lambda name: None
) -> Iterator[HealthCheck]:
    """Each check as it is done; `tell` hears its name before. `quick`: no test is run and nothing
    is repaired."""
    for name, look, failed in _MACHINE:
        tell(name)
        yield tried(name, partial(look, settings), failed)
    places = []
    for name, place in _PLACES:
        tell(name)
        places.append(tried(name, partial(place, settings), Health.WARNING))
        yield places[-1]
    yield sandboxes.chosen(places, settings)
    if quick:
        return
    seen: list[TestRun | None] = [None]

    def inside() -> HealthCheck:
        check, seen[0] = suite.inside(settings)
        return check

    tell("suite in the sandbox")
    yield tried("suite in the sandbox", inside)
    tell("suite outside")
    yield tried("suite outside", lambda: suite.outside(settings, seen[0]), Health.WARNING)
    tell("a small repair")
    yield tried("a small repair", partial(speed.repair, settings))
