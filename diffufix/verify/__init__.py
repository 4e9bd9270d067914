"""Screening and confirming candidates: `Candidate`, `Verdict`, `Screen`, `confirm`."""

from __future__ import annotations

from diffufix.verify.confirm import confirm
from diffufix.verify.screen import Screen
from diffufix.verify.types import Candidate, State, Verdict

__all__ = ["Candidate", "Screen", "State", "Verdict", "confirm"]
