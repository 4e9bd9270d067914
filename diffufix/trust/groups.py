"""Patches that do the same: `group` sorts recordings by what they do with recorded and made-up
inputs, and `difference` finds the smallest input that tells two apart. Reads recordings only."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from diffufix.trust.types import Play, Recording

_UNTOLD = {"unreadable", "refused", "coroutine"}


@dataclass(frozen=True)
class Difference:
    """An input at which two versions differ, and what each gives."""

    call: str
    one: str
    other: str

    def words(self, one: str = "A", other: str = "B") -> str:
        return f"they differ at `{self.call}`: {one} {self.one}, {other} {self.other}"

    def expectation(self, said: str) -> str:
        """An expression that is true where the call does what was `said` of it (`one`, `other`), or
        "" where none can be written."""
        value = said.removeprefix("gives ")
        try:
            ast.literal_eval(value)
            ast.parse(self.call, mode="eval")
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return ""
        return f"{self.call} == {value}"


def group(recordings: Sequence[Recording]) -> list[list[int]]:
    """Indices of recordings in groups that could not be told apart, in order of appearance.

    Each is compared with the first of a group; what could not be observed is a group of its own.
    """
    found: list[list[int]] = []
    for index, recording in enumerate(recordings):
        for members in found:
            if _same(recordings[members[0]], recording):
                members.append(index)
                break
        else:
            found.append([index])
    return found


def agreement(original: Recording, candidate: Recording) -> tuple[int, int]:
    """(inputs at which the candidate does what the original does, inputs compared), made-up ones
    included."""
    both = [
        (a, b)
        for a, b in zip(original.plays, candidate.plays, strict=False)
        if _told(a) and _told(b)
    ]
    return sum(a.digest == b.digest for a, b in both if a and b), len(both)


def difference(one: Recording, other: Recording, names: Sequence[str]) -> Difference | None:
    """The smallest input that tells two recordings apart; `names` are the functions by input."""
    found: list[tuple[int, Difference]] = []
    for name, a, b in zip(names, one.plays, other.plays, strict=False):
        if a and b and _told(a) and _told(b) and a.digest != b.digest:
            call = f"{name}({a.text})"
            found.append((len(call), Difference(call, _gives(a, b), _gives(b, a))))
    if not found:
        found = list(_in_tests(one, other))
    return min(found, key=lambda each: each[0], default=(0, None))[1]


def _same(one: Recording, other: Recording) -> bool:
    if not one.complete or not other.complete:
        return False
    pairs = list(zip(one.plays, other.plays, strict=False))
    told = [(a, b) for a, b in pairs if a and b and _told(a) and _told(b)]
    if any(a.digest != b.digest for a, b in told):
        return False
    return not _in_tests(one, other)


def _in_tests(one: Recording, other: Recording) -> list[tuple[int, Difference]]:
    """Calls that both made with the same arguments in the same test, and that end differently."""
    known: dict[tuple[str, str, str], list[tuple[str, str]]] = defaultdict(list)
    for call in other.calls:
        known[call.key].append((call.outcome, _said(call.kind, call.value)))
    found = []
    for call in one.calls:
        if not known[call.key]:
            continue
        outcome, said = known[call.key].pop(0)
        if outcome != call.outcome:
            text = f"{call.function}({', '.join(value for _, value in call.arguments)})"
            mine = _said(call.kind, call.value)
            if mine == said:
                said += " and changes its arguments otherwise"
            found.append((len(text), Difference(text, mine, said)))
    return found


def _told(play: Play | None) -> bool:
    return play is not None and play.kind not in _UNTOLD


def _gives(play: Play, other: Play) -> str:
    said = _said(play.kind, play.value)
    same = said == _said(other.kind, other.value)
    return said + (" (and leaves its arguments otherwise)" if same else "")


def _said(kind: str, value: str) -> str:
    if kind == "raise":
        return f"raises {value}"
    if kind == "late":
        return "does not end in time"
    if kind == "open":
        return "does not end"
    return f"gives {value}"
