"""The values that pass between the rooms: what tests said, suspects, holes, candidates, verdicts,
and what a model learns from. Plain values below everything else: no torch, no input or output.

Plain values, no torch: `repair` and self-play make groups, the store keeps them, train/ reads them.
A completion has `width` ids: what the model put on a canvas of that many masks. Where a family has
`<delete>`, an unwanted place holds that id, always behind the others; elsewhere it holds `pad`.
Lengths: C = width, M = passes of the estimator.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path, PurePosixPath
from typing import Any

# --- tests ---

PASSED, FAILED, ERROR, SKIPPED, XFAILED, XPASSED = (
    "passed",
    "failed",
    "error",
    "skipped",
    "xfailed",
    "xpassed",
)
#: Outcomes that make a suite red.
RED = frozenset({FAILED, ERROR})
TIMED_OUT = "Timeout: still running"  # how the reporter says that a test did not end


@dataclass(frozen=True)
class Frame:
    """One traceback entry inside the project; `path` is relative to the root, POSIX style."""

    path: str
    line: int
    function: str


@dataclass(frozen=True)
class TestCase:
    """One collected test: pytest node id, outcome over setup, call and teardown, seconds."""

    __test__ = False

    id: str
    outcome: str
    seconds: float
    message: str = ""  # the exception's type and text, one line
    report: str = ""  # at length, much as pytest tells it
    frames: tuple[Frame, ...] = ()  # outermost first, project files only

    @property
    def red(self) -> bool:
        return self.outcome in RED

    @property
    def timed_out(self) -> bool:
        """Whether it did not end within the time that a test is given."""
        return TIMED_OUT in self.message


@dataclass(frozen=True)
class TestRun:
    """One run of the suite under the project's own interpreter.

    `coverage` maps a test id to {relative POSIX path: executed line numbers}; it is empty when
    the run was made without coverage. Lines executed while a module was imported are not in it.
    """

    __test__ = False

    root: Path
    args: tuple[str, ...]
    cases: tuple[TestCase, ...]
    exit_code: int
    seconds: float
    start_seconds: float = 0.0  # until the first test started: interpreter, pytest, collection
    coverage: Mapping[str, Mapping[str, frozenset[int]]] = field(default_factory=dict)
    deselected: tuple[str, ...] = ()  # ids, the first thousand
    collection_errors: tuple[TestCase, ...] = ()  # id is the module or folder that failed
    output: str = ""  # the tail of what pytest printed
    variables: tuple[str, ...] = ()  # of the environment that were read or asked for
    home_files: tuple[str, ...] = ()  # in the home that were read
    missed: tuple[str, ...] = ()  # what plugins do for these tests otherwise
    shared: tuple[str, ...] = ()  # ids of tests with a fixture of the project's that others have

    @property
    def ids(self) -> tuple[str, ...]:
        """Of the tests, and of what could not be collected."""
        return tuple(case.id for case in (*self.cases, *self.collection_errors))

    @property
    def red(self) -> tuple[TestCase, ...]:
        return tuple(case for case in self.cases if case.red)

    @property
    def green(self) -> tuple[TestCase, ...]:
        return tuple(case for case in self.cases if case.outcome == PASSED)


def file_of_test(id: str) -> str:
    """The file of a test's id; "" for a doctest, whose file is the code that it tests."""
    path, _, name = id.partition("::")
    name = name.partition("[")[0]
    return "" if "." in name or name == PurePosixPath(path).stem else path


# --- where and what to edit ---


@dataclass(frozen=True)
class SuspiciousFunction:
    """A function (or method, or module body as `<module>`) that may hold the fault.

    Lines are 1-based and inclusive; `lines` maps a line to its suspiciousness in [0, 1]
    (executed lines of failing tests only). `evidence` says in words why it is suspected.
    """

    path: str  # relative to the project root, POSIX style
    qualname: str
    first_line: int  # the first decorator or the `def` line
    last_line: int
    score: float
    lines: Mapping[int, float]
    evidence: str = ""


class Kind(StrEnum):
    """From fine to coarse, the order in which holes are tried."""

    EXPRESSION = "expression"
    STATEMENT = "statement"
    INSERTION = "insertion"
    BLOCK = "block"
    BODY = "body"


@dataclass(frozen=True, order=True)
class Hole:
    """A span of one file's text to be regenerated; `start == end` inserts.

    Offsets count characters of the decoded source (newlines untouched).
    """

    start: int
    end: int
    kind: Kind
    suspicion: float = 0.0  # the highest suspiciousness of the lines it touches


# --- edits and what the tests say of them ---


class State(StrEnum):
    """What became of a candidate. `INFRA` says nothing about it and is never a reward."""

    PASS = "pass"
    FAIL = "fail"
    ERROR = "error"  # does not import, collect or parse
    TIMEOUT = "timeout"
    SUSPICIOUS = "suspicious"  # green, but not by honest means
    INFRA = "infra"


@dataclass(frozen=True)
class EditedFile:
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
    flaky: tuple[str, ...] = ()  # not the same in every run, of the unedited project mostly
    skipped: tuple[str, ...] = ()  # skipped, or marked as xfail, in both
    no_longer_skipped: tuple[str, ...] = ()  # the same, passing with the candidate
    differs: tuple[str, ...] = ()  # comes out otherwise in the sandbox than outside, unedited
    not_run: tuple[str, ...] = ()  # ends the whole run
    uncollected: tuple[str, ...] = ()  # files whose tests cannot be collected without the edit
    runs: tuple[str, ...] = ()
    dropped: Mapping[str, str] = field(default_factory=dict)  # order -> what does not hold in it
    #: order -> a target that needs the tests before it, of its file, with whom it shares a fixture
    leaning: Mapping[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether there is no test of which nothing can be said."""
        return not (self.flaky or self.differs or self.not_run or self.uncollected)

    def document(self) -> dict[str, Any]:
        """As JSON holds it, tests that pass in both as a number. `new_failures` is always empty: a
        patch that has any is refused."""
        return {
            "turned_green": list(self.turned_green),
            "passing_as_before": len(self.kept),
            "still_failing": list(self.still_failing),
            "new_failures": [],
            "flaky": list(self.flaky),
            "skipped": list(self.skipped),
            "no_longer_skipped": list(self.no_longer_skipped),
            "differs_in_sandbox": list(self.differs),
            "not_run": list(self.not_run),
            "not_collected": list(self.uncollected),
            "runs": list(self.runs),
            "orders_that_do_not_hold": dict(self.dropped),
            "orders_that_hold_file_by_file": dict(self.leaning),
        }


@dataclass(frozen=True)
class Verdict:
    """The outcome of one candidate; `outcomes` maps test id -> outcome for the tests that ran."""

    state: State
    outcomes: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    detail: str = ""  # one line: the first failing test's message, the reason of a suspicion, ...
    hurried: bool = False  # it timed out when there was little time to be given
    provisional: bool = False  # earlier calls of the function were by the old code

    @property
    def passed(self) -> bool:
        return self.state is State.PASS


@dataclass(frozen=True)
class Patch:
    """A change of the project. `diff` is unified, git style; `diffufix.source.patch` makes it."""

    edits: tuple[EditedFile, ...]
    diff: str
    edit_size: int  # tokens removed plus tokens added

    @property
    def files(self) -> dict[str, str]:
        """Relative path -> whole new text."""
        return {edit.path: edit.new for edit in self.edits}


# --- token ids ---


@dataclass(frozen=True)
class Canvas:
    """Token ids around one hole.

    `original` is what the hole held before it was masked, where that is known: it hints at the
    length, and conditions the models that are shown it. `lead` is text that stood at the end of
    the left context and belongs to the hole's first token now: every fill is to spell it again.
    """

    left: tuple[int, ...]
    right: tuple[int, ...]
    original: tuple[int, ...] = ()
    lead: str = ""


@dataclass(frozen=True)
class Commit:
    """One decision of the decoding loop: at this step this id went to this place of the hole.

    `position` counts in the hole as it was before the step's splices; `logp` is the model's
    natural log-probability of the id among the ids allowed there (temperature 1, not truncated).
    """

    step: int
    position: int
    token: int
    logp: float


@dataclass(frozen=True)
class Fill:
    """What the sampler put into a hole.

    `ids` are the hole's tokens without masks, `<expand>` and `<delete>`; `logps` and `order` run
    along them: each token's log-probability when it was committed, and how many commits came
    before it. `trace` has every commit, deletions and expansions included; `logp` is its sum.
    `steps` counts forward passes.
    """

    ids: tuple[int, ...]
    logps: tuple[float, ...]
    order: tuple[int, ...]
    logp: float
    steps: int
    trace: tuple[Commit, ...] = ()


# --- learning ---


@dataclass(frozen=True)
class Task:
    """One hole in one version of one file, and the tests that grade what is put there.

    `source` is the whole file as it stands with its fault; [start, end) (characters) is masked.
    """

    key: str  # the same for the same source, hole, `shown` and tests
    path: str
    qualname: str
    source: str
    start: int
    end: int
    kind: str  # of hole: Kind
    origin: str  # repair, generate, mutant, history, wrong-fill, masked
    tests: tuple[str, ...]
    shown: bool = True  # whether the model is shown what stood in the hole
    answer: str | None = None  # a text known to pass; never shown to the model
    failing: tuple[str, ...] = ()  # those of the tests that fail on `source` as it stands
    said: str = ""  # what the first of those says (propose/failure.py)
    test_source: str = ""  # that test's own text, and the traceback where there is one: for
    report: str = ""  # families that read more (propose/shown.py)


@dataclass(frozen=True)
class Prompt:
    """What the model saw: ids on both sides of the hole, those of what was there, the width C.

    `gap` (layout "aside" only): something was there that is not shown, so the family's `gap` id
    stands in its place. Without `gap`, no `original` means an insertion between two tokens.
    """

    left: tuple[int, ...]
    right: tuple[int, ...]
    original: tuple[int, ...]
    width: int
    lead: str = ""
    gap: bool = False
    failure: tuple[int, ...] = ()  # behind the context: what a failing test said


@dataclass(frozen=True)
class Noise:
    """One draw of an estimator: l_i = sum over m of weights[m][i] * log p(y_i | y with masks[m]).

    `masks` and `weights` are M lists of C values; a weight is 0 where the mask is not set.
    """

    masks: tuple[tuple[bool, ...], ...]
    weights: tuple[tuple[float, ...], ...]
    prompt_seed: int | None = None  # d1 hides prompt tokens too; None: nothing is hidden


@dataclass(frozen=True)
class Completion:
    """One sample of the policy and its verdict.

    `behaviour[d]` are the C weighted log-likelihoods l_i (nats, at the sampling temperature) under
    `noise[d]`, as the policy that sampled it gave them; one draw d for each inner iteration.
    `reward` is None where the infrastructure failed: such a group is not learned from.
    """

    ids: tuple[int, ...]
    text: str
    state: str  # State
    reward: float | None
    parts: Mapping[str, float] = field(default_factory=dict)  # reward function -> value
    noise: tuple[Noise, ...] = ()
    behaviour: tuple[tuple[float, ...], ...] = ()
    seconds: float = 0.0
    steps: int = 0  # forward passes of the sampler
    order: tuple[int, ...] = ()  # per id: how many commits came before its own


@dataclass(frozen=True)
class Group:
    """G completions of one task, all of those that were sampled."""

    task: Task
    prompt: Prompt
    completions: tuple[Completion, ...]
    model: str  # fingerprint of the weights that sampled, adapter included
    estimator: str  # rl/objectives/estimators.py: coupled, d1, full, decoupled, count; empty: none
    sampling: Mapping[str, float | str | int | None] = field(default_factory=dict)
    made_at: float = 0.0  # seconds since the epoch

    @property
    def rewards(self) -> tuple[float, ...] | None:
        """The rewards; None if one is missing."""
        found = tuple(c.reward for c in self.completions if c.reward is not None)
        return found if len(found) == len(self.completions) else None

    @property
    def has_signal(self) -> bool:
        """Whether the rewards differ."""
        return self.rewards is not None and len(set(self.rewards)) > 1
