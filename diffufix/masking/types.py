"""What is masked: `Hole`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """From fine to coarse, the order in which holes are tried."""

    EXPRESSION = "expression"
    STATEMENT = "statement"
    INSERTION = "insertion"
    BLOCK = "block"
    BODY = "body"


@dataclass(frozen=True, order=True)
class Hole:
    """A span of one file's text to be regenerated; `start == end` inserts.

    Offsets count characters of the decoded source (newlines untouched).
    """

    start: int
    end: int
    kind: Kind
    suspicion: float = 0.0  # the highest suspiciousness of the lines it touches
