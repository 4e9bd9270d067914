"""Patches as values: unified diffs and edit sizes. Pure."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from diffufix.errors import ProjectError
from diffufix.source.difference import common_ends, edit_size, split_lines
from diffufix.source.file import SourceFile
from diffufix.types import EditedFile, Patch

CONTEXT_LINES = 3
_Tag = Literal["replace", "delete", "insert", "equal"]
_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_NO_NEWLINE = "\n\\ No newline at end of file\n"


def make_patch(originals: Mapping[str, str | SourceFile], files: Mapping[str, str]) -> Patch:
    """The patch that turns `originals` into `files`, both by relative path.

    With a SourceFile, the diff shows a byte order mark too and so fits the file exactly.
    """
    edits, diff = [], ""
    for path in sorted(files):
        source = originals[path]
        old, mark = (source, "") if isinstance(source, str) else (source.text, source.mark)
        if old != files[path]:
            edits.append(EditedFile(path, old, files[path]))
            diff += unified_diff(path, mark + old, mark + files[path])
    return Patch(tuple(edits), diff, sum(edit_size(edit.original, edit.new) for edit in edits))


def unified_diff(path: str, old: str, new: str) -> str:
    """A unified diff that `git apply` and `patch -p1` take; empty for equal texts."""
    before, after = split_lines(old), split_lines(new)
    head, tail = common_ends(before, after)
    if head == len(before) == len(after):
        return ""
    start, keep = max(0, head - CONTEXT_LINES), max(0, tail - CONTEXT_LINES)
    before, after = before[start : len(before) - keep], after[start : len(after) - keep]
    matcher = _Between(before, after, head - start, tail - keep)
    suffix = "\t" if " " in path else ""
    out = [f"--- a/{path}{suffix}\n", f"+++ b/{path}{suffix}\n"]
    for group in matcher.get_grouped_opcodes(CONTEXT_LINES):
        (_, i1, _, j1, _), (_, _, i2, _, j2) = group[0], group[-1]
        out.append(f"@@ -{_range(start + i1, i2 - i1)} +{_range(start + j1, j2 - j1)} @@\n")
        for tag, a1, a2, b1, b2 in group:
            if tag == "equal":
                out += [_marked(" ", line) for line in before[a1:a2]]
                continue
            out += [_marked("-", line) for line in before[a1:a2]]
            out += [_marked("+", line) for line in after[b1:b2]]
    return "".join(out)


class _Between(difflib.SequenceMatcher[str]):
    """Compares what lies between a common head and a common tail of so many lines.

    A change that were matched into them could stand at the end of the lines that are shown, which
    says "end of file" to git.
    """

    def __init__(self, before: list[str], after: list[str], head: int, tail: int) -> None:
        super().__init__(
            None, before[head : len(before) - tail], after[head : len(after) - tail], autojunk=False
        )
        self._sizes, self._head, self._tail = (len(before), len(after)), head, tail

    def get_opcodes(self) -> list[tuple[_Tag, int, int, int, int]]:
        head, (old, new) = self._head, self._sizes
        inner = [
            (tag, i1 + head, i2 + head, j1 + head, j2 + head)
            for tag, i1, i2, j1, j2 in super().get_opcodes()
        ]
        return [
            ("equal", 0, head, 0, head),
            *inner,
            ("equal", old - self._tail, old, new - self._tail, new),
        ]


def diff_bytes(diff: str, root: Path) -> bytes:
    """A diff as it fits the files below `root` byte for byte: each part in its file's encoding."""
    written, encoding, left = [], "utf-8", [0, 0]  # lines left of a hunk, before and after
    for line in split_lines(diff):
        if left == [0, 0]:
            if line.startswith("+++ b/"):
                encoding = _encoding_of(root / line[6:].split("\t")[0].rstrip("\n"))
            elif found := _HUNK.match(line):
                left = [int(found[1] or 1), int(found[2] or 1)]
            written.append(line.encode("utf-8", "surrogateescape"))
            continue
        for at, marks in enumerate((" -", " +")):
            left[at] -= line[0] in marks
        written.append(line.encode(encoding, "surrogateescape"))
    return b"".join(written)


def _encoding_of(path: Path) -> str:
    try:
        encoding = SourceFile.read(path).encoding
    except ProjectError:
        return "utf-8"
    return "utf-8" if encoding == "utf-8-sig" else encoding  # the mark is a letter of the text


def _range(start: int, length: int) -> str:
    first = start + 1 if length else start  # an empty range names the line before it
    return str(first) if length == 1 else f"{first},{length}"


def _marked(mark: str, line: str) -> str:
    return mark + (line if line.endswith("\n") else line + _NO_NEWLINE)
