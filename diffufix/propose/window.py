"""The model's view of a function: its tokens with their places in the file, cut to a budget.

A long docstring is left out, then lines far from the focus; the signature always stays. Both
training and repair see code through this window, so that the model meets what it was taught.
"""

from __future__ import annotations

import ast
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from diffufix.source.functions import FunctionNode, docstring_of
from diffufix.source.spans import Text

MAX_DOCSTRING = 64  # tokens
MAX_WINDOW = 320  # tokens


class OffsetEncoder(Protocol):
    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]: ...


@dataclass(frozen=True)
class Window:
    """Token ids with their character spans in the source; spans grow, but may leave gaps."""

    ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]

    def locate(self, start: int, end: int) -> tuple[int, int] | None:
        """The tokens that cover [start, end) as a half-open range, widened to whole tokens.

        Empty for an empty span between two tokens. None where the span is not wholly inside.
        """
        first = bisect_right([e for _, e in self.spans], start)
        last = bisect_left([s for s, _ in self.spans], end)
        if start == end:
            if first < last:  # inside a token
                return None
            first = last = min(first, last) if first > last else first
            before = first > 0 and self.spans[first - 1][1] == start
            after = first < len(self.spans) and self.spans[first][0] == start
            return (first, first) if before or after else None
        if first >= last or self.spans[first][0] > start or self.spans[last - 1][1] < end:
            return None
        inside = self.spans[first:last]
        if any(left < right for (_, left), (right, _) in pairwise(inside)):
            return None
        return first, last


def between(source: str, view: Window, index: int) -> bool:
    """Whether something may be inserted before a token of the window: not within a word, and not
    where the window has left something out."""
    (_, end), (start, _) = view.spans[index - 1], view.spans[index]
    return end == start and not (_wordy(source[start - 1]) and _wordy(source[start]))


def _wordy(char: str) -> bool:
    return char.isalnum() or char == "_"


def window(
    source: str,
    node: FunctionNode | ast.Module,
    tokenizer: OffsetEncoder,
    focus: tuple[int, int] | None = None,
    budget: int = MAX_WINDOW,
) -> Window:
    """The window on a function (or module); `focus` is the character span that must stay."""
    text = Text(source)
    if isinstance(node, ast.Module):
        begin, end, body = 0, len(source), 0
    else:
        begin, end = text.span(node)
        begin = source.rfind("\n", 0, begin) + 1
        body = text.span(node.body[0])[0]
    ids, spans = tokenizer.encode_with_offsets(source[begin:end])
    spans = [(a + begin, b + begin) for a, b in spans]
    docstring = docstring_of(node)
    if docstring is not None and len(node.body) > 1:
        _, stop = text.span(docstring)
        body = stop
        start = source.rfind(":", begin, text.span(docstring)[0]) + 1
        keep = [not (start <= a and b <= stop) for a, b in spans]
        if len(keep) - sum(keep) > MAX_DOCSTRING:
            ids = [i for i, k in zip(ids, keep, strict=True) if k]
            spans = [s for s, k in zip(spans, keep, strict=True) if k]
    if len(ids) > budget:
        ids, spans = _cut(source, ids, spans, body, focus or (body, body), budget)
    return Window(tuple(ids), tuple(spans))


def _cut(
    source: str,
    ids: Sequence[int],
    spans: Sequence[tuple[int, int]],
    body: int,
    focus: tuple[int, int],
    budget: int,
) -> tuple[list[int], list[tuple[int, int]]]:
    """Keep the signature (a quarter of the budget at most) and whole lines around the focus."""
    head = min(bisect_left([s for s, _ in spans], body), budget // 4)
    breaks = [i for i in range(head, len(ids)) if source[spans[i][0]] in "\r\n"] + [len(ids)]
    starts, ends = [s for s, _ in spans], [e for _, e in spans]
    low = max(bisect_right(ends, focus[0]), head)
    high = min(max(bisect_left(starts, focus[1]), low), len(ids))
    left = max((i for i in breaks if i <= low), default=low)
    right = min((i for i in breaks if i >= high), default=high)
    room = budget - head
    while True:
        earlier = max((i for i in breaks if i < left), default=left)
        later = min((i for i in breaks if i > right), default=right)
        if later > right and later - left <= room:
            right = later
            if earlier < left and right - earlier <= room:
                left = earlier
        elif earlier < left and right - earlier <= room:
            left = earlier
        else:
            break
    kept = [*range(head), *range(max(left, head), right)]
    return [ids[i] for i in kept], [spans[i] for i in kept]
