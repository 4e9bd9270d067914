"""Beds and what grows in them."""

from __future__ import annotations

from dataclasses import dataclass, field


def area(length: float, width: float) -> float:
    """The area of a rectangular bed in square metres.

    >>> area(4, 2.5)
    10.0
    >>> area(3, 3)
    9
    """
    raise NotImplementedError


def fits(length: float, spacing: float) -> int:
    """How many plants fit into a row, `spacing` apart, the first one at its very beginning.

    fits(10, 4) -> 3, fits(8, 4) -> 3, fits(3, 4) -> 1
    """
    raise NotImplementedError


@dataclass
class Bed:
    """One bed: its name, and how many plants of each kind grow there."""

    name: str
    plants: dict[str, int] = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        """Does nothing grow here?

        >>> Bed("north").is_empty
        True
        >>> Bed("north", {"leek": 12}).is_empty
        False
        """
        ...

    def count(self) -> int:
        """How many plants there are, of all kinds together."""
        raise NotImplementedError

    def kinds(self) -> list[str]:
        """The kinds of plants in alphabetical order.

        >>> Bed("south", {"pea": 30, "bean": 8}).kinds()
        ['bean', 'pea']
        """
        ...

    def plant(self, kind: str, number: int = 1) -> None:
        """Add plants of a kind, to those of it that grow there already."""
        raise NotImplementedError

    @classmethod
    def from_line(cls, line: str) -> Bed:
        """A bed as a line of the notebook has it: its name, a colon, kinds with their numbers.

        >>> Bed.from_line("north: leek 12, onion 40").plants
        {'leek': 12, 'onion': 40}
        >>> Bed.from_line("east:").plants
        {}
        """
        raise NotImplementedError
