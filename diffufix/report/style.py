"""Colour and width of what is printed. Reads NO_COLOR, FORCE_COLOR, TERM and the stream.

FORCE_COLOR wins over a pipe, NO_COLOR over everything (no-color.org, force-color.org).
"""

from __future__ import annotations

import os
import re
import shutil
from typing import TextIO

WIDEST = 100  # columns of running text on wide terminals
NARROWEST = 40

_CODES = {
    "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34",
    "magenta": "35", "cyan": "36",
}  # fmt: skip
_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def colours(stream: TextIO) -> bool:
    """Whether `stream` is to be given colour."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return is_terminal(stream) and os.environ.get("TERM", "") not in ("", "dumb")


def is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except (AttributeError, ValueError):  # not a real stream, or closed
        return False


def width_of(stream: TextIO) -> int:
    """Columns of running text: the terminal's, within bounds; WIDEST without one."""
    if not is_terminal(stream):
        return WIDEST
    return max(NARROWEST, min(shutil.get_terminal_size((80, 24)).columns, WIDEST))


def painted(text: str, style: str, on: bool = True) -> str:
    """`text` in a style such as "bold green"; as it is where colour is off."""
    codes = ";".join(_CODES[word] for word in style.split())
    return f"\x1b[{codes}m{text}\x1b[0m" if on and codes and text else text


def plain(text: str) -> str:
    """Without the escapes that `painted` puts in."""
    return _ESCAPE.sub("", text)
