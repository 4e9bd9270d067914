"""Guards, fallbacks and conversions as statements of their own. Text only.

`if x is None: return …` before a statement, a statement under a condition, `if x is None: x = {}`
behind the statement that made x, `x = int(x)` before the one that uses it: a fifth of real fixes
insert an `if` or a statement (shares over 88,000 fixes of Python).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from diffufix.propose.edits.code import Code, inner_blocks
from diffufix.propose.edits.pool import Pool, conditions_of, known_names, usable
from diffufix.source.edits import Edit
from diffufix.source.functions import FunctionNode

CONDITIONS, GUARDS, RETURNS = 24, 40, 6  # of the nearest ones
_EMPTY = ("None", "{}", "[]", '""')
_CONVERSIONS = ("int", "str", "list", "tuple", "float", "bytes", "dict", "set")


def guards(code: Code, pool: Pool) -> list[Edit]:
    """The edits; some say the same."""
    if isinstance(code.node, ast.Module):
        return []
    return list(_Guards(code, pool).edits())


class _Guards:
    def __init__(self, code: Code, pool: Pool) -> None:
        self.code, self.source = code, code.source
        self.newline = "\r\n" if "\r\n" in code.source else "\n"
        names = known_names(code, pool)
        self.conditions = usable(names, conditions_of(code, pool), CONDITIONS)
        zeros = [f"{name} == 0" for name in code.variables[:6] if name not in ("self", "cls")]
        self.asked = [*self.conditions, *usable(names, zeros, 6)]
        self.guards = usable(names, pool.guards, GUARDS)
        self.returns = self._returns()
        self.fields = [f for f in pool.fields if f.startswith("self.")][:12]
        self.width = self._width()

    def _returns(self) -> list[str]:
        """How the function ends early, elsewhere in it and usually."""
        own = [
            self.code.get(n)
            for n in self.code.nodes
            if isinstance(n, ast.Return) and n.end_lineno == n.lineno
        ]
        usual = ["return", "return None", "return False", 'return ""', 'return b""', "return []"]
        return list(dict.fromkeys([*own[:RETURNS], *usual]))

    def edits(self) -> Iterator[Edit]:
        for block, index in self.code.statements:
            statement = block[index]
            margin = self.code.margin(statement)
            if margin is None or not self.code.wanted(statement):
                continue
            deep = margin + ("\t" if "\t" in margin else self.width)
            start = self.code.text.span(statement)[0]
            for guard in self.guards:
                head, body = guard.split("\n", 1)
                yield self._before(
                    start, margin, f"{head}{self.newline}{deep}{body}", "donor-guard"
                )
            if self._is_place(block, index):
                yield from self._new(statement, start, margin, deep)
            yield from self._guarded(statement, deep, margin)
            yield from self._empty(statement, margin, deep)
            yield from self._converted(statement, start, margin)

    def _before(self, start: int, margin: str, text: str, kind: str) -> Edit:
        return Edit(start, start, f"{text}{self.newline}{margin}", kind)

    def _is_place(self, block: list[ast.stmt], index: int) -> bool:
        """Where guards stand: at a block's start, behind another guard, before an end."""
        ends = isinstance(block[index], ast.Return | ast.Raise)
        return index == 0 or ends or isinstance(block[index - 1], ast.If | ast.Assign)

    def _new(self, statement: ast.stmt, start: int, margin: str, deep: str) -> Iterator[Edit]:
        ways = [*self.returns, *(["continue", "break"] if self._in_loop(statement) else [])]
        for test in self.asked:
            for way in ways:
                text = f"if {test}:{self.newline}{deep}{way}"
                yield self._before(start, margin, text, "new-guard")

    def _guarded(self, statement: ast.stmt, deep: str, margin: str) -> Iterator[Edit]:
        """The statement only under a condition."""
        start, end = self.code.text.span(statement)
        if isinstance(statement, FunctionNode | ast.ClassDef):
            return
        body = self.source[start:end].replace("\n", f"\n{deep[len(margin) :]}")
        for test in self.conditions:
            yield Edit(start, end, f"if {test}:{self.newline}{deep}{body}", "guarded")

    def _empty(self, statement: ast.stmt, margin: str, deep: str) -> Iterator[Edit]:
        """What was just made may be None: it is something empty then."""
        if not isinstance(statement, ast.Assign) or len(statement.targets) != 1:
            return
        target = self.code.get(statement.targets[0])
        end = self.code.line_end(self.code.text.span(statement)[1])
        for test in (f"{target} is None", f"not {target}"):
            for empty in _EMPTY[1:]:
                head = f"{self.newline}{margin}if {test}:"
                yield Edit(end, end, f"{head}{self.newline}{deep}{target} = {empty}", "empty-guard")

    def _converted(self, statement: ast.stmt, start: int, margin: str) -> Iterator[Edit]:
        """Something that the statement uses is made another type, before it or behind."""
        text = self.source[slice(*self.code.text.span(statement))]
        if inner_blocks(statement):
            text = text.partition("\n")[0]
        used = [f for f in self.fields if re.search(rf"{re.escape(f)}(?![\w(])", text)]
        used += [v for v in self.code.variables[:8] if re.search(rf"(?<![\w.]){v}\b", text)]
        end = self.code.line_end(self.code.text.span(statement)[1])
        for name in used[:6]:
            if name in ("self", "cls"):
                continue
            for kind in _CONVERSIONS:
                made = f"{name} = {kind}({name})"
                yield self._before(start, margin, made, "convert")
                if isinstance(statement, ast.Assign | ast.Expr):
                    yield Edit(end, end, f"{self.newline}{margin}{made}", "convert")

    def _width(self) -> str:
        """How much deeper a block is, in this function."""
        for block, index in self.code.statements:
            for inner in inner_blocks(block[index]):
                outer, deep = self.code.margin(block[index]), self.code.margin(inner[0])
                if outer is not None and deep is not None and len(deep) > len(outer):
                    return deep[len(outer) :]
        return "    "

    def _in_loop(self, n: ast.AST) -> bool:
        while (parent := self.code.parents.get(n)) is not None:
            if isinstance(parent, ast.For | ast.While | ast.AsyncFor):
                return True
            if isinstance(parent, FunctionNode):
                return False
            n = parent
        return False
