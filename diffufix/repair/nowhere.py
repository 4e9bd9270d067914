"""Why no function is a suspect, though tests fail: the reason that holds. Reads the project."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from diffufix.errors import ProjectError
from diffufix.localize.source import Source
from diffufix.localize.source import read_source as parsed
from diffufix.repair.reasons import NAMED, Reason
from diffufix.source.file import SourceFile
from diffufix.types import file_of_test
from diffufix.workspace.diagnosis import Diagnosis

_PROCESSES = re.compile(
    r"\b(subprocess|os\.system|Popen|multiprocessing|ProcessPoolExecutor|pexpect|os\.spawn\w*)\b"
)


def nowhere(diagnosis: Diagnosis, root: Path, only: str = "") -> Reason:
    """Failing tests lead to no function that may be edited: what stands in the way."""
    if only:
        return Reason(
            f"No failing test executes `{only}`.",
            "Without --function, diffufix finds the suspects by itself.",
        )
    red, run = diagnosis.red, diagnosis.run
    executed = {path for test in red for path in run.coverage.get(test, {})}
    executed |= {f.path for case in run.red if case.id in {*red} for f in case.frames}
    code = sorted(path for path in executed if path not in diagnosis.tests)
    unread = [path for path in code if (root / path).is_file() and parsed(root / path) is None]
    if unread:
        return Reason(
            f"{_named(unread)} cannot be parsed by the Python that diffufix runs on "
            f"({sys.version_info[0]}.{sys.version_info[1]}), so nothing in it can be edited.",
            "If the project is written for a newer Python, install diffufix there.",
        )
    both = sorted({path for test in red if (path := file_of_test(test)) and _holds(
        root / path, run.coverage.get(test, {}).get(path, frozenset()))})  # fmt: skip
    if not code and both:
        return Reason(
            f"{_named(both)} holds the tests and the code that they test, and a file that holds "
            "tests is never edited.",
            f"Move the tests into a file of their own, such as test_{Path(both[0]).name}.",
        )
    if any(_PROCESSES.search(text) for text in _texts(root, red)):
        return Reason(
            "The failing tests start other processes, and run no code of this project themselves: "
            "what runs there is not seen.",
            "Add a test that calls the code directly.",
        )
    return Reason(
        "No failing test executes code of this project that could be repaired.",
        "Is the fault in the tests, in a fixture or in an installed package?",
    )


def _holds(path: Path, lines: frozenset[int]) -> bool:
    """Whether the executed lines are in a function that is no test and no fixture."""
    source: Source | None = parsed(path) if path.suffix == ".py" else None
    if source is None:
        return False
    text = path.read_text(encoding="utf-8", errors="replace").split("\n")
    for function in source.functions:
        last = function.qualname.rpartition(".")[2]
        head = "\n".join(text[function.first_line - 1 : function.header_end])
        helps = last.lower().startswith(("test", "setup", "teardown")) or "fixture" in head
        inside = range(function.header_end + 1, function.last_line + 1)
        if not helps and "Test" not in function.qualname and lines.intersection(inside):
            return True
    return False


def _texts(root: Path, tests: tuple[str, ...]) -> Iterator[str]:
    for path in sorted({file for test in tests if (file := file_of_test(test))}):
        try:
            yield SourceFile.read(root / path).text
        except ProjectError:
            continue


def _named(paths: list[str]) -> str:
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return ", ".join(paths[:NAMED]) + more
