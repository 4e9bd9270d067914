"""Labels for the beds."""

from __future__ import annotations


def shorten(text: str, width: int) -> str:
    """The text, cut to `width` characters.

    shorten("courgette", 4) -> "cour", shorten("pea", 4) -> "pea"
    """
    raise NotImplementedError


def label(name: str, number: int) -> str:
    """What stands on a label: the name with a capital letter, a blank, the number after a "#".

    >>> label("leek", 3)
    'Leek #3'
    """
    raise NotImplementedError


def table(rows: list[tuple[str, int]]) -> str:
    """Rows of names and numbers as lines: names flush left, numbers flush right, columns as wide
    as their widest entry, two blanks between them.

    >>> print(table([("pea", 30), ("leek", 8)]))
    pea   30
    leek   8
    >>> table([])
    ''
    """
    raise NotImplementedError
