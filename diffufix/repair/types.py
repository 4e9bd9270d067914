"""What a repair hands back: `Patch` and `RepairResult`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from diffufix.source.difference import changed_span
from diffufix.trust.groups import Difference
from diffufix.types import Claims, EditedFile, Patch, SuspiciousFunction


class GeneratedFunction(Protocol):
    """What is said of one function that was to be written (`diffufix.generate.types.Filled`)."""

    @property
    def done(self) -> bool: ...

    def document(self) -> dict[str, Any]: ...

    def lines(self) -> list[str]:
        """The same in words."""
        ...


class Status(StrEnum):
    """How a repair ended."""

    REPAIRED = "repaired"
    PLAUSIBLE = "plausible"  # passes the tests, but little speaks for it
    NOTHING_FAILING = "nothing-failing"
    NOT_REPAIRED = "not-repaired"
    INTERRUPTED = "interrupted"
    GENERATED = "generated"
    NOT_GENERATED = "not-generated"


EXIT_CODES = {
    Status.REPAIRED: 0,
    Status.PLAUSIBLE: 1,
    Status.NOTHING_FAILING: 0,
    Status.NOT_REPAIRED: 1,
    Status.INTERRUPTED: 130,
    Status.GENERATED: 0,
    Status.NOT_GENERATED: 1,
}


@dataclass(frozen=True)
class Offer:
    """One patch that turned tests green in the search, as the user may choose it.

    `group` numbers what behaves alike; `difference` is the smallest input that tells it from the
    first;
    `refused` says why it is never taken by itself; `spans` are (path, start, end, text) in the
    original files. Where there are several faults, the patch holds the first choice for the others.
    """

    number: int
    patch: Patch
    probability: float
    group: int = 1
    words: tuple[str, ...] = ()
    difference: Difference | None = None
    refused: str = ""
    confirmed: bool = False  # by runs of the whole suite
    evidence: Mapping[str, Any] = field(default_factory=dict)
    spans: tuple[tuple[str, int, int, str], ...] = ()

    @property
    def apart(self) -> str:
        """The difference in words."""
        return self.difference.words("the first", "this one") if self.difference else ""

    def document(self) -> dict[str, Any]:
        return {
            "number": self.number,
            "probability": round(self.probability, 4),
            "group": self.group,
            "confirmed": self.confirmed,
            "refused": self.refused,
            "apart": self.apart,
            "evidence": dict(self.evidence) | {"words": list(self.words)},
            "diff": self.patch.diff,
            "edits": [
                {"path": edit.path, "digest": digest(edit.original),
                 "spans": [list(span[1:]) for span in self.spans if span[0] == edit.path]}
                for edit in self.patch.edits
            ],
        }  # fmt: skip


def _edit(edit: EditedFile) -> dict[str, Any]:
    """One file of a patch, as `kept_patch` takes it: what stands between what stays."""
    old, new = edit.original, edit.new
    start, end = changed_span(old, new)
    span = [start, end, new[start : len(new) - len(old) + end]]
    return {"path": edit.path, "digest": digest(old), "spans": [span]}


def digest(text: str) -> str:
    """Of a file's text: is it still the one that a patch was made for?"""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


@dataclass(frozen=True)
class RepairResult:
    """The outcome of one `repair`, as shown, logged and written as JSON.

    `patch` may be there with NOT_REPAIRED: it turns `turned_green` green and breaks nothing that
    was run, yet `message` says what is missing. A patch here was always confirmed by runs of the
    whole suite; `still_red` were run again with it.
    """

    status: Status
    patch: Patch | None = None
    turned_green: tuple[str, ...] = ()  # test ids, red before and green with the patch
    still_red: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()  # diffs of other patches that pass, best first
    probability: float | None = None  # that the patch is right, by the evidence
    threshold: float = 0.8  # from here on it is called a repair
    accepted: bool = False  # the user takes what is only plausible, too
    evidence: tuple[str, ...] = ()  # for and against the patch, in words
    offers: tuple[Offer, ...] = ()  # all patches that passed, the first choice first
    tried: int = 0  # candidates run
    generated: int = 0  # fills sampled, duplicates and unparsable ones included
    seconds: float = 0.0
    tests: int = 0  # in the suite
    suspects: tuple[SuspiciousFunction, ...] = ()
    states: Mapping[str, int] = field(default_factory=dict)  # verdict state -> candidates
    model: str = ""
    model_hash: str = ""
    engines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # what each has taken
    run_id: int | None = None  # in the log of .diffufix/
    claims: Claims | None = None  # of a confirmed patch: what may be said of every test
    phases: Mapping[str, float] = field(default_factory=dict)  # name -> seconds
    deselected: tuple[str, ...] = ()  # test ids that pytest collected and was not to run
    selected: tuple[str, ...] = ()  # arguments of pytest: only those tests are spoken of
    functions: tuple[
        GeneratedFunction, ...
    ] = ()  # of a generation: each with what its body has passed
    failing: tuple[str, ...] = ()  # test ids, in the unedited project, the same in two runs
    flaky: tuple[str, ...] = ()  # test ids that came out otherwise in the second of them
    hung: tuple[str, ...] = ()  # test ids that did not end
    applied: bool = False
    commit: str = ""  # the commit that holds the patch, and its branch
    message: str = ""  # one sentence on what happened
    hint: str = ""  # the next step
    warnings: tuple[str, ...] = ()

    @property
    def weak(self) -> bool:
        """Whether a patch is less likely right than a repair is."""
        return self.probability is not None and self.probability < self.threshold

    @property
    def exit_code(self) -> int:
        if self.accepted and self.status is Status.PLAUSIBLE and self.patch is not None:
            return 0
        return EXIT_CODES[self.status]

    def document(self) -> dict[str, Any]:
        """The result as JSON holds it: what `--json` prints and what the log keeps."""
        return {
            "status": str(self.status),
            "exit_code": self.exit_code,
            "message": self.message,
            "hint": self.hint,
            "patch": self.patch
            and {
                "files": [edit.path for edit in self.patch.edits],
                "edit_size": self.patch.edit_size,
                "diff": self.patch.diff,
                "edits": [_edit(edit) for edit in self.patch.edits],
            },
            "applied": self.applied,
            "commit": self.commit,
            "failing": list(self.failing),
            "flaky": list(self.flaky),
            "hung": list(self.hung),
            "turned_green": list(self.turned_green),
            "still_red": list(self.still_red),
            "tests": self.tests,
            "claims": self.claims and self.claims.document(),
            "deselected": list(self.deselected),
            "selected": list(self.selected),
            "phases": dict(self.phases),
            "alternatives": list(self.alternatives),
            "probability": self.probability and round(self.probability, 4),
            "threshold": self.threshold,
            "evidence": list(self.evidence),
            "patches": [offer.document() for offer in self.offers],
            "tried": self.tried,
            "generated": self.generated,
            "seconds": round(self.seconds, 3),
            "states": dict(self.states),
            "suspects": [
                {
                    "path": suspect.path,
                    "qualname": suspect.qualname,
                    "line": suspect.first_line,
                    "score": round(suspect.score, 4),
                    "evidence": suspect.evidence,
                }
                for suspect in self.suspects
            ],
            "model": {"name": self.model, "hash": self.model_hash},
            **(
                {"engines": {name: dict(took) for name, took in self.engines.items()}}
                if self.engines
                else {}
            ),
            **({"functions": [f.document() for f in self.functions]} if self.functions else {}),
            "run_id": self.run_id,
            "warnings": list(self.warnings),
        }
