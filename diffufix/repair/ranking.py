"""Which of several patches that pass is most likely right: small, honest edits first.

Plausible is not correct; of what passes, the smallest syntactic edit was right most often
(notes of the field: deletions, literals copied from the tests and broad handlers are the
usual ways to overfit).
"""

from __future__ import annotations

import ast
import difflib
import io
import tokenize

_SKIPPED = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER}


def code_tokens(text: str) -> list[str]:
    """Lexical tokens of a piece of code; what does not tokenise counts word by word."""
    found = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type not in _SKIPPED and token.string.strip():
                found.append(token.string)
    except (tokenize.TokenError, SyntaxError, IndentationError):
        return text.split()
    return found


def rank_cost(original: str, new: str, score: float, tests: str = "") -> float:
    """Lower is better. `original` and `new` are the texts of the changed function, `score` the
    search's (nats), `tests` the source of the failing tests."""
    before, after = code_tokens(original), code_tokens(new)
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    removed = added = 0
    fresh: list[str] = []
    for tag, a, b, c, d in matcher.get_opcodes():
        if tag != "equal":
            removed, added = removed + b - a, added + d - c
            fresh += after[c:d]
    value = removed + added - 0.5 * score
    if removed > added:
        value += 1.5 * (removed - added)  # deleting what the test dislikes
    value += sum(4.0 for token in fresh if _copied(token, tests))
    if "except" in fresh or "pass" in fresh:
        value += 6.0
    return value


def _copied(token: str, tests: str) -> bool:
    """A literal of some length that the tests spell out, too."""
    try:
        literal = ast.literal_eval(token)
    except (ValueError, SyntaxError):
        return False
    if isinstance(literal, bool) or not isinstance(literal, str | int | float):
        return False
    return len(token) > 2 and token in tests
