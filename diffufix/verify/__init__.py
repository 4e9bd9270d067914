"""Screening and confirming candidates."""

from __future__ import annotations

from diffufix.verify.confirm import Confirmed, Confirmer
from diffufix.verify.pool import ValidatorPool

__all__ = ["Confirmed", "Confirmer", "ValidatorPool"]
