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
from diffufix.repair import loop, record, search

search.POLISH, search.ENOUGH = 1e9, 10**9  # type: ignore[attr-defined]
BEGAN = time.monotonic()
ROWS: dict[int, dict[str, Any]] = {}
_proposal, _verdict = record.Record.proposal, record.Record.verdict


def proposal(self: Any, made: Any, candidate: Any) -> int:
    number = _proposal(self, made, candidate)
    hole, suspect = made.hole, made.subject.suspect
    ROWS[number] = {
        "path": suspect.path, "qualname": suspect.qualname, "first_line": suspect.first_line,
        "start": hole.start, "end": hole.end, "kind": str(hole.kind), "text": made.text,
        "suspicion": hole.suspicion, "score": made.score, "logp": made.fill.logp,
        "tokens": len(made.fill.ids), "state": "", "detail": "", "green": [], "at": 0.0,
    }  # fmt: skip
    return number


def verdict(self: Any, candidate_id: int, said: Any, stage: str) -> None:
    _verdict(self, candidate_id, said, stage)
    row = ROWS.get(candidate_id)
    if row is not None and stage == "screen" and row["state"] != "pass":
        row.update(state=str(said.state), detail=said.detail, at=time.monotonic() - BEGAN)
        row["green"] = [t for t, o in said.outcomes.items() if o == "passed"]


def confirm(self: Any, accepted: Any) -> Any:
    run = self.diagnosis.run
    goals = []
    for each in self.searches:
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
                "goals": goals, "red": list(self.diagnosis.red),
                "baseline": self.diagnosis.baseline, "seconds": self.diagnosis.seconds,
                "suite_seconds": self.diagnosis.suite_seconds, "tests": len(run.cases),
                "tried": [{"id": k, **v} for k, v in ROWS.items() if v["state"]],
            }
        )
    )  # fmt: skip
    return self._result()


record.Record.proposal, record.Record.verdict = proposal, verdict  # type: ignore[method-assign]
loop._Loop._confirm = confirm  # type: ignore[method-assign]
diffufix.cli.main()
