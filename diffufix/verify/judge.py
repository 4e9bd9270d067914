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

from collections import defaultdict
from collections.abc import Container, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from diffufix.types import RED, State, Verdict
from diffufix.verify.inside.frames import accepts
from diffufix.verify.static import forbidden, planted

_CODE = {".py", ".pyi", ".pyc", ".pyd", ".so", ".pth", ".toml", ".ini", ".cfg", ".sh"}
Report = Mapping[str, Any]


BOTH = 2  # values of one name: before the tests of a run, and after them


class Usual:
    """What the unedited project does to its files and to the tests' world, too.

    `name in usual`: it is nothing that an edit brought about. A name is a file's path relative
    to the project, `world:NAME` or `world:NAME=VALUE`; a value that no run has told, or that
    came out otherwise again and again, may be anything."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._values: defaultdict[str, set[str]] = defaultdict(set)

    def add(self, report: Mapping[str, Any]) -> None:
        """What one run of the unedited project says."""
        for name in (*report.get("touched", ()), *report.get("added", ())):
            self._names.add(name)
        for name in report.get("world", ()):
            key, equals, value = name.partition("=")
            self._values[key].add(value) if equals else self._names.add(name)

    def __contains__(self, name: object) -> bool:
        key, equals, value = str(name).partition("=")
        if not equals or not key.startswith("world:"):
            return name in self._names
        known = self._values.get(key, set())
        return not known or value in known or len(known) > BOTH


def judge(
    report: Report,
    tests: Sequence[str],
    required: Sequence[str],
    seconds: float,
    *,
    every_place: bool = False,
    usual: Container[str] = (),
) -> Verdict:
    """The verdict on one report, before the static screen.

    `every_place`: each edited place must have been executed, not just one of them. `usual` are
    files (relative paths) that the tests of the unedited project change or make, too.
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
    if reason := _traces(report, every_place, usual):
        return verdict(State.SUSPICIOUS, reason)
    return verdict(State.PASS, "")


def _traces(report: Report, every_place: bool, usual: Container[str]) -> str:
    """What an all-green run left behind, or did not, that no honest one does."""
    spawned, writes = bool(report.get("spawned")), {*report.get("writes", ())}
    odd = {
        kind: [
            path
            for path in report.get(kind, ())
            if path not in usual and not _by_itself(path, spawned, writes)
        ]
        for kind in ("touched", "added")
    }
    by_tests = set() if spawned else {*odd["touched"]} - writes
    changed = [
        reason
        for path in odd["touched"]
        if (reason := forbidden(path)) and not (path in by_tests and _is_data(path))
    ]
    added = [reason for path in odd["added"] if (reason := planted(path))]
    if changed or added:
        return f"the tests changed files: {(changed + added)[0]}"
    if replaced := [name for name in report.get("world", ()) if name not in usual]:
        name, differs, _ = replaced[0].removeprefix("world:").partition("=")
        if differs:
            return f"{name} is not what it is without the edit"
        return f"{name} is not what it was before the tests"
    if report.get("odd"):
        return f"what it left cannot be looked at: {report['odd']}"
    if not report.get("whole", True):
        return "a process of the server ended, or one of the candidate's cannot be"
    unseen, places = report.get("unseen", ()), report.get("places", 0)
    if unseen and not report.get("spawned") and (every_place or len(unseen) >= places):
        path, line = unseen[0]
        return f"the edit was never executed: {path.rpartition('/')[2]}:{line or 'module'}"
    return ""


def _is_data(path: str) -> bool:
    """Whether a file is neither code nor configuration: what a test writes, it may write."""
    return PurePosixPath(path).suffix.lower() not in _CODE and forbidden(path, ()) == ""


def _by_itself(path: str, spawned: bool, writes: Container[str]) -> bool:
    """What git writes into its own folder when it is asked anything, and the bytecode of another
    interpreter; this one writes none."""
    bytecode = path.endswith(".pyc") and PurePosixPath(path).parent.name == "__pycache__"
    return path.startswith(".git/") or (bytecode and spawned and path not in writes)


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
