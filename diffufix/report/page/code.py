"""Source text as lines of HTML: `highlighted`, and a diff as lines with their kind."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup, escape

from diffufix.trusted import visible

_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")


@dataclass(frozen=True)
class CodeLine:
    """One line of source; `heat` in [0, 1] is how suspicious it is, -1 where no failing test runs
    it."""

    number: int
    html: Markup
    heat: float = -1.0

    @property
    def level(self) -> int:
        """Of five colours; 0: none."""
        return 0 if self.heat < 0 else 1 + min(4, int(self.heat * 5))


@dataclass(frozen=True)
class DiffLine:
    mark: str  # "+", "-", " ", "@" for a place, "f" for a file
    html: Markup
    old: int = 0
    new: int = 0


def highlighted(text: str) -> list[Markup]:
    """Python source, a line each, with Pygments' short class names."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    shown = "\n".join(visible(line) for line in text.splitlines())
    lexer = PythonLexer(stripnl=False, ensurenl=False)
    made = highlight(shown, lexer, HtmlFormatter(nowrap=True))
    lines = made.split("\n")
    count = shown.count("\n") + 1
    return [Markup(line) for line in (lines + [""] * count)[:count]]


def source_lines(text: str, first: int, heat: dict[int, float]) -> list[CodeLine]:
    """The lines of a function whose first one has this number."""
    return [
        CodeLine(number, html, heat.get(number, -1.0))
        for number, html in enumerate(highlighted(text), first)
    ]


def diff_lines(diff: str) -> Iterator[DiffLine]:
    """A unified diff, as it is read."""
    old = new = 0
    for line in diff.splitlines():
        if line.startswith("+++ "):
            name = line[4:].split("\t")[0].removeprefix("b/")
            yield DiffLine("f", escape(visible(name)))
        elif line.startswith("--- "):
            continue
        elif found := _HUNK.match(line):
            old, new = int(found[1]), int(found[2])
            yield DiffLine("@", escape(line))
        else:
            mark = line[:1] if line[:1] in "+- " else " "
            text = highlighted(line[1:])[0] if line[1:].strip() else Markup("")
            yield DiffLine(mark, text, old if mark != "+" else 0, new if mark != "-" else 0)
            old += mark != "+"
            new += mark != "-"
