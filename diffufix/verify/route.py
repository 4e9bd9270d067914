"""Which way a candidate may be screened, from what its edit touches; touches nothing.

`swaps(original, candidate)` names the functions whose bodies alone differ, or says None: then
modules have to be imported anew. Everything outside of functions must be the same text, and their
signatures, decorators, docstrings and kinds the same syntax.
"""

from __future__ import annotations

import ast
import difflib
from dataclasses import dataclass
from functools import cached_property, lru_cache

from diffufix.source.file import SourceFile
from diffufix.source.functions import Definition, FunctionNode
from diffufix.source.spans import lines_of
from diffufix.source.syntax import UNREADABLE, parse
from diffufix.verify.methods import deciding

#: (name, first line, first line in the candidate) of a function to exchange.
Swap = tuple[str, int, int]
#: (path, first line, last line, changed lines) in the candidate's text of one edited function with
#: what is inside it; first line 0: of the rest of the module.
Place = tuple[str, int, int, tuple[int, ...]]
#: What edited code may use at run time only where the original text names it, too.
WORDS = (
    *("_getframe", "_current_frames", "_current_exceptions", "settrace", "setprofile", "/proc"),
    *("addaudithook", "monitoring", "CodeType", "FunctionType", "ctypes", "marshal", "gc"),
    *("__code__", "__closure__", "__globals__", "__builtins__", "__defaults__", "__kwdefaults__"),
    *("tb_frame", "gi_frame", "cr_frame", "ag_frame", "gi_code", "cr_code", "f_code"),
)


@dataclass(frozen=True)
class Original:
    """The text of one file as the tests first saw it."""

    data: bytes

    @cached_property
    def file(self) -> SourceFile:
        return SourceFile.decode_any(self.data)

    @property
    def text(self) -> str:
        return self.file.text

    def encode(self, text: str) -> bytes:
        """Raises UnicodeEncodeError when the file's encoding has no place for the text."""
        return self.file.encode(text)

    @cached_property
    def lines(self) -> list[str]:
        return self.file.lines

    @cached_property
    def words(self) -> frozenset[str]:
        """Those of `WORDS` that the text names, and what its types decide for themselves."""
        return frozenset(word for word in WORDS if word in self.text) | deciding(self.text)

    @cached_property
    def functions(self) -> list[Definition]:
        """Every function that is not inside another."""
        return self.file.functions()

    def places(self, path: str, candidate: str) -> list[Place]:
        """Where the candidate differs: every outermost function, and the module if it does."""
        new, swap = _change(self, candidate)
        ranges = changed_ranges(self.lines, new)
        if swap is not None:
            (_, start, _), end = swap
            functions = [(start, end + len(new) - len(self.lines))]
        else:
            functions = [(f.first_line, f.last_line) for f in SourceFile(candidate).functions()]
        found: dict[tuple[int, int], list[int]] = {}
        for first, last in ranges:  # last < first: lines were taken away before `first`
            for start, end in functions:
                if start <= first and max(first, last) <= end + (last < first):
                    found.setdefault((start, end), []).extend(range(first, last + 1))
                    break
            else:
                found.setdefault((0, 0), [])
        return [(path, start, end, tuple(lines)) for (start, end), lines in found.items()]

    def swaps(self, candidate: str) -> list[Swap] | None:
        """The functions to exchange; none for equal texts, None where that is not enough."""
        if candidate == self.text:
            return []
        new, one = _change(self, candidate)
        return [one[0]] if one else self._swaps(new, SourceFile(candidate).functions())

    def _one_swap(self, new: list[str]) -> tuple[Swap, int] | None:
        """The function that all changes are in, and its last line; parses nothing else."""
        head = _common(self.lines, new)
        tail = _common(self.lines[head:][::-1], new[head:][::-1])
        first, last = head + 1, len(self.lines) - tail  # changed lines; last < first: inserted
        for found in self.functions:
            start, end, node = found.first_line, found.last_line, found.node
            if start <= first and last <= end and first <= end + 1:
                segment = "".join(new[start - 1 : end + len(new) - len(self.lines)])
                before = "".join(self.lines[start - 1 : end])
                if _same_but_body(before, segment, node.name):
                    return (node.name, start, start), end
        return None

    def _swaps(self, new: list[str], functions: list[Definition]) -> list[Swap] | None:
        """The same where the changes are in several functions."""
        if len(functions) != len(self.functions):
            return None
        found: list[Swap] = []
        old_end = new_end = 0
        for was, becomes in zip(self.functions, functions, strict=True):
            start, end, node = was.first_line, was.last_line, was.node
            now, then = becomes.first_line, becomes.last_line
            if self.lines[old_end : start - 1] != new[new_end : now - 1]:
                return None
            before, after = "".join(self.lines[start - 1 : end]), "".join(new[now - 1 : then])
            if before != after:
                if not _same_but_body(before, after, node.name):
                    return None
                found.append((node.name, start, now))
            old_end, new_end = end, then
        return found if self.lines[old_end:] == new[new_end:] else None


@lru_cache(8)  # of a candidate both questions are asked
def _change(original: Original, candidate: str) -> tuple[list[str], tuple[Swap, int] | None]:
    """The candidate's lines, and the function that all changes are in."""
    new = lines_of(candidate)
    return new, original._one_swap(new)


def changed_ranges(old: list[str], new: list[str]) -> list[tuple[int, int]]:
    """(first, last) line in `new` of every difference; last < first where lines are only gone."""
    head = _common(old, new)
    tail = _common(old[head:][::-1], new[head:][::-1])
    before, after = old[head : len(old) - tail], new[head : len(new) - tail]
    if len(before) * len(after) <= 1 or not before or not after:
        return [(head + 1, head + len(after))] if before or after else []
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    return [
        (head + first + 1, head + last)
        for tag, _, _, first, last in matcher.get_opcodes()
        if tag != "equal"
    ]


def _common(one: list[str], two: list[str]) -> int:
    count = 0
    for left, right in zip(one, two, strict=False):
        if left != right:
            break
        count += 1
    return count


def _same_but_body(before: str, after: str, name: str) -> bool:
    old, new = _only_function(before), _only_function(after)
    if old is None or new is None or type(old) is not type(new) or new.name != name:
        return False
    return _outside(old) == _outside(new)


def _only_function(segment: str) -> FunctionNode | None:
    try:
        body = parse("if 1:\n" + segment if segment[:1] in " \t" else segment).body
    except UNREADABLE:
        return None
    if len(body) == 1 and isinstance(body[0], ast.If):
        body = body[0].body
    return body[0] if len(body) == 1 and isinstance(body[0], FunctionNode) else None


def _outside(function: FunctionNode) -> tuple[object, ...]:
    """All of a function that lives outside its code object, and where its header lies."""
    parts = [function.args, *function.decorator_list, *getattr(function, "type_params", ())]
    parts += [function.returns] if function.returns else []
    return (
        [ast.dump(part) for part in parts],
        ast.get_docstring(function, clean=False),
        function.lineno,
    )
