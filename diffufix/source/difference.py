"""How much of a text an edit changes. Pure."""

from __future__ import annotations

import difflib
import re

_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")


def edit_size(old: str, new: str) -> int:
    """Tokens removed plus tokens added: words and punctuation marks, without white space."""
    before, after = split_lines(old), split_lines(new)
    head, tail = common_ends(before, after)
    old_tokens, new_tokens = (
        _TOKEN.findall("".join(lines[head : len(lines) - tail])) for lines in (before, after)
    )
    matcher = difflib.SequenceMatcher(None, old_tokens, new_tokens, autojunk=False)
    changed = [
        token
        for tag, a1, a2, b1, b2 in matcher.get_opcodes()
        if tag != "equal"
        for token in (*old_tokens[a1:a2], *new_tokens[b1:b2])
    ]
    return sum(not token.isspace() for token in changed) or int(bool(changed))


def changed_span(old: str, new: str) -> tuple[int, int]:
    """Start and end in `old` of the one part that has to be replaced to make `new`."""
    limit = min(len(old), len(new))
    start = next((i for i in range(limit) if old[i] != new[i]), limit)
    limit -= start
    left = next((i for i in range(limit) if old[-1 - i] != new[-1 - i]), limit)
    return start, len(old) - left


def split_lines(text: str) -> list[str]:
    """Lines with their ends, cut at line feeds only, as diff tools do."""
    lines = text.split("\n")
    return [line + "\n" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])


def common_ends(before: list[str], after: list[str]) -> tuple[int, int]:
    """How many lines the two share at the start, and of the rest at the end."""
    limit = min(len(before), len(after))
    head = next((i for i in range(limit) if before[i] != after[i]), limit)
    limit -= head
    tail = next((i for i in range(limit) if before[-1 - i] != after[-1 - i]), limit)
    return head, tail
