"""From fills to candidates: splice, parse in place, drop what is known or cannot run. Text only."""

from __future__ import annotations

import ast
import hashlib
import keyword
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache

from diffufix.propose.holes import holes
from diffufix.source.edits import splice
from diffufix.source.functions import FunctionNode, find_function
from diffufix.source.names import GIVEN, bound, imports_everything, loaded
from diffufix.source.spans import Text
from diffufix.source.syntax import parse
from diffufix.types import Hole, SuspiciousFunction

#: Says whether an edit is worth a run: the trees before and after, the lines (first, last) of both
#: that it touches.
Sound = Callable[[ast.AST, ast.AST, tuple[int, int], tuple[int, int]], bool]


@dataclass(frozen=True)
class Change:
    """A span of one original file and what takes its place."""

    path: str
    start: int
    end: int
    text: str

    def overlaps(self, other: Change) -> bool:
        return self.path == other.path and self.start < other.end and other.start < self.end


@dataclass(frozen=True)
class _File:
    """What all targets of a file share; nobody changes the tree."""

    tree: ast.Module
    text: Text
    outer: frozenset[str]  # names that are bound outside of functions, or given
    open: bool  # it imports everything from somewhere


@lru_cache(maxsize=8)
def _read(source: str) -> _File:
    tree = parse(source)
    return _File(tree, Text(source), frozenset(GIVEN | bound(tree)), imports_everything(tree))


class EditTarget:
    """A suspect's function in its file: what holes are cut from and fills are judged against."""

    def __init__(self, suspect: SuspiciousFunction, source: str) -> None:
        """Raises SyntaxError when the file does not parse."""
        self.suspect, self.source = suspect, source
        file = _read(source)
        tree, text = file.tree, file.text
        self.node: FunctionNode | ast.Module | None = (
            tree
            if suspect.qualname == "<module>"
            else find_function(tree, suspect.qualname, suspect.first_line)
        )
        if isinstance(self.node, FunctionNode):
            self.start, self.end = text.span(self.node)
        else:
            self.start, self.end = 0, len(source)
        self._indented = source.rfind("\n", 0, self.start) + 1 < self.start
        self._outer, self._open = file.outer, file.open
        original = self._original = self._parse(source[self.start : self.end])
        self._known = {_digest(original)} if original else set()
        self._used = loaded(original) if original else set()
        self._names = self._used | self._outer | (bound(original) if original else set())

    @property
    def base(self) -> EditTarget:
        """The target in the file that changes are made to; a draft of a body names that body."""
        return self

    def holes(self) -> list[Hole]:
        """What may be filled; the suspicion of each is that of its lines."""
        return [] if self.node is None else holes(self.source, self.node, self.suspect.lines)

    def edited(self, change: Change) -> tuple[str, str]:
        """The function's text before and after a change of it."""
        source, start, end = self.source, self.start, self.end
        new = source[start : change.start] + change.text + source[change.end : end]
        return source[start:end], new

    def knows(self, name: str) -> bool:
        """Whether anything defines the name, a keyword included, as far as can be seen."""
        return self._open or name in self._names or keyword.iskeyword(name)

    def change(self, hole: Hole, fill: str, sound: Sound | None = None) -> Change | None:
        """The whole function with the fill in its hole; None if that was seen, is no function of
        that name any more, uses names that nothing defines, or is not `sound`."""
        start, end = self.start, self.end
        text = splice(self.source, hole, fill)[start : end + len(fill) - (hole.end - hole.start)]
        parsed = self._parse(text)
        if parsed is None:
            return None
        key = _digest(parsed)
        if key in self._known:
            return None
        self._known.add(key)
        strange = loaded(parsed) - self._used - self._outer
        if strange and not self._open and strange - bound(parsed):
            return None
        if sound is not None and self._original is not None:
            wrapped = self._indented and not isinstance(self.node, ast.Module)
            first = self.source.count("\n", start, hole.start) + (2 if wrapped else 1)
            old = (first, first + self.source.count("\n", hole.start, hole.end))
            if not sound(self._original, parsed, old, (first, first + fill.count("\n"))):
                return None
        return Change(self.suspect.path, hole.start, hole.end, fill)

    def _parse(self, text: str) -> ast.AST | None:
        """The function alone, or the module; None if it does not parse or became something else."""
        try:
            if not self._indented or isinstance(self.node, ast.Module):
                tree = parse(text)
                body = tree.body
            else:
                column = self.start - (self.source.rfind("\n", 0, self.start) + 1)
                indent = self.source[self.start - column : self.start]
                tree = parse(f"if 1:\n{indent}{text}")
                block = tree.body[0]
                assert isinstance(block, ast.If)
                if len(tree.body) != 1 or block.orelse:
                    return None
                body = block.body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None
        if isinstance(self.node, ast.Module):
            return tree
        named = body[0] if len(body) == 1 else None
        if not isinstance(named, FunctionNode) or self.node is None or named.name != self.node.name:
            return None
        return named if type(named) is type(self.node) else None


@dataclass
class PatchSet:
    """The original texts with the changes that were accepted so far."""

    sources: dict[str, str]
    accepted: list[Change] = field(default_factory=list)

    def files(self, *changes: Change) -> dict[str, str] | None:
        """Whole new texts with the accepted changes and these; None if any two overlap."""
        every = [*self.accepted, *changes]
        for i, change in enumerate(every):
            if any(change.overlaps(other) for other in every[:i]):
                return None
        files: dict[str, str] = {}
        for change in sorted(every, key=lambda c: (c.path, -c.start, -c.end)):
            text = files.get(change.path, self.sources[change.path])
            files[change.path] = splice(text, change, change.text)
        return files


def _digest(tree: ast.AST) -> bytes:
    return hashlib.blake2b(ast.dump(tree).encode("utf-8", "surrogatepass"), digest_size=16).digest()
