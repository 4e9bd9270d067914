"""`Edit`, a span of a text and what takes its place; `splice` makes one edit, `apply` several.

Offsets count characters of the decoded text. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class Span(Protocol):
    """Anything that says where it is: [start, end)."""

    @property
    def start(self) -> int: ...

    @property
    def end(self) -> int: ...


@dataclass(frozen=True, order=True)
class Edit:
    """[start, end) of a text becomes `text`; `kind` names the rule that says so.

    `order` counts what the rule says before it of the same place, the nearest at hand first."""

    start: int
    end: int
    text: str
    kind: str = ""
    order: int = field(default=0, compare=False)


class Place(NamedTuple):
    """[start, end) of the edited text is [first, last) of the text before."""

    start: int
    end: int
    first: int
    last: int


def splice(source: str, span: Span, text: str) -> str:
    """The source with `text` in the place of the span."""
    return source[: span.start] + text + source[span.end :]


def apply(source: str, edits: Iterable[Edit]) -> tuple[str, list[Place]]:
    """The edited text, and the place of every edit. Edits are sorted and do not overlap."""
    out, places, at = "", [], 0
    for edit in edits:
        out += source[at : edit.start]
        places.append(Place(len(out), len(out) + len(edit.text), edit.start, edit.end))
        out += edit.text
        at = edit.end
    return out + source[at:], places


def before_edits(offset: int, places: Sequence[Place], right: bool) -> int | None:
    """Where a boundary of a hole in the broken text lies in the original; None inside an edit."""
    shift = 0
    for start, end, _, last in places:
        if start < offset < end:
            return None
        if offset < start or (offset == start and (not right or start < end)):
            break
        shift = last - end
    return offset + shift
