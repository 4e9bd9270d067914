"""The reader of BigCodeBench (Zhuo et al., 2024): functions with many library calls, unittest
suites.

The whole set and the hard one have the same format. "Complete" shows a signature with a docstring,
"instruct" a sentence. Raises UsageError.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from diffufix.errors import UsageError
from diffufix.evaluation.suites.coding import STOPS
from diffufix.evaluation.suites.fields import lines_of, need
from diffufix.evaluation.suites.repairs import defines
from diffufix.evaluation.types import Check, CodingProblem

SECONDS = 240.0  # that its own harness allows


def bigcodebench(path: Path, *, instruct: bool) -> Iterator[CodingProblem]:
    for where, raw in lines_of(path):
        names = ("task_id", "complete_prompt", "instruct_prompt", "canonical_solution", "test")
        text = {
            name: need(raw, name, str, where) for name in (*names, "entry_point", "code_prompt")
        }
        left, entry = text["complete_prompt"], text["entry_point"]
        if not defines(left + text["canonical_solution"], entry):
            raise UsageError(
                f"{where}: the publisher's solution does not define {entry!r}.",
                "Is the file complete, and of this benchmark?",
            )
        # "Calibrated": the imports and signature stand before every answer, which may lack them.
        yield CodingProblem(
            text["task_id"],
            left,
            {"base": Check("unittest", code=text["test"], seconds=SECONDS)},
            entry,
            text["canonical_solution"],
            instruction=text["instruct_prompt"] if instruct else "",
            stops=STOPS,
            prelude=text["code_prompt"] + "\n    pass\n",
        )


complete, instruct = partial(bigcodebench, instruct=False), partial(bigcodebench, instruct=True)
