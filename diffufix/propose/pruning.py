"""`Pruner`: fills that cannot become candidates, seen while they are still being made. Text only.

A state of the search is text with gaps. What is refused here is wrong whatever the gaps will hold,
with one exception: an expression that uses a name which nothing defines could still define it
itself (`[new for new in …]`), and is given that chance while NEW gaps are left. Where a quote
makes text of what looks like code, nothing is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from diffufix.propose.candidates import EditTarget
from diffufix.types import Hole, Kind

NEW = 3  # gaps that a new name needs at least: `for`, the name, `in`
_KEYWORDS = (
    "and|as|assert|async|await|break|case|class|continue|def|del|elif|else|except|finally|for|from|"
    "global|if|import|in|is|lambda|match|nonlocal|not|or|pass|raise|return|type|while|with|yield"
)
#: Two operands side by side, an operator before a closing bracket, a comma without an item.
_WRONG = re.compile(
    rf"(?<!\w)(?!(?:{_KEYWORDS})\b)\w+[ \t]+(?!(?:{_KEYWORDS})\b)\w"
    r"|[-+%<>=&|^~]\s*[)\]},:]|[(\[,]\s*,"
)
_NAME = re.compile(r"(?<![\w.])[^\W\d]\w*")
_PAIRS = {")": "(", "]": "[", "}": "{"}
_BINDS = re.compile(r"\b(?:for|lambda)\b|:=")


class Pruner:
    """Says of a state, by the index of its hole and its ids, whether it is worth going on."""

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        mask: int,
        asked: list[tuple[EditTarget, Hole]],
    ) -> None:
        self._decode, self._mask, self._asked = decode, mask, asked
        self._texts: set[int] = set()  # hashes of whole functions that were proposed

    def __call__(self, index: int, ids: Sequence[int]) -> bool:
        subject, hole = self._asked[index]
        pieces = self._pieces(ids)
        if not any(mark in piece for piece in pieces for mark in "'\"#"):
            if not balanced(pieces) or any(_WRONG.search(part) for part in _settled(pieces)):
                return False
            if hole.kind is Kind.EXPRESSION and self._strange(subject, hole, pieces):
                return False
        return len(pieces) > 1 or self._fresh(subject, hole, pieces[0])

    def _pieces(self, ids: Sequence[int]) -> list[str]:
        """The text between the masks; a run of masks is so many gaps."""
        pieces: list[str] = []
        run: list[int] = []
        for token in ids:
            if token == self._mask:
                pieces.append(self._decode(run) if run else "")
                run = []
            else:
                run.append(token)
        return [*pieces, self._decode(run) if run else ""]

    def _strange(self, subject: EditTarget, hole: Hole, pieces: Sequence[str]) -> bool:
        """Whether an expression uses a name that nothing defines, nor will."""
        if len(pieces) > NEW or any(_BINDS.search(piece) for piece in pieces):
            return False
        source = subject.source
        left, right = source[max(0, hole.start - 1) : hole.start], source[hole.end : hole.end + 4]
        parts = _settled(pieces)
        for number, part in enumerate(parts):
            for found in _NAME.finditer(part):
                before = left if number == 0 and found.start() == 0 else ""
                after = part[found.end() :]
                after += right if number == len(parts) - 1 else ""
                outside = re.match(r"[\w.]", before) or re.match(r"\w|\s*=(?!=)", after)
                if not outside and not subject.knows(found.group()):
                    return True
        return False

    def _fresh(self, subject: EditTarget, hole: Hole, text: str) -> bool:
        """Whether the function is neither as it was nor was proposed so through another hole."""
        if text == subject.source[hole.start : hole.end]:
            return False
        whole = subject.source[subject.start : hole.start] + text
        key = hash((id(subject), whole + subject.source[hole.end : subject.end]))
        if key in self._texts:
            return False
        self._texts.add(key)
        return True


def _settled(pieces: Sequence[str]) -> list[str]:
    """The pieces without words that a gap beside them may change or complete."""
    last = len(pieces) - 1
    cut = [re.sub(r"^\w+", "", piece) if i else piece for i, piece in enumerate(pieces)]
    return [re.sub(r"\w+$", "", piece) if i < last else piece for i, piece in enumerate(cut)]


def balanced(pieces: Sequence[str]) -> bool:
    """Whether brackets may come to match, whatever the gaps between the pieces hold."""
    free = False  # a gap before may have opened anything
    stack: list[str] = []
    for number, piece in enumerate(pieces):
        if number:
            free, stack = True, []  # what was open may have been closed
        for char in piece:
            if char in "([{":
                stack.append(char)
            elif char in ")]}":
                if stack:
                    if stack.pop() != _PAIRS[char]:
                        return False
                elif not free:
                    return False
    return not stack
