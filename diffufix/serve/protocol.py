"""What is asked of a verifier and what it answers, in one process or over HTTP.

Trouble has two kinds. A question that cannot be answered is an error of `errors.py` and stays one.
What the infrastructure did is SandboxUnavailable (or Busy): asking again is right, and it is never
an answer.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from diffufix.errors import SandboxUnavailable, UsageError
from diffufix.types import Candidate, State, Verdict


class Busy(SandboxUnavailable):
    """There is no room for a question now; `after` seconds may have changed that."""

    def __init__(self, message: str, after: float = 1.0) -> None:
        super().__init__(message)
        self.after = after


class UnknownProject(UsageError):
    """No project of that hash is here: it has to be sent (again)."""


@dataclass(frozen=True)
class VerifyRequest:
    """What do these tests say of a project with these files in it?

    `project` is the content hash of a snapshot (`snapshot.py`), `files` are whole new texts by
    relative path, `tests` ids in the order in which they are to run (empty: all, failing ones
    first), `args` arguments for pytest that select what the suite is. `stop` ends the run at the
    first unwanted outcome; `confirm` runs the whole suite cold and several times for what passes.
    """

    project: str
    files: Mapping[str, str]
    tests: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    stop: bool = True
    confirm: bool = False

    @property
    def candidate(self) -> Candidate:
        return Candidate(self.files)

    @property
    def digest(self) -> str:
        """A hash of the whole question."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class VerifyAnswer:
    """A verdict with its evidence; its state is never `infra`.

    `tests` are those that were to run, in their order, `failing` those of them that fail without
    the candidate, `left_out` tests of the suite of which the sandbox says something else than the
    suite does. `claims` are there for what was confirmed.
    """

    verdict: Verdict
    tests: tuple[str, ...] = ()
    failing: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()
    confirmed: bool = False
    claims: Mapping[str, Any] | None = field(default=None)

    def document(self) -> dict[str, Any]:
        """As JSON holds it."""
        verdict = self.verdict
        return {
            "state": str(verdict.state),
            "passed": verdict.passed,
            "detail": verdict.detail,
            "outcomes": dict(verdict.outcomes),
            "seconds": round(verdict.seconds, 6),
            "hurried": verdict.hurried,
            "tests": list(self.tests),
            "failing": list(self.failing),
            "left_out": list(self.left_out),
            "confirmed": self.confirmed,
            "claims": self.claims,
        }

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> VerifyAnswer:
        """The answer of a document. Raises SandboxUnavailable for what is none: a half or garbled
        answer says nothing of a candidate."""
        try:
            verdict = Verdict(
                State(values["state"]), dict(values["outcomes"]), float(values["seconds"]),
                str(values["detail"]), bool(values["hurried"]),
            )  # fmt: skip
            if verdict.state is State.INFRA:
                raise ValueError("infrastructure is no verdict")
            tests, failing, left = (tuple(values[k]) for k in ("tests", "failing", "left_out"))
            return cls(verdict, tests, failing, left, bool(values["confirmed"]), values["claims"])
        except (KeyError, TypeError, ValueError) as error:
            raise SandboxUnavailable(f"no answer of a verifier: {error!r}") from error


class Verifying(Protocol):
    """Whoever answers such questions: warm verifiers in this process, or a server."""

    def verify(self, request: VerifyRequest) -> VerifyAnswer:
        """Raises UnknownProject; UsageError, ProjectError for what cannot be answered;
        SandboxUnavailable where the infrastructure failed for good."""
        ...
