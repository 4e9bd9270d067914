"""The result of a run as text on stdout: the diff first, then what it does and what to do next.

Without a terminal the output is plain and the diff exact to the byte, so that
`diffufix repair | git apply` works.
"""

from __future__ import annotations

import shutil
import textwrap
from typing import TextIO

from diffufix.repair.types import RepairResult
from diffufix.report import style
from diffufix.report.diff import write_diff
from diffufix.report.result import offer_lines, summary, trust_lines
from diffufix.report.words import counted
from diffufix.trusted import visible

__all__ = ["columns", "counted", "offer_lines", "trust_lines", "write_diff",
           "write_lines", "write_result"]  # fmt: skip


def write_result(result: RepairResult, out: TextIO, verbose: bool = False) -> None:
    """Write the diff and the summary; coloured where `out` is a terminal that shows colour."""
    if result.patch is not None:
        write_diff(result.patch.diff, out)
        out.write("\n")
    write_lines(summary(result, verbose), out)


def columns(out: TextIO) -> int:
    """How wide a table may be: the terminal's columns; without one there is no limit (0)."""
    return shutil.get_terminal_size((80, 24)).columns if style.is_terminal(out) else 0


def write_lines(lines: list[tuple[str, str]], out: TextIO, hanging: int | None = None) -> None:
    """Lines with their styles. On a terminal they are wrapped between words, what follows indented
    by `hanging` columns; ids, paths and commands stay whole. Elsewhere a line is a line."""
    colour, terminal = style.colours(out), style.is_terminal(out)
    width = style.width_of(out)
    for text, how in lines:
        rows = _wrapped(visible(text), width, hanging) if terminal else [visible(text)]
        for row in rows:
            out.write(style.painted(row, how, colour) + "\n")


def _wrapped(text: str, width: int, hanging: int | None) -> list[str]:
    indent = len(text) - len(text.lstrip()) + 2 if hanging is None else hanging
    indent = min(indent, width // 2)
    return textwrap.wrap(
        text, width, subsequent_indent=" " * indent, break_long_words=False,
        break_on_hyphens=False, drop_whitespace=True,
    ) or [""]  # fmt: skip
