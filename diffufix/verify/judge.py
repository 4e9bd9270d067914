"""The rules by which a report of the fork server becomes a `Verdict`; touches nothing.

Pass needs: the END record with the nonce, exactly the expected ids in order, each with its
required outcome, exit status 0, the sentinel failed, the tree put back, and nothing suspicious
in the text. Everything else says why not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from diffufix.testing.types import RED
from diffufix.verify.static import forbidden
from diffufix.verify.types import State, Verdict

Report = Mapping[str, Any]


def judge(report: Report, tests: Sequence[str], required: Sequence[str], seconds: float) -> Verdict:
    """The verdict on one report, before the static screen."""
    seen = [(str(outcome), str(message)) for outcome, message in report["outcomes"]]
    outcomes = {test: outcome for test, (outcome, _) in zip(tests, seen, strict=False)}

    def verdict(state: State, detail: str) -> Verdict:
        return Verdict(state, outcomes, seconds, " ".join(detail.split())[:400])

    if len(seen) > len(tests):
        return verdict(State.SUSPICIOUS, "more tests were reported than asked for")
    for test, (outcome, message), wanted in zip(tests, seen, required, strict=False):
        if outcome in RED and wanted not in RED:
            return verdict(State.FAIL, f"{test}: {message}")
        if outcome != wanted:
            return verdict(State.SUSPICIOUS, f"{test} was {outcome}, not {wanted}")
    at = tests[min(len(seen), len(tests) - 1)] if tests else ""
    if report.get("timeout"):
        where = at if report.get("ready") else "the import"
        if report.get("ready") and len(seen) < len(tests):
            outcomes[at] = "failed"
        return verdict(State.TIMEOUT, f"{where} did not end in time")
    if "error" in report:
        return verdict(State.ERROR, str(report["error"]))
    if "quit" in report:
        return verdict(State.SUSPICIOUS, f"{at}: ended pytest itself ({report['quit']})")
    if not report.get("ended"):
        return _vanished(verdict, report, at, outcomes)
    if report["status"] != 0:
        return verdict(State.SUSPICIOUS, f"exit status {report['status']} after the last test")
    if len(seen) != len(tests):
        return verdict(State.SUSPICIOUS, "fewer tests were reported than asked for")
    if report.get("sentinel") != "failed":
        return verdict(State.SUSPICIOUS, "a test that must fail did not")
    rewritten = [reason for path in report.get("touched", ()) if (reason := forbidden(path))]
    if rewritten:
        return verdict(State.SUSPICIOUS, f"the tests changed files: {rewritten[0]}")
    return verdict(State.PASS, "")


def _vanished(verdict: Any, report: Report, at: str, outcomes: dict[str, str]) -> Verdict:
    """No END record: a crash is an honest failure, a tidy exit in mid-test is not."""
    status = int(report["status"])
    if not report.get("ready"):
        return verdict(State.ERROR, f"the import ended the process (status {status})")
    if status == 0:
        return verdict(State.SUSPICIOUS, f"{at} ended the process with status 0")
    if at and at not in outcomes:
        outcomes[at] = "failed"
    return verdict(State.FAIL, f"{at} ended the process (status {status})")
