"""All edits that are known without a model, of one suspicious function. Text only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from diffufix.propose.edits.code import Code
from diffufix.propose.edits.donors import donors
from diffufix.propose.edits.guards import guards
from diffufix.propose.edits.inverse import inverse
from diffufix.propose.edits.moves import moves
from diffufix.propose.edits.pool import Pool
from diffufix.propose.edits.regexes import regexes
from diffufix.source.edits import Edit


def edits_of(code: Code, pool: Pool) -> list[Edit]:
    """Mutations backwards, statements moved, guards, donors: each text once, in the order of the
    source."""
    return unique(code, listed(code, pool))


def listed(code: Code, pool: Pool) -> list[Edit]:
    """The same as the rules say them: some say the same."""
    own = [*inverse(code), *moves(code), *regexes(code)]
    return [*own, *guards(code, pool), *donors(code, pool)]


def unique(code: Code, edits: Iterable[Edit]) -> list[Edit]:
    """Without repeats of the same whole text (the first rule names it) and without what changes
    nothing, in the order of the source."""
    found: dict[tuple[int, int, str], Edit] = {}
    places: Counter[tuple[int, int, str]] = Counter()
    source = code.source
    for edit in edits:
        key = _trimmed(source, edit)
        if key not in found and (key[2] or key[0] < key[1]):
            place = (edit.start, edit.end, edit.kind)
            found[key] = Edit(edit.start, edit.end, edit.text, edit.kind, places[place])
            places[place] += 1
    return sorted(found.values(), key=lambda e: (e.start, e.end, e.kind, e.text))


def _trimmed(source: str, edit: Edit) -> tuple[int, int, str]:
    """The same edit without the characters that it keeps at both ends."""
    start, end, text = edit.start, edit.end, edit.text
    old = source[start:end]
    least = min(len(old), len(text))
    head = 0
    while head < least and old[head] == text[head]:
        head += 1
    least -= head
    tail = 0
    while tail < least and old[-1 - tail] == text[-1 - tail]:
        tail += 1
    start, end, text = start + head, end - tail, text[head : len(text) - tail]
    if start == end:  # the same letters put in a little earlier
        while text and start and source[start - 1] == text[-1]:
            start, text = start - 1, text[-1] + text[:-1]
        return start, start, text
    while not text and start and source[start - 1] == source[end - 1]:
        start, end = start - 1, end - 1
    return start, end, text
