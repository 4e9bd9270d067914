"""What a suite holds: `RepairCase` and `CodingProblem`. What came of one is a `Row`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: One line of a run's file; its keys are described in docs/evaluate.md.
Row = dict[str, Any]


@dataclass(frozen=True)
class RepairCase:
    """A project with a known fault.

    `lay` writes the faulty project into an empty folder. `fixed` is given that folder and maps the
    files of the publisher's fix to their whole texts. `tests` are arguments of pytest. `failing`
    are ids that the fix turns green; empty: whatever fails. `requirements` are to be in the
    environment of its tests; none: any interpreter with pytest will do. `python` is the version it
    needs, empty: any.
    """

    id: str
    lay: Callable[[Path], None]
    fixed: Callable[[Path], Mapping[str, str]]
    tests: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    pythonpath: tuple[str, ...] = ()
    python: str = ""
    kind: str = ""  # of fault, as the publisher calls it


@dataclass(frozen=True)
class CodingProblem:
    """Code to be written: what stands left and right of it, and programs that check it.

    `instruction` is what an instruct model is told where the publisher prescribes a text, else it
    is made of `left`. `stops` are texts at which a base model's completion ends. `checks` maps a
    level ("base", "plus") to what decides there. `solution` is the publisher's, in the place of the
    completion.
    """

    id: str
    left: str
    checks: Mapping[str, Check]
    entry_point: str
    solution: str
    right: str = ""
    instruction: str = ""
    stops: tuple[str, ...] = ()
    whole: bool = False  # the completion is a whole program, `left` is not part of it
    prelude: str = ""  # stands before every program
    shown: str = ""  # to a base model before `left`, and no part of the program


@dataclass(frozen=True)
class Check:
    """What decides on a program. Exactly one of the three kinds.

    "asserts": `code` runs after the program, in its names. "cases": the program's `entry_point` is
    called with each of `inputs` and must give what `reference` gives (EvalPlus). "unittest": `code`
    has the classes of a test suite (BigCodeBench).
    """

    kind: str
    code: str = ""
    reference: str = ""
    inputs: tuple[Any, ...] = ()
    tolerance: float = 0.0
    seconds: float = 10.0  # that the program may take at least
    rule: str = ""  # how results are compared, where equality is not it
