"""Passing tests that a change of a function must leave green. Reads one run's coverage."""

from __future__ import annotations

from diffufix.types import SuspiciousFunction, TestRun

COVERING = 1.0  # seconds of passing tests that screening runs beside the failing ones


def covering(run: TestRun, suspect: SuspiciousFunction) -> tuple[str, ...]:
    """Passing tests that execute the suspect's lines: the quickest, COVERING seconds of them."""
    lines = range(suspect.first_line, suspect.last_line + 1)
    found = []
    for case in run.green:
        executed = run.coverage.get(case.id, {}).get(suspect.path, frozenset())
        if any(line in executed for line in lines):
            found.append((case.seconds, case.id))
    chosen, total = [], 0.0
    for seconds, id_ in sorted(found):
        total += seconds
        if total > COVERING:
            break
        chosen.append(id_)
    return tuple(chosen)
