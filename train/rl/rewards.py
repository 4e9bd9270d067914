"""What a verdict is worth: reward functions as plain callables, and their weighted sum.

A reward function takes a verdict and the edit that it is about and gives a number, or None where
nothing can be said of it. Four come with diffufix; settings add others (`module:function`), which
run in diffufix's own process, never in the project's sandbox. Pure but for importing those.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from diffufix.errors import UsageError
from diffufix.source.difference import edit_size
from diffufix.source.names import GIVEN, bound, imports_everything, loaded
from diffufix.source.syntax import parse
from diffufix.types import PASSED, RED, EditedFile, State, Verdict

Function = Callable[[Verdict, EditedFile], float | None]

PARTIAL = 0.5  # at most, for some of the failing tests turned green and the others kept so
STRANGE = 0.5  # of the static reward is left where a name is used that nothing defines
HALF_SIZE = 8  # tokens of an edit that gets half of the reward for small ones


def tests(verdict: Verdict, edit: EditedFile) -> float | None:
    """1 for a pass; for some of what was wanted up to PARTIAL; 0 else and for what was suspicious.

    What counts is the share of the failing tests that turned green (of all tests, where it is not
    known which failed), times the share of the others that still are. Tests that did not run
    count as red.
    """
    if verdict.state is State.PASS:
        return 1.0
    if verdict.state is State.SUSPICIOUS or not edit.tests:
        return 0.0
    failing = set(edit.failing) or set(edit.tests)
    others = set(edit.tests) - failing
    mended = sum(verdict.outcomes.get(test) == PASSED for test in failing) / len(failing)
    kept = sum(test in verdict.outcomes and verdict.outcomes[test] not in RED for test in others)
    return PARTIAL * mended * (kept / len(others) if others else 1.0)


def static(verdict: Verdict, edit: EditedFile) -> float | None:
    """1 for a file that parses and uses no name that nothing defines, STRANGE where it uses one
    that the original did not, 0 where it does not parse."""
    names = _names(edit.new)
    if names is None:
        return 0.0
    if names.open:
        return 1.0
    before = _names(edit.original)
    known = GIVEN | names.bound | (before.loaded if before else frozenset())
    return STRANGE if names.loaded - known else 1.0


def size(verdict: Verdict, edit: EditedFile) -> float | None:
    """For what passes: 1 for no change, 1/2 for HALF_SIZE tokens removed and added, less for more;
    0 for what does not pass, since changing nothing is no merit there."""
    if verdict.state is not State.PASS:
        return 0.0
    return 1 / (1 + edit_size(edit.original, edit.new) / HALF_SIZE)


def honest(verdict: Verdict, edit: EditedFile) -> float | None:
    """-1 for what is green, or wants to be, by other means than a repair; else 0."""
    return -1.0 if verdict.state is State.SUSPICIOUS else 0.0


@dataclass(frozen=True)
class Weighted:
    """A reward function under its name, and what its value is multiplied by."""

    name: str
    function: Function
    weight: float


#: What a reward is made of. A pass outweighs everything else together; being suspicious costs more
#: than any attempt can gain without passing.
DEFAULT: tuple[Weighted, ...] = (
    Weighted("tests", tests, 1.0),
    Weighted("static", static, 0.1),
    Weighted("size", size, 0.1),
    Weighted("honest", honest, 1.0),
)


def reward(
    verdict: Verdict, edit: EditedFile, functions: tuple[Weighted, ...] = DEFAULT
) -> tuple[float | None, Mapping[str, float]]:
    """The weighted sum and the values it is made of, by name.

    The sum is None for what the infrastructure did, and where a function says None (the values of
    the others are still given). Raises UsageError where a function fails or gives no number.
    """
    if verdict.state is State.INFRA:
        return None, {}
    total, whole, parts = 0.0, True, {}
    for item in functions:
        value = _call(item, verdict, edit)
        if value is None:
            whole = False
            continue
        parts[item.name] = value
        total += item.weight * value
    return (round(total, 6) if whole else None), parts


def reward_functions(setting: str) -> tuple[Weighted, ...]:
    """The functions that the setting `rewards` asks for: DEFAULT, changed and added to.

    `setting` is a list with commas: `size=0` leaves one out, `static=0.3` weighs it differently,
    `package.module:function` or `package.module:function=0.5` adds one (weight 1 if none is
    given). Modules are imported as diffufix's own are, not from the project. Raises UsageError.
    """
    chosen = {item.name: item for item in DEFAULT}
    for part in filter(None, (piece.strip() for piece in setting.split(","))):
        name, _, number = (piece.strip() for piece in part.partition("="))
        weight = _weight(part, number) if number or "=" in part else None
        if ":" in name:
            chosen[name] = Weighted(name, _load(name), 1.0 if weight is None else weight)
        elif name in chosen:
            known = chosen[name]
            chosen[name] = Weighted(
                name, known.function, known.weight if weight is None else weight
            )
        else:
            raise UsageError(
                f"There is no reward function {name!r}.",
                f"There are {', '.join(chosen)}; your own are named `module:function`.",
            )
    return tuple(item for item in chosen.values() if item.weight)


# -- parts -----------------------------------------------------------------------------------------


def _call(item: Weighted, verdict: Verdict, edit: EditedFile) -> float | None:
    try:
        value = item.function(verdict, edit)
    except Exception as error:
        raise UsageError(
            f"The reward function {item.name} failed: {type(error).__name__}: {error}",
            "It is called with a Verdict and an Edit (diffufix/types.py).",
        ) from error
    if value is None:
        return None
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(
            f"The reward function {item.name} gave {value!r}.", "It must give a number or None."
        )
    return float(value)


def _weight(part: str, number: str) -> float:
    try:
        weight = float(number)
    except ValueError:
        weight = math.nan
    if not math.isfinite(weight):
        raise UsageError(f"`{part}` in the setting `rewards` has no weight.", "Write name=number.")
    return weight


def _load(name: str) -> Function:
    module, _, attribute = name.partition(":")
    try:
        function = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(
            f"The reward function {name} cannot be imported: {error}",
            "Install its module beside diffufix, or put its folder on PYTHONPATH.",
        ) from error
    if not callable(function):
        raise UsageError(f"{name} is no function.", "Name one that takes a Verdict and an Edit.")
    return function


@dataclass(frozen=True)
class _Names:
    loaded: frozenset[str]
    bound: frozenset[str]
    open: bool  # names may come from where nothing is known


@lru_cache(maxsize=256)
def _names(source: str) -> _Names | None:
    """The names of a file; None if it does not parse."""
    try:
        tree = parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    return _Names(frozenset(loaded(tree)), frozenset(bound(tree)), imports_everything(tree))
