"""A unified diff for people: coloured, and folded to the terminal's width by us.

Without a terminal it is exact to the byte, so that `git apply` takes it.
"""

from __future__ import annotations

import difflib
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from diffufix.project import find_root
from diffufix.report import style
from diffufix.source.patch import diff_bytes
from diffufix.trusted import visible

_HUNK = re.compile(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@")
_CHANGED = {"-": "red", "+": "green"}
_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
_SIMILAR = 0.3  # likeness of two lines from which the words that differ stand out
_TAB = 4
#: Kinds of tokens of the Python lexer that are coloured in lines that stay.
_TOKENS = (("Token.Keyword", "magenta"), ("Token.Comment", "dim"), ("Token.Literal.String", "cyan"),
           ("Token.Literal.Number", "blue"), ("Token.Name.Builtin", "blue"))  # fmt: skip

Piece = tuple[str, str]  # text and its style


def write_diff(diff: str, out: TextIO) -> None:
    """Write a unified diff; where `out` is no terminal, to the byte as the project's files are."""
    if not style.is_terminal(out):
        binary = getattr(out, "buffer", None)
        if binary is None:
            out.write(diff)
        else:
            out.flush()
            binary.write(diff_bytes(diff, find_root(Path.cwd())))
            binary.flush()
        return
    width = max(style.NARROWEST, shutil.get_terminal_size((80, 24)).columns)
    for line in shown(diff, width, style.colours(out)):
        out.write(line + "\n")


def shown(diff: str, width: int, colour: bool) -> Iterator[str]:
    """The lines of a diff, each at most `width` columns; what is longer goes on after a `↪`."""
    lines = [visible(line).expandtabs(_TAB) for line in diff.removesuffix("\n").split("\n")]
    for index, line in enumerate(lines):
        for row in _folded(_pieces(lines, index, colour), line, width):
            yield "".join(style.painted(text, how, colour) for text, how in row)


def _pieces(lines: list[str], index: int, colour: bool) -> list[Piece]:
    line = lines[index]
    if not colour:
        return [(line, "")]
    if line.startswith(("+++ ", "--- ")):
        return [(line, "bold")]
    if line.startswith("@@"):
        return [(line, "cyan")]
    if line[:1] in _CHANGED:
        return _changed(line, _partner(lines, index), _CHANGED[line[0]])
    return _python(line)


def _partner(lines: list[str], index: int) -> str:
    """The line that this one takes the place of, or that takes its place: where as many lines go as
    come, in their order."""
    first = index
    while first and lines[first - 1][:1] in _CHANGED and not _head(lines[first - 1]):
        first -= 1
    end = index
    while end + 1 < len(lines) and lines[end + 1][:1] in _CHANGED and not _head(lines[end + 1]):
        end += 1
    gone = [n for n in range(first, end + 1) if lines[n][0] == "-"]
    come = [n for n in range(first, end + 1) if lines[n][0] == "+"]
    if len(gone) != len(come):
        return ""
    pairs = dict(zip(gone, come, strict=True)) | dict(zip(come, gone, strict=True))
    return lines[pairs[index]]


def _head(line: str) -> bool:
    return line.startswith(("--- a/", "+++ b/"))


def _changed(line: str, other: str, how: str) -> list[Piece]:
    """A line that goes or comes; the words in which it differs from its partner are bold."""
    here, there = _WORDS.findall(line[1:]), _WORDS.findall(other[1:])
    matcher = difflib.SequenceMatcher(None, here, there, autojunk=False)
    if not other or matcher.ratio() < _SIMILAR:
        return [(line, how)]
    pieces = [(line[0], how)]
    for kind, start, end, _, _ in matcher.get_opcodes():
        text, shown = "".join(here[start:end]), how if kind == "equal" else f"bold {how}"
        if text and shown == pieces[-1][1]:
            pieces[-1] = (pieces[-1][0] + text, how)
        elif text:
            pieces.append((text, shown))
    return pieces


def _python(line: str) -> list[Piece]:
    """A line that stays, as Python."""
    from pygments.lexers import PythonLexer

    pieces = [(line[:1], "")]
    for kind, text in PythonLexer(stripnl=False, ensurenl=False).get_tokens(line[1:]):
        how = next((how for name, how in _TOKENS if str(kind).startswith(name)), "")
        pieces.append((text, how))
    return pieces


def _folded(pieces: list[Piece], line: str, width: int) -> Iterator[list[Piece]]:
    """Rows of at most `width` columns; the later ones keep the mark and say that they go on."""
    if len(line) <= width:
        yield pieces
        return
    mark = line[:1] if line[:1] in "+- " else ""
    how = _CHANGED.get(mark, "")
    row: list[Piece] = []
    used = 0
    for text, kind in pieces:
        for word in _WORDS.findall(text):
            for part in [word[i : i + width - 4] for i in range(0, len(word), width - 4)]:
                if used + len(part) > width:
                    yield row
                    row, used = [(mark, how), (" ↪ ", "dim")], len(mark) + 3
                row.append((part, kind))
                used += len(part)
    yield row
