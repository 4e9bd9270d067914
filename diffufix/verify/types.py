"""What is tried and what the tests said of it: `Edit`, `Candidate` and `Verdict`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """What became of a candidate. `INFRA` says nothing about it and is never a reward."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"  # does not import, collect or parse
    TIMEOUT = "timeout"
    SUSPICIOUS = "suspicious"  # green, but not by honest means
    INFRA = "infra"


@dataclass(frozen=True)
class Edit:
    """One file before and after; texts are decoded, newlines as in the file."""

    path: str  # relative to the project root, POSIX style
    original: str
    new: str
    tests: tuple[str, ...] = ()  # that grade it, where they are known,
    failing: tuple[str, ...] = ()  # and those of them that fail on `original`


@dataclass(frozen=True)
class Candidate:
    """Edited files: relative POSIX path -> whole new text (decoded, newlines as in the file)."""

    files: Mapping[str, str]

    @property
    def key(self) -> str:
        """A hash of the content, for deduplication."""
        digest = hashlib.blake2b(digest_size=16)
        for path in sorted(self.files):
            digest.update(
                path.encode() + b"\0" + self.files[path].encode("utf-8", "surrogateescape")
            )
        return digest.hexdigest()


@dataclass(frozen=True)
class Claims:
    """What may be said of the tests of a confirmed candidate; each id is in one list at most.

    `runs` says how the suite was run with it. "Green" and "failing" are of all these runs.
    """

    turned_green: tuple[str, ...] = ()  # failing in the unedited project, green with the candidate
    kept: tuple[str, ...] = ()  # passing in both
    still_failing: tuple[str, ...] = ()  # failing in both
    flaky: tuple[str, ...] = ()  # the unedited project comes out now so, now otherwise
    skipped: tuple[str, ...] = ()  # skipped, or failing as expected, in the unedited project
    differs: tuple[str, ...] = ()  # comes out otherwise in the sandbox than outside, unedited
    not_run: tuple[str, ...] = ()  # ends the whole run
    runs: tuple[str, ...] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)  # order -> what does not hold in it


@dataclass(frozen=True)
class Verdict:
    """The outcome of one candidate; `outcomes` maps test id -> outcome for the tests that ran."""

    state: State
    outcomes: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    detail: str = ""  # one line: the first failing test's message, the reason of a suspicion, ...

    @property
    def passed(self) -> bool:
        return self.state is State.PASS
