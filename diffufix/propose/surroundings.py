"""What stands around a function, as a small model is shown it: an outline of the file, and names.

The outline has a line for each import, module-level name with a short value, class header (of the
function's own class also the attributes it sets and its class-level names) and signature. It is
made from a file here; files of real fixes bring it along (train/bugs/fixes.py). `chosen` keeps the
lines that matter to a function, by what the function says, and `shown` turns all of it into ids:

    FAILURE … outline LINES … names NAMES …

behind the function in the encoded context (decode/layout.py). Training and repair go through
this file, so that the model meets what it was taught. Pure; text on one side, ids on the other.
"""

from __future__ import annotations

import ast
import keyword
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from diffufix.model.family import Family
from diffufix.propose.failure import MAX_FAILURE, MORE, Encoder, encode
from diffufix.source.functions import FunctionNode
from diffufix.source.syntax import parse

MAX_OUTLINE = 192  # tokens
MAX_NAMES = 72  # tokens
LONGEST_LINE = 140  # characters of an outline's line
STORED = 2400  # characters of an outline that is kept for training
FILE_NAMES = 60
_SHORT = 60  # characters of a value that is shown
_WORD = re.compile(r"[^\W\d]\w*")
_SELF = re.compile(r"\bself\.([^\W\d]\w*)")
#: Words that are names of no file's own.
_KEYWORDS = frozenset(keyword.kwlist) | frozenset(
    {"self", "cls", "int", "str", "list", "dict", "set", "tuple", "bool", "float", "len", "print"}
)


@dataclass(frozen=True)
class FileOutline:
    """An outline (lines) and other names of the file, those that matter more first."""

    outline: str = ""
    names: tuple[str, ...] = ()


NOTHING = FileOutline()


class Survey:
    """A file, looked at once for all of its functions."""

    def __init__(self, source: str, tree: ast.Module) -> None:
        self.source = source
        self._lines = list(_block(source, tree.body, "", None, 0))
        self._homes = {
            (node.lineno, node.col_offset): each
            for each in ast.walk(tree)
            if isinstance(each, ast.ClassDef)
            for node in each.body
        }
        words = _WORD.findall(_without_prose(source))
        counts = Counter(word for word in words if len(word) > 1 and word not in _KEYWORDS)
        self._names = [word for word, _ in sorted(counts.items(), key=lambda item: -item[1])]

    def around(self, node: FunctionNode, text: str, room: int = STORED) -> FileOutline:
        """What matters to a function of the file, whose text is given; an outline of `room`
        characters at most."""
        home = self._homes.get((node.lineno, node.col_offset))
        lines = [line for line, owner in self._lines if owner is None or owner is home]
        kept = chosen("\n".join(lines), text, room)
        known = {*_WORD.findall(text), *(word for line in kept for word in _WORD.findall(line))}
        names = [word for word in self._names if word not in known][:FILE_NAMES]
        return FileOutline("\n".join(kept), tuple(names))


def chosen(outline: str, function: str, room: int = 900) -> list[str]:
    """The lines of an outline that matter to a function's text, in their order; `room` characters.

    First what the function names and its own class, then what is left, the nearest to these first.
    The function's own signature is not repeated.
    """
    words = set(_WORD.findall(function))
    named = re.search(r"\bdef\s+(\w+)", function)
    own = re.compile(rf"\s*(async )?def {re.escape(named[1])}\(") if named else None
    lines = [line[:LONGEST_LINE] for line in outline.split("\n") if line.strip()]
    ranked: list[tuple[int, int]] = []
    home = _home(lines, own)
    for index, line in enumerate(lines):
        if own is not None and own.match(line):
            continue
        rank = 3
        if index == home or line.lstrip().startswith("# self:"):
            rank = 0
        elif not words.isdisjoint(_said(line)):
            rank = 1
        elif home is not None and line[:1].isspace() and _above(lines, index) == home:
            rank = 2
        ranked.append((rank, index))
    kept, left = [], room
    for _, index in sorted(ranked):
        if len(lines[index]) < left:
            kept.append(index)
            left -= len(lines[index]) + 1
    return [lines[index] for index in sorted(kept)]


def beside(
    tokenizer: Encoder,
    family: Family,
    source: str,
    node: ast.AST | None,
    failure: str = "",
    around: FileOutline | None = None,
) -> tuple[int, ...]:
    """Ids behind a function of a file: as much of the failure's text and of the surroundings (the
    file's, where none are given) as the family reads."""
    rich = family.outline is not None
    told = encode(tokenizer, failure, MORE if rich else MAX_FAILURE) if family.failure else ()
    if not rich or not isinstance(node, FunctionNode):
        return told
    text = ast.get_source_segment(source, node) or ""
    if around is None:
        around = Survey(source, parse(source)).around(node, text)
    return shown(tokenizer, family, text, around, told)


def shown(
    tokenizer: Encoder,
    family: Family,
    function: str,
    around: FileOutline,
    failure: Sequence[int] = (),
) -> tuple[int, ...]:
    """Ids behind the function, `failure` first; nothing more for families without an outline."""
    ids = list(failure)
    if family.outline is None or family.names is None:
        return tuple(ids)
    lines = chosen(around.outline, function)
    if lines:
        ids += [family.outline, *_whole(tokenizer, lines, MAX_OUTLINE)]
    said = {*_WORD.findall(function), *_WORD.findall("\n".join(lines))} | _KEYWORDS
    rest = [word for word in _WORD.findall(around.outline) if word not in said]
    names = list(dict.fromkeys([*around.names, *rest]))
    names = [name for name in names if name not in said]
    if names:
        encoded = tokenizer.encode(" " + " ".join(names[:MAX_NAMES]))
        ids += [family.names, *encoded[:MAX_NAMES]]
    return tuple(ids)


def _whole(tokenizer: Encoder, lines: Sequence[str], most: int) -> list[int]:
    """As many whole lines as fit."""
    ids: list[int] = []
    for line in lines:
        more = tokenizer.encode("\n" + line)
        if len(ids) + len(more) <= most:
            ids += more
    return ids


# -- the outline of a file ------------------------------------------------------------------------


def _block(
    source: str, body: Iterable[ast.stmt], margin: str, home: ast.ClassDef | None, depth: int
) -> Iterator[tuple[str, ast.ClassDef | None]]:
    """Lines, each with the class whose functions alone are shown it (None: all are)."""
    for each in body:
        if isinstance(each, ast.Import | ast.ImportFrom):
            if not depth:
                yield " ".join(ast.unparse(each).split())[:250], None
        elif isinstance(each, FunctionNode):
            yield margin + signature(each), None
        elif isinstance(each, ast.ClassDef):
            bases = ", ".join(map(ast.unparse, [*each.bases, *each.keywords]))
            yield f"{margin}class {each.name}" + (f"({bases})" if bases else "") + ":", None
            attributes = dict.fromkeys(_SELF.findall(_text(source, each)))
            if attributes:
                yield f"{margin}    # self: " + ", ".join(attributes), each
            if depth < 2:
                yield from _block(source, each.body, margin + "    ", each, depth + 1)
        elif isinstance(each, ast.If | ast.Try | ast.With):
            for field in ("body", "orelse", "finalbody"):
                yield from _block(source, getattr(each, field, []), margin, home, depth)
        elif isinstance(each, ast.Assign | ast.AnnAssign):
            for line in _value(each, margin):
                yield line, home


def _value(each: ast.Assign | ast.AnnAssign, margin: str) -> Iterator[str]:
    targets = each.targets if isinstance(each, ast.Assign) else [each.target]
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    if not names or each.value is None:
        return
    text = " ".join(ast.unparse(each.value).split())
    yield f"{margin}{' = '.join(names)} = {text if len(text) <= _SHORT else text[:_SHORT] + '...'}"


def signature(node: FunctionNode) -> str:
    """`def f(a, b=0): ...`, on one line."""
    kind = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    text = f"{kind} {node.name}({ast.unparse(node.args)}){returns}"
    return " ".join(text.split())[:200] + ": ..."


def _text(source: str, node: ast.AST | None) -> str:
    return (ast.get_source_segment(source, node) or "") if node is not None else ""


_PROSE = re.compile(r'"""(?:.|\n)*?"""|\'\'\'(?:.|\n)*?\'\'\'|#.*')


def _without_prose(source: str) -> str:
    """Without comments and triple-quoted texts, roughly: what they say are no names."""
    return _PROSE.sub(" ", source)


def _said(line: str) -> set[str]:
    return {word for word in _WORD.findall(line) if word not in _KEYWORDS}


def _home(lines: Sequence[str], own: re.Pattern[str] | None) -> int | None:
    """The class header above the function's own signature, or above the attributes of self."""
    for index, line in enumerate(lines):
        mine = line.lstrip().startswith("# self:") or (own is not None and own.match(line))
        if mine and line[:1].isspace():
            return _above(lines, index)
    return None


def _above(lines: Sequence[str], index: int) -> int | None:
    return next((i for i in range(index, -1, -1) if lines[i].startswith("class ")), None)
