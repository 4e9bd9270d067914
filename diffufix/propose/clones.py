"""The same correction wherever a function says the same: `" "` to `""` in both of its returns.

A fault that was copied wants every copy mended, and one of them alone turns no test green. Text
only.
"""

from __future__ import annotations

import keyword

from diffufix.propose.candidates import EditTarget
from diffufix.types import Hole, Kind

MOST = 3  # places; what stands in more of them is hardly wrong in all


class CloneEdits:
    """The places of subjects, by what stands there."""

    def __init__(self) -> None:
        self._places: dict[EditTarget, dict[str, list[tuple[int, int]]]] = {}

    def of(self, subject: EditTarget, hole: Hole, fill: str) -> tuple[Hole, str] | None:
        """A hole from the first to the last place that holds the text of `hole`, and that span with
        `fill` in each of them; None where there is one place, more than MOST, or a name: another
        name everywhere is a renaming."""
        old, new = subject.source[hole.start : hole.end].strip(), fill.strip()
        name = old.isidentifier() and not keyword.iskeyword(old)
        if hole.kind is not Kind.EXPRESSION or name or old == new:
            return None
        places = self._of(subject).get(old, [])
        ends = [0, *(end for _, end in places)]
        apart = all(start >= end for (start, _), end in zip(places, ends, strict=False))
        if not 2 <= len(places) <= MOST or not apart:
            return None
        first, last = places[0][0], places[-1][1]
        text, at = "", first
        for start, end in places:
            text += subject.source[at:start] + new
            at = end
        return Hole(first, last, hole.kind, hole.suspicion), text

    def _of(self, subject: EditTarget) -> dict[str, list[tuple[int, int]]]:
        if subject not in self._places:
            found = self._places[subject] = {}
            for hole in subject.holes():
                if hole.kind is Kind.EXPRESSION:
                    text = subject.source[hole.start : hole.end]
                    found.setdefault(text, []).append((hole.start, hole.end))
        return self._places[subject]
