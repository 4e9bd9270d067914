"""Why nothing was repaired: the reason that holds, and the next step. Pure.

A search counts what became of its candidates in a `SearchStats`; `explain` says it in one sentence
and a hint. What stopped a run before its search has sentences of its own here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from diffufix.types import State, Verdict

#: What ended a search, as the next step.
TIME = "Give it more time with --budget, or a larger model with --model."
MODEL = "The model has nothing further to offer here: try a larger one with --model."
CANDIDATES = "Allow more candidates with --candidates."
GO_ON = "The same command goes on from here; --fresh starts over."
LOOK = "`diffufix runs show` lists the candidates and what became of each."
NAMED = 3  # rules or tests that are named


@dataclass(frozen=True)
class Reason:
    message: str
    hint: str = ""


IN_PART = "Some failing tests were not repaired."


def in_part(run: int | None, more: bool, reached: bool = True) -> Reason:
    """The patch repairs some tests; with `more`, patch 2 of the run repairs further ones, but
    little speaks for it. `reached`: of the others, some run code that may be edited."""
    if not reached:
        hint = "No code that may be edited was seen to run in what still fails: mend it by hand."
        return Reason(IN_PART, hint)
    if not more or run is None:
        return Reason(IN_PART, "Give it more time with --budget.")
    return Reason(
        f"{IN_PART} Patch 2 passes further ones, but little speaks for what it adds.",
        f"Read it: `diffufix runs show {run} --patches`; `diffufix apply {run} 2` writes it.",
    )


@dataclass
class SearchStats:
    """What became of the candidates of a run."""

    generated: int = 0  # samples
    tried: int = 0  # candidates
    recalled: int = 0  # further ones, known from an interrupted run
    states: Counter[str] = field(default_factory=Counter)
    rules: Counter[str] = field(default_factory=Counter)  # by which candidates were refused
    first: dict[str, str] = field(default_factory=dict)  # state -> detail of its first candidate
    partly: int = 0  # that turned a failing test green, and failed another one
    spoiled: str = ""  # what the first of those failed
    provisional: int = 0  # that failed where the import had run the old code; not run again yet
    judged: int = 0  # of those that passed; the others there was no time for
    refused: Counter[str] = field(default_factory=Counter)  # why what passed is not offered

    def note(self, verdict: Verdict, green: bool = False) -> None:
        """`green`: it turned a failing test green."""
        self.tried += 1
        if green and verdict.state in (State.FAIL, State.TIMEOUT):
            self.partly += 1
            self.spoiled = self.spoiled or verdict.detail
        state = str(verdict.state)
        self.states[state] += 1
        self.provisional += verdict.provisional
        self.first.setdefault(state, verdict.detail)
        if verdict.state is State.SUSPICIOUS:
            self.rules[rule_of(verdict.detail)] += 1

    def judge(self, verdict: Verdict) -> None:
        """What was thought of one that passed."""
        self.judged += 1
        if verdict.state is State.SUSPICIOUS:
            self.refused[verdict.detail.removeprefix("refused: ")] += 1

    def take_back(self, verdict: Verdict, green: bool = False) -> None:
        """A candidate is tried once more: its first verdict does not count."""
        self.tried -= 1
        self.partly -= green
        self.states[str(verdict.state)] -= 1
        self.provisional -= verdict.provisional


def rule_of(detail: str) -> str:
    """A refusal without what differs from candidate to candidate: paths, lines, test ids."""
    text = re.sub(r"\S+::\S+", "a test", detail)
    text = re.sub(r"\S+\.\w+(:\w+)?", "a file", text)
    return " ".join(text.split())[:120] or "no reason was given"


def once(budget: float, needed: float) -> Reason:
    """There was time for one run of the whole suite with the patch, not for more."""
    return Reason(
        "It is not called repaired: in one run of the whole suite it held, and a second one would "
        f"have taken longer than the budget of {budget:.0f} s.",
        f"--budget {needed:.0f} gives time for more runs.",
    )


def of_selection(text: str) -> str:
    """What was said of the whole suite, in a run in which only some tests were asked for."""
    return text.replace("the whole suite", "the selected tests")


UNWEIGHED = Reason(
    "It is not called repaired: there was no time to find out what speaks for it.",
    "Give it more time with --budget.",
)


def late(budget: float, needed: float) -> Reason:
    """What the search found came so late that the whole suite could not be run with it."""
    return Reason(
        f"What was found turns tests green in the search, and it is not confirmed: the budget of "
        f"{budget:.0f} s left no time to run the whole suite with it.",
        "`diffufix runs show --patches` shows it, `diffufix apply` writes it. "
        f"--budget {needed:.0f} gives time to confirm.",
    )


def interrupted(accepted: int) -> Reason:
    """Interrupted before anything was confirmed; `accepted` patches passed the screening."""
    if not accepted:
        return Reason("Interrupted before a repair was found.", GO_ON)
    return Reason(
        "Interrupted before a patch was confirmed over the whole suite; what turned tests green in "
        "the search is kept.",
        f"`diffufix runs show --patches` shows it, `diffufix apply` writes it. {GO_ON}",
    )


def unverified(tests: Sequence[str]) -> Reason:
    """The patch is green, but tests that run it could not be run in the sandbox."""
    named = ", ".join(tests[:NAMED])
    more = f" and {len(tests) - NAMED} more" if len(tests) > NAMED else ""
    return Reason(
        f"Not called repaired: {number(len(tests), 'test')} that run the changed code fail in the "
        f"sandbox with and without the patch, so nothing checks it there: {named}{more}.",
        "Run them yourself with the patch, or use another sandbox (--sandbox docker or local).",
    )


def explain(tally: SearchStats, searched: float, ended: str = TIME) -> Reason:
    """Why a search of `searched` seconds found nothing; `ended` is TIME, MODEL or CANDIDATES."""
    counts = {state: n for state, n in tally.states.items() if n > 0}
    if not tally.generated and not tally.tried:
        return Reason(
            "No candidate could be made: the suspects have no place that the model can fill.",
            "Look at the suspects above; another model (--model) may take longer functions.",
        )
    if not tally.tried and tally.recalled:
        return Reason(
            f"All {number(tally.recalled, 'candidate')} had failed in the interrupted run already.",
            f"{ended} `--fresh` tries all of them again.",
        )
    if not tally.tried:
        return Reason(
            f"None of {number(tally.generated, 'sample')} made a program that is new and parses.",
            ended,
        )
    if passed := counts.get(State.PASS, 0):
        return _not_offered(tally, passed)
    if len(counts) == 1:
        return _all_alike(tally, next(iter(counts)), searched, ended)
    if not counts.get(State.FAIL) and not tally.partly:
        return Reason(
            f"No candidate was judged by the tests: of {tally.tried:,}, {_breakdown(counts)}. "
            f"{_sample(tally, counts)}",
            LOOK,
        )
    refused = counts.get(State.SUSPICIOUS, 0)
    more = f" {number(refused, 'other')} refused: {_rules(tally)}." if refused else ""
    return Reason(f"{_tried(tally, searched)}{more}", ended)


def _tried(tally: SearchStats, searched: float) -> str:
    tried = f"Tried {number(tally.tried, 'candidate')} in {searched:.0f} s"
    again = ""
    if tally.recalled:
        again = f" Not tried again: {tally.recalled:,} that failed in the interrupted run."
    if tally.provisional:
        were = "was" if tally.provisional == 1 else "were"
        again += (
            f" {tally.provisional:,} of them {were} tried only where the import had run the old "
            "code."
        )
    if not tally.partly:
        return f"{tried}: none turned a failing test green.{again}"
    first = f"; the first: {tally.spoiled}" if tally.spoiled else ""
    some = f"{tally.partly:,} turned a failing test green, but failed another test"
    return f"{tried}: {some}{first}.{again}"


def _not_offered(tally: SearchStats, passed: int) -> Reason:
    """Some passed, and none of them may be offered."""
    if why := tally.refused.most_common(1):
        said = f"refused, as {why[0][0]}."
    elif tally.judged < passed:
        said = f"there was time to try --expect on {tally.judged:,}, and none does what it says."
    else:
        said = "none does what --expect says."
    return Reason(
        f"Of {number(tally.tried, 'candidate')}, {passed:,} passed the screening; none is offered: "
        f"{said}",
        LOOK,
    )


def _all_alike(tally: SearchStats, state: str, searched: float, ended: str) -> Reason:
    every = f"All {tally.tried:,} candidates" if tally.tried > 1 else "The only candidate"
    first = tally.first.get(state, "")
    match state:
        case State.FAIL:
            return Reason(_tried(tally, searched), ended)
        case State.SUSPICIOUS:
            return Reason(
                f"{every} were refused before or after the tests: {_rules(tally)}."
                if tally.tried > 1
                else f"{every} was refused: {_rules(tally)}.",
                f"If that is what the project's own tests do, say so in a report. {LOOK}",
            )
        case State.TIMEOUT:
            return Reason(
                f"{every} ran out of time in the tests; the first: {first}.",
                "Where the repaired test takes long, give it more time with --budget, or name "
                "only that test.",
            )
        case State.ERROR:
            return Reason(f"{every} ended in an error before the tests; the first: {first}.", LOOK)
        case _:
            return Reason(
                f"The sandbox failed for every candidate; the first error: {first}.",
                "Try another one with --sandbox; `diffufix env` shows what there is.",
            )


def unconfirmed(attempts: int, verdict: Verdict, out_of_time: bool) -> Reason:
    """Candidates passed the screening, none of them the whole suite; `verdict` is the last one."""
    what = "What passed" if attempts == 1 else f"Each of {attempts} patches that passed"
    if verdict.state is State.INFRA:
        return Reason(
            f"{what} the screening could not be run against the whole suite: {verdict.detail}.",
            "Try another sandbox with --sandbox, or run diffufix again.",
        )
    late = " There was no time for further ones." if out_of_time else ""
    return Reason(
        f"{what} the screening did not hold in a fresh run of the whole suite: "
        f"{verdict.detail or verdict.state}.{late}",
        LOOK,
    )


def out_of_time(phases: Mapping[str, float], budget: float, needed: float) -> Reason:
    """Finding out what fails took so long that nothing could be searched."""
    spent = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in phases.items())
    return Reason(
        f"No time was left to search: of {budget:.0f} s, {spent}. Nothing was tried.",
        f"This project needs about --budget {needed:.0f}; or name only the tests that matter: "
        "diffufix repair tests/test_x.py::test_y",
    )


def suite_too_long(phases: Mapping[str, float], budget: float, copied: str = "") -> Reason:
    """The project was not `copied` within the budget but for so much; or a run of the tests did not
    end, the first, or that with coverage."""
    if copied:
        return Reason(
            f"Copying the project did not end within the budget of {budget:.0f} s ({copied}). "
            "Nothing was tried.",
            "Run diffufix in the project's own folder, let git ignore what is no part of it, or "
            "give more time with --budget.",
        )
    if "running them with coverage" in phases:
        return out_of_time(phases, budget, 8 * phases["running the tests"])
    return Reason(
        f"The tests did not end within the budget of {budget:.0f} s. Nothing was tried.",
        "Give more time with --budget, or name only the tests that matter: "
        "diffufix repair tests/test_x.py::test_y",
    )


def none_reproduced(tests: Mapping[str, str]) -> Reason:
    """Every failing test has another outcome in the sandbox; test -> what it says there."""
    named = ", ".join(f"{test} ({outcome})" for test, outcome in list(tests.items())[:NAMED])
    more = f" and {len(tests) - NAMED} more" if len(tests) > NAMED else ""
    return Reason(
        f"Nothing was tried: what fails outside of the sandbox does not fail in it: {named}{more}.",
        "Does the test need the network, a variable or a file outside of the project? Another "
        "sandbox may do: --sandbox docker, or --sandbox local.",
    )


def number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def _breakdown(counts: Mapping[str, int]) -> str:
    words = {"suspicious": "were refused", "error": "ended in an error", "infra": "met a sandbox "
             "that failed", "timeout": "ran out of time", "pass": "passed"}  # fmt: skip
    parts = [f"{n:,} {words.get(state, state)}" for state, n in sorted(counts.items())]
    return ", ".join(parts)


def _sample(tally: SearchStats, counts: Mapping[str, int]) -> str:
    state = max(counts, key=lambda each: counts[each])
    return f"The first: {tally.first.get(state, '')}."


def _rules(tally: SearchStats) -> str:
    named = tally.rules.most_common(NAMED)
    if len(named) == 1:
        return named[0][0]
    return ", ".join(f"{rule} ({count:,})" for rule, count in named)
