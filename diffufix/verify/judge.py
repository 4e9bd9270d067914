"""The rules by which a report of the fork server becomes a `Verdict`; touches nothing.

Pass needs: records in the order of an honest run with the right nonce and none besides, END among
them, exactly the expected ids in order, each with its required outcome, exit status 0, the
sentinel failed, the edit executed, no reach for what only a forger needs, tests and configuration
unchanged on disk, the server whole; then (elsewhere) nothing suspicious in the text.

| state | when |
|---|---|
| pass | all of the above |
| fail | a required test ended otherwise, or ended the process, or filled the disk |
| error | the candidate does not parse, import or collect |
| timeout | a test, or the import, ran past its deadline |
| suspicious | green or tidy, but one of the rules above is broken |
| infra | the sandbox failed; says nothing about the candidate, is retried, never a reward |
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from diffufix.types import RED, State, Verdict
from diffufix.verify.inside.frames import accepts
from diffufix.verify.static import forbidden, planted

Report = Mapping[str, Any]


def judge(
    report: Report,
    tests: Sequence[str],
    required: Sequence[str],
    seconds: float,
    *,
    every_place: bool = False,
) -> Verdict:
    """The verdict on one report, before the static screen.

    `every_place`: each edited place must have been executed, not just one of them.
    """
    seen = [(str(outcome), str(message)) for outcome, message in report.get("outcomes", ())]
    outcomes = {test: outcome for test, (outcome, _) in zip(tests, seen, strict=False)}

    def verdict(state: State, detail: str) -> Verdict:
        return Verdict(state, outcomes, seconds, " ".join(detail.split())[:400])

    if "lost" in report:
        return Verdict(State.SUSPICIOUS, {}, seconds, str(report["lost"]))
    for key in ("forged", "audit"):
        if key in report:
            return verdict(State.SUSPICIOUS, f"{key}: {report[key]}")
    if len(seen) > len(tests):
        return verdict(State.SUSPICIOUS, "more tests were reported than asked for")
    for test, (outcome, message), wanted in zip(tests, seen, required, strict=False):
        if accepts(wanted, outcome):
            continue
        if outcome in RED and wanted not in RED:
            return verdict(State.FAIL, f"{test}: {message}")
        return verdict(State.SUSPICIOUS, f"{test} was {outcome}, not {wanted}")
    at = tests[min(len(seen), len(tests) - 1)] if tests else ""
    if report.get("flood"):
        outcomes[at] = "failed"
        return verdict(State.FAIL, f"{at} filled the disk")
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
    if report.get("sentinel") not in RED:
        return verdict(State.SUSPICIOUS, "a test that must fail did not")
    if reason := _traces(report, every_place):
        return verdict(State.SUSPICIOUS, reason)
    return verdict(State.PASS, "")


def _traces(report: Report, every_place: bool) -> str:
    """What an all-green run left behind, or did not, that no honest one does."""
    changed = [reason for path in report.get("touched", ()) if (reason := forbidden(path))]
    added = [reason for path in report.get("added", ()) if (reason := planted(path))]
    if changed or added:
        return f"the tests changed files: {(changed + added)[0]}"
    if not report.get("whole", True):
        return "a process of the server ended, or one of the candidate's cannot be"
    unseen, places = report.get("unseen", ()), report.get("places", 0)
    if unseen and not report.get("spawned") and (every_place or len(unseen) >= places):
        path, line = unseen[0]
        return f"the edit was never executed: {path.rpartition('/')[2]}:{line or 'module'}"
    return ""


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
