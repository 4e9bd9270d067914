"""Numbers and lists as people read them."""

from __future__ import annotations

from collections.abc import Sequence

MOST = 10  # entries of a list that are shown before the rest is counted


def counted(number: int, noun: str, plural: str = "") -> str:
    """ "1 test", "2 tests", "1,000 patches"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(entries: Sequence[str], most: int = MOST) -> list[str]:
    """The first entries, and how many follow; all of them for `most` 0."""
    if not most or len(entries) <= most + 1:
        return list(entries)
    return [*entries[:most], f"... and {len(entries) - most:,} more"]


def seconds(value: float) -> str:
    """ "0.4 s", "12 s", "3 min 5 s"."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    return f"{int(value) // 60} min {int(value) % 60} s"
