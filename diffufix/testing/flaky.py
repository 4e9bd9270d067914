"""Tests that do not say the same thing twice; pure."""

from __future__ import annotations

from diffufix.types import FAILED, TestRun


def flaky(first: TestRun, second: TestRun) -> tuple[str, ...]:
    """Ids whose outcome differs between two runs of the same code, or that only one of them had.

    Failures and errors are alike."""
    before = {case.id: FAILED if case.red else case.outcome for case in first.cases}
    after = {case.id: FAILED if case.red else case.outcome for case in second.cases}
    ids = dict.fromkeys([*before, *after])
    return tuple(id for id in ids if before.get(id) != after.get(id))
