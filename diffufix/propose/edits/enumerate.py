"""All edits that are known without a model, of one suspicious function. Text only."""

from __future__ import annotations

from diffufix.propose.edits.code import Code, Edit
from diffufix.propose.edits.donors import Pool, donors
from diffufix.propose.edits.inverse import inverse, unique
from diffufix.propose.edits.moves import moves


def edits_of(code: Code, pool: Pool) -> list[Edit]:
    """Mutations backwards, statements moved, donors: each text once, in the order of the source."""
    return unique(code, [*inverse(code), *moves(code), *donors(code, pool)])
