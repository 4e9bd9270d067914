"""Screening and confirming candidates."""

from __future__ import annotations

from diffufix.verify.confirm import Confirmed, Confirmer, confirm
from diffufix.verify.screen import Screen

__all__ = ["Confirmed", "Confirmer", "Screen", "confirm"]
