"""Screening and confirming candidates: `Candidate`, `Verdict`, `Screen`, `confirm`."""

from __future__ import annotations

from diffufix.verify.confirm import Confirmed, Confirmer, confirm
from diffufix.verify.screen import Screen
from diffufix.verify.types import Candidate, Claims, State, Verdict

__all__ = [
    "Candidate",
    "Claims",
    "Confirmed",
    "Confirmer",
    "Screen",
    "State",
    "Verdict",
    "confirm",
]
