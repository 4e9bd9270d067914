"""Text that no formatter would leave: `odd_layout` looks at the blanks of the changed lines."""

from __future__ import annotations

import io
import tokenize
from collections.abc import Iterator

from diffufix.source.spans import Text

_TIGHT_LEFT = {")", "]", "}", ",", ";"}
_TIGHT_RIGHT = {"(", "[", "{"}
_SPACED = {"==", "!=", "<=", ">=", "<", ">", "->", "+=", "-=", "*=", "/=", ":=", "and", "or", "in",
           "is", "if", "else"}  # fmt: skip
_SIDED = {"+", "-", "*", "/", "//", "%", "|", "&", "^", "<<", ">>", "@"}


def odd_layout(original: str, new: str) -> Iterator[tuple[str, str]]:
    """("layout", reason) for a changed line that is laid out as no other line of the file."""
    before, after = Text(original).lines, Text(new).lines
    changed = _between(before, after)
    known = {line.strip() for line in before}
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(new, newline="").readline))
    except (tokenize.TokenError, SyntaxError):
        return
    for left, token, right in zip(tokens, tokens[1:], tokens[2:], strict=False):
        line = token.start[0]
        if line not in changed or token.line.strip() in known or left.end[0] != line:
            continue
        gap = token.start[1] - left.end[1]
        next_gap = right.start[1] - token.end[1] if right.start[0] == line else None
        if _odd(left.string, token.string, gap, next_gap, token.type):
            yield "layout", f"`{token.line.strip()[:60]}` is laid out as no formatter would"
            return


def _between(before: list[str], after: list[str]) -> range:
    """The lines of the new text from the first to the last one that differs, counted from 1."""
    least = min(len(before), len(after))
    head = next((i for i in range(least) if before[i] != after[i]), least)
    tail = next((i for i in range(least - head) if before[-1 - i] != after[-1 - i]), least - head)
    return range(head + 1, len(after) - tail + 1)


def _odd(left: str, token: str, gap: int, next_gap: int | None, kind: int) -> bool:
    if kind == tokenize.COMMENT or not token.strip() or not left.strip():
        return False
    if token in _TIGHT_LEFT and gap and left != ",":
        return True
    if left in _TIGHT_RIGHT and gap:
        return True
    if gap > 1:
        return True
    if left == "," and not gap and token not in _TIGHT_LEFT:
        return True
    if token in _SPACED:
        return not gap or next_gap == 0
    if token in _SIDED and next_gap is not None and left not in _TIGHT_RIGHT | {",", "=", "return"}:
        return left.isidentifier() and bool(gap) != bool(next_gap) and not _keyword(left)
    return False


def _keyword(text: str) -> bool:
    import keyword

    return keyword.iskeyword(text)
