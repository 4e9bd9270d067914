"""Does screening say of the unedited project what its own run said? If not: in which order it does.

Screening runs the failing tests first and few others after them. Tests that share state come out
otherwise then. A few passing ones are left to confirmation, which knows the project's own order.
Otherwise candidates are run in that order: the tests of the files concerned, or else the whole
suite up to the last test that matters. Runs the unedited project in the screen, while nothing is
pending there.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from diffufix.repair.search import Search
from diffufix.types import RED
from diffufix.verify import ValidatorPool

FEW = 0.05  # of the tests, that may be left to confirmation
LONGEST = 5.0  # seconds, and a share of the budget, after which no further search is compared
SHARE = 0.08


@dataclass
class Compared:
    """What the comparison has found out; ids -> outcome in the sandbox."""

    ordered: list[Search] = field(default_factory=list)  # in the project's own order from now on
    odd: dict[str, str] = field(default_factory=dict)  # left out of screening
    later: set[str] = field(default_factory=set)  # left to confirmation: they need others before


def compare(
    screen: ValidatorPool, searches: Sequence[Search], baseline: Mapping[str, str], budget: float,
    without: frozenset[str] = frozenset(), until: float | None = None,
    shared: frozenset[str] = frozenset(),
) -> Compared:  # fmt: skip
    """Give each search an order in which the unedited project is as in `baseline` (id -> outcome,
    in the project's own order); leave out what comes out otherwise in every order. `without` are
    tests that end the whole run, `shared` those that share a fixture with others: they may fail in
    another order, too, and for another reason. Raises TooLate where it is not over at the moment
    `until`."""
    found = Compared()
    end = time.monotonic() + max(LONGEST, SHARE * budget)
    for search in searches:
        ends = without - {*search.goal.targets}
        suite = [test for test in baseline if test not in ends]
        if time.monotonic() > end:
            break
        odd = _odd(screen, search.tests, search.tests, baseline, until)
        if _few(odd, search):
            rest = [test for test in search.tests if test not in odd]
            if not _odd(screen, rest, rest, baseline, until):
                found.later |= odd.keys()
                search.leave_out(frozenset(odd))
                odd = {}
        said = {test: screen.said.get(test) for test in search.goal.targets}
        if not odd and shared.isdisjoint(said):
            continue
        files = {test.partition("::")[0] for test in search.tests}
        beside = [test for test in suite if test.partition("::")[0] in files]
        for order in (beside, suite) if len(beside) < len(suite) else (suite,):
            before = odd
            odd = _odd(screen, upto(order, search.tests), search.tests, baseline, until)
            if not before and not odd and said == {test: screen.said.get(test) for test in said}:
                break  # in any order they fail for the same reason
            search.keep_order(order)
            if not odd:
                break
        if search.ordered:
            found.ordered.append(search)
        if odd:
            found.odd |= odd
            search.leave_out(frozenset(odd))
    return found


def _few(odd: Mapping[str, str], search: Search) -> bool:
    """Whether these are few, and none of them a target."""
    return 0 < len(odd) <= FEW * len(search.tests) and odd.keys().isdisjoint(search.goal.targets)


def upto(order: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """The tests of `order` as far as the last one that is wanted."""
    places = {test: index for index, test in enumerate(order)}
    last = max((places[test] for test in wanted if test in places), default=-1)
    return tuple(order[: last + 1])


def _odd(
    screen: ValidatorPool, tests: Sequence[str], wanted: Sequence[str],
    baseline: Mapping[str, str], until: float | None,
) -> dict[str, str]:  # fmt: skip
    """Tests that come out otherwise than they should; what did not run says nothing."""
    inside = screen.check(tests, until).outcomes if tests else {}
    return {
        test: inside[test]
        for test in wanted
        if test in inside and _kind(inside[test]) != _kind(baseline[test])
    }


def _kind(outcome: str) -> str:
    return "red" if outcome in RED else outcome
