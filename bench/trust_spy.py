"""`diffufix` with a search that never settles, confirms nothing and writes down what it saw.

Run by trust_collect.py: the arguments are those of `diffufix`; $TRUST_OUT gets the JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

if extra := os.environ.pop("TRUST_PATH", ""):
    os.environ["PYTHONPATH"] = os.pathsep.join(extra.split(os.pathsep)[1:])
    sys.path[:0] = extra.split(os.pathsep)[:1]

import diffufix.cli
from diffufix.repair import confirmation, record, search
from diffufix.repair.steps import searching

search.POLISH, search.ENOUGH = 1e9, 10**9
BEGAN = time.monotonic()
ROWS: dict[int, dict[str, Any]] = {}
SEEN: dict[str, Any] = {}
_progress = searching.progress_of
_proposal, _verdict = record.Record.proposal, record.Record.verdict


def progress(run: Any, searches: Any, jury: Any) -> Any:
    SEEN.update(diagnosis=run.diagnosis, searches=searches)
    return _progress(run, searches, jury)


def proposal(self: Any, proposal: Any, candidate: Any) -> int:
    number = _proposal(self, proposal, candidate)
    made, hole, suspect = proposal, proposal.hole, proposal.subject.suspect
    ROWS[number] = {
        "path": suspect.path, "qualname": suspect.qualname, "first_line": suspect.first_line,
        "start": hole.start, "end": hole.end, "kind": str(hole.kind), "text": made.text,
        "suspicion": hole.suspicion, "score": made.score, "logp": made.fill.logp,
        "tokens": len(made.fill.ids), "state": "", "detail": "", "green": [], "at": 0.0,
    }  # fmt: skip
    return number


def verdict(self: Any, candidate_id: int, verdict: Any, stage: str) -> None:
    _verdict(self, candidate_id, verdict, stage)
    said = verdict
    row = ROWS.get(candidate_id)
    if row is not None and stage != "confirm" and row["state"] != "pass":
        row.update(state=str(said.state), detail=said.detail, at=time.monotonic() - BEGAN)
        row["green"] = [t for t, o in said.outcomes.items() if o == "passed"]


def confirm(self: Any, accepted: Any) -> None:
    """In the place of `Confirmation.choose`: nothing is chosen."""
    diagnosis = SEEN["diagnosis"]
    goals = []
    for each in SEEN["searches"]:
        found = (each.successes, each.partial, each.passed)
        whole = {s.candidate_id: list(s.green) for part in found for s in part}
        subjects = [
            {"path": s.suspect.path, "qualname": s.suspect.qualname,
             "first_line": s.suspect.first_line, "last_line": s.suspect.last_line,
             "score": s.suspect.score,
             "lines": {str(k): v for k, v in s.suspect.lines.items()},
             "covering": list(each._covering[id(s)])}
            for s in each.goal.subjects
        ]  # fmt: skip
        goals.append({"targets": list(each.goal.targets), "subjects": subjects, "passed": whole,
                      "messages": each._messages, "tests_source": each.tests_source})  # fmt: skip
    Path(os.environ["TRUST_OUT"]).write_text(
        json.dumps(
            {
                "goals": goals, "red": list(diagnosis.red),
                "baseline": diagnosis.baseline, "seconds": diagnosis.seconds,
                "ways": [dict(each.screen.ways) for each in SEEN["searches"]],
                "suite_seconds": diagnosis.suite_seconds, "tests": len(diagnosis.run.cases),
                "tried": [{"id": k, **v} for k, v in ROWS.items() if v["state"]],
            }
        )
    )  # fmt: skip


record.Record.proposal, record.Record.verdict = proposal, verdict  # type: ignore[method-assign]
searching.progress_of = progress
confirmation.Confirmation.choose = confirm  # type: ignore[method-assign]
diffufix.cli.main()
