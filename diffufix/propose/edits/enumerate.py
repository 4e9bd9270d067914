"""All edits that are known without a model, of one suspicious function. Text only."""

from __future__ import annotations

from diffufix.propose.edits.code import Code
from diffufix.propose.edits.donors import donors
from diffufix.propose.edits.guards import guards
from diffufix.propose.edits.inverse import inverse, unique
from diffufix.propose.edits.moves import moves
from diffufix.propose.edits.pool import Pool
from diffufix.propose.edits.regexes import regexes
from diffufix.source.edits import Edit


def edits_of(code: Code, pool: Pool) -> list[Edit]:
    """Mutations backwards, statements moved, guards, donors: each text once, in the order of the
    source."""
    own = [*inverse(code), *moves(code), *regexes(code)]
    return unique(code, [*own, *guards(code, pool), *donors(code, pool)])
