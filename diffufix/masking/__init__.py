"""Holes of a suspect, from fine to coarse, and the splice that fills one. Knows text, not ids."""

from diffufix.masking.holes import find_function, holes, splice
from diffufix.masking.types import Hole, Kind

__all__ = ["Hole", "Kind", "find_function", "holes", "splice"]
