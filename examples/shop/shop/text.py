"""Plain text for receipts and labels of a fixed width."""

from __future__ import annotations


def split_long(word: str, width: int) -> list[str]:
    """Cut a word that does not fit on a line into pieces of at most `width` characters."""
    return [word[start : start + width] for start in range(0, len(word), width)]


def wrap(text: str, width: int) -> list[str]:
    """Break text into lines of at most `width` characters, between words where possible."""
    if width < 1:
        raise ValueError("width must be at least 1")
    lines: list[str] = []
    current = ""
    for word in text.split():
        for piece in split_long(word, width):
            if not current:
                current = piece
            elif len(current) + len(piece) <= width:
                current = current + " " + piece
            else:
                lines.append(current)
                current = piece
    if current:
        lines.append(current)
    return lines


def columns(left: str, right: str, width: int, fill: str = " ") -> str:
    """One line with `left` at its start and `right` at its end, at least one `fill` between."""
    gap = width - len(left) - len(right)
    if gap < 1:
        left = left[: len(left) + gap - 1]
        gap = width - len(left) - len(right)
    return left + fill * gap + right


def money(cents: int) -> str:
    """1234567 -> "12,345.67"."""
    sign = "-" if cents < 0 else ""
    euros, rest = divmod(abs(cents), 100)
    return f"{sign}{euros:,}.{rest:02d}"


def title_case(text: str, small: tuple[str, ...] = ("and", "of", "the", "for")) -> str:
    """Capitalise the words of a heading, except small ones that are not the first."""
    words = text.lower().split()
    shown = []
    for index, word in enumerate(words):
        if index > 0 and word in small:
            shown.append(word)
        else:
            shown.append(word.capitalize())
    return " ".join(shown)
