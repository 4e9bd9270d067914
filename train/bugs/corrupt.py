"""Bugs as people write them: small wrong edits of a correct function.

The kinds and their weights follow counts over real one-statement fixes of Python (TSSB-3M:
identifiers, binary operators, arguments, function names, literals, attributes, added or removed
calls and conditions) with room for the rarer structural ones (a statement lost, a guard lost, the
wrong indentation, two statements swapped). An `Edit` replaces a span of the correct text.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Callable, Sequence
from functools import cached_property

from diffufix.source.edits import Edit
from diffufix.source.functions import FunctionNode, docstring_of
from diffufix.source.spans import Text, lexical_tokens
from diffufix.train.bugs.confusions import (
    AUGMENTED,
    BINARY,
    BITWISE,
    COMPARE,
    FLIPS,
    METHODS,
    WRAPPERS,
    other_number,
    other_string,
)

#: How often a kind of bug is drawn among those that a function offers.
WEIGHTS = {
    "name": 10, "flip": 8, "binary": 7, "compare": 8, "augmented": 3, "number": 8, "string": 4,
    "attribute": 3, "unwrap": 6, "wrap": 3, "drop-method": 4, "add-method": 2, "drop-operand": 6,
    "add-operand": 7, "arguments": 5, "swap-operands": 4, "not": 4, "drop-condition": 6,
    "add-condition": 3, "slice": 5, "elements": 3, "copy-expression": 4, "ternary": 2,
    "drop-comprehension-if": 2, "drop-statement": 6, "duplicate": 1, "drop-guard": 4, "indent": 4,
    "swap-statements": 2, "drop-return": 1,
}  # fmt: skip

_OPERATORS = [
    ("binary", BINARY), ("binary", BITWISE), ("compare", COMPARE), ("augmented", AUGMENTED),
]  # fmt: skip
_SHORT = 40  # characters of an expression that is copied or wrapped
_MAX_DUPLICATE = 200  # characters of a statement that is written twice
_MAX_ELEMENTS = 12  # of a display whose elements are dropped or swapped

#: What stands in a span instead, by one or more draws; None where there is nothing to write.
Make = Callable[[random.Random], str | None]
Span = tuple[int, int]


class Corruptor:
    """All bugs that one function offers, drawn by kind first so that no kind drowns the others."""

    def __init__(self, source: str, node: FunctionNode) -> None:
        self.text = Text(source)
        self.source = source
        self.body = node.body[1:] if docstring_of(node) else node.body
        self.offers: dict[str, list[tuple[Span, Make]]] = {}
        if not self.body:
            return
        self._inside = [n for statement in self.body for n in _walk(statement)]
        self.names = sorted(
            {n.id for n in self._inside if isinstance(n, ast.Name)}
            | {a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)}
        )
        self.attributes = sorted({n.attr for n in self._inside if isinstance(n, ast.Attribute)})
        self.strings = sorted(
            {
                n.value
                for n in self._inside
                if isinstance(n, ast.Constant) and isinstance(n.value, str)
            }
        )
        self._lexical()
        for n in self._inside:
            self._node(n)
        self._statements(self.body)

    def draw(self, rng: random.Random) -> Edit | None:
        """One bug, or None if the drawn place offers none."""
        kinds = [kind for kind in WEIGHTS if kind in self.offers]
        if not kinds:
            return None
        kind = rng.choices(kinds, [WEIGHTS[k] for k in kinds])[0]
        (start, end), make = rng.choice(self.offers[kind])
        made = make(rng)
        if made is None or made == self.source[start:end]:
            return None
        return Edit(start, end, made, kind)

    def _add(self, kind: str, span: Span, make: Make) -> None:
        self.offers.setdefault(kind, []).append((span, make))

    def _get(self, node: ast.AST) -> str:
        start, end = self.text.span(node)
        return self.source[start:end]

    # -- tokens ------------------------------------------------------------------------------------

    def _lexical(self) -> None:
        start, end = self.text.span(self.body[0])[0], self.text.span(self.body[-1])[1]
        for token in lexical_tokens(self.text):
            if not start <= token.start < end:
                continue
            string, span = token.string, (token.start, token.end)
            if string in FLIPS:
                self._add("flip", span, _one_of(FLIPS[string]))
            if token.type == "op" and string != "=":
                for kind, group in _OPERATORS:
                    if string in group:
                        self._add(kind, span, _one_of(group))
            elif token.type == "number":
                self._add("number", span, _number(string))
            elif token.type == "string":
                self._add("string", span, _string(string, self.strings))

    # -- expressions -------------------------------------------------------------------------------

    def _node(self, n: ast.AST) -> None:
        if isinstance(n, ast.comprehension) and n.ifs:
            span = self.text.span(n.iter)[1], self.text.span(n.ifs[-1])[1]
            self._add("drop-comprehension-if", span, _always(""))
        if not isinstance(n, ast.expr):
            return
        span = self.text.span(n)
        if isinstance(n, ast.Name) and len(self.names) > 1:
            self._add("name", span, _one_of(self.names))
        if isinstance(n, ast.Attribute) and len(self.attributes) > 1:
            self._add("attribute", (span[1] - len(n.attr), span[1]), _one_of(self.attributes))
        if isinstance(getattr(n, "ctx", ast.Load()), ast.Load):
            self._value(n, span)

    def _value(self, n: ast.expr, span: Span) -> None:
        get, here = self._get, self._get(n)
        if len(here) < _SHORT and not isinstance(n, ast.Constant | ast.Slice | ast.Starred):
            self._add("wrap", span, lambda rng: f"{rng.choice(WRAPPERS)}({here})")
            self._add("add-method", span, lambda rng: here + rng.choice(METHODS))
            self._add("copy-expression", span, lambda rng: get(rng.choice(self._values)))
            self._add("add-operand", span, lambda rng: self._longer(here, rng))
            self._add("not", span, _always(f"not {here}"))
        if isinstance(n, ast.Call):
            self._call(n, span)
        elif isinstance(n, ast.BinOp):
            left, right = get(n.left), get(n.right)
            self._add("drop-operand", span, _one_of([left, left, right]))
            self._add("swap-operands", span, _always(right + self._between(n.left, n.right) + left))
        elif isinstance(n, ast.BoolOp):
            joint = " and " if isinstance(n.op, ast.And) else " or "
            self._add("drop-condition", span, _without_one([get(v) for v in n.values], joint))
        elif isinstance(n, ast.Compare):
            self._comparison(n, span)
        elif isinstance(n, ast.UnaryOp):
            self._add("not", span, _always(get(n.operand)))
        elif isinstance(n, ast.Subscript):
            self._subscript(n, span)
        elif isinstance(n, ast.Tuple | ast.List | ast.Set) and 1 < len(n.elts) < _MAX_ELEMENTS:
            self._elements("elements", n.elts)
        elif isinstance(n, ast.IfExp):
            test, body, other = get(n.test), get(n.body), get(n.orelse)
            self._add("ternary", span, _one_of([body, f"{other} if {test} else {body}"]))

    def _call(self, n: ast.Call, span: Span) -> None:
        alone = len(n.args) == 1 and not n.keywords
        if alone and not isinstance(n.args[0], ast.Starred | ast.GeneratorExp):
            self._add("unwrap", span, _always(self._get(n.args[0])))
        if isinstance(n.func, ast.Attribute):
            self._add("drop-method", span, _always(self._get(n.func.value)))
        arguments = [*n.args, *n.keywords]
        if arguments:
            self._elements("arguments", arguments)
        lead, behind = ", " if arguments else "", (span[1] - 1, span[1] - 1)
        more = [lead + name for name in (*self.names, "0", "1", "None", "True")]
        self._add("arguments", behind, _one_of(more))

    def _elements(self, kind: str, items: Sequence[ast.AST]) -> None:
        spans = [self.text.span(item) for item in items]
        texts = [self.source[a:b] for a, b in spans]
        whole = spans[0][0], max(b for _, b in spans)

        def swap(rng: random.Random) -> str:
            i = rng.randrange(len(texts) - 1)
            return ", ".join([*texts[:i], texts[i + 1], texts[i], *texts[i + 2 :]])

        self._add(kind, whole, _without_one(texts, ", "))
        if len(texts) > 1:
            self._add(kind, whole, swap)

    def _comparison(self, n: ast.Compare, span: Span) -> None:
        get, here = self._get, self._get(n)
        if len(n.ops) == 1:
            right = n.comparators[0]
            swapped = get(right) + self._between(n.left, right) + get(n.left)
            self._add("swap-operands", span, _always(swapped))
        others = [get(c) for c in self._values if isinstance(c, ast.Compare) and c is not n]

        def longer(rng: random.Random) -> str:
            joint = rng.choice([" and ", " or "])
            return here + joint + (rng.choice(others) if others else self._simple_test(rng))

        self._add("add-condition", span, longer)

    def _subscript(self, n: ast.Subscript, span: Span) -> None:
        index, at = self._get(n.slice), self.text.span(n.slice)
        self._add("slice", span, _always(self._get(n.value)))
        if not isinstance(n.slice, ast.Slice):
            self._add("slice", at, _one_of([index + " + 1", index + " - 1", "-1", "0", "1"]))
            return
        parts = index.split(":")
        if len(parts) != 2 or any(c in index for c in "([{"):
            self._add("slice", at, lambda rng: None)
            return
        low, high = parts[0].strip(), parts[1].strip()
        choices = [f"{low}:", f":{high}", ":", f"{high}:{low}"]
        if high:
            choices += [f"{low}:{high} - 1", f"{low}:{high} + 1"]
        if low:
            choices += [f"{low} + 1:{high}"]
        self._add("slice", at, _one_of(choices))

    @cached_property
    def _values(self) -> list[ast.expr]:
        """Short expressions that are read, to be copied elsewhere."""
        return [
            n
            for n in self._inside
            if isinstance(n, ast.expr)
            and isinstance(getattr(n, "ctx", ast.Load()), ast.Load)
            and not isinstance(n, ast.Slice | ast.Starred | ast.GeneratorExp)
            and len(self._get(n)) < _SHORT
        ]

    def _between(self, left: ast.expr, right: ast.expr) -> str:
        return self.source[self.text.span(left)[1] : self.text.span(right)[0]]

    def _longer(self, here: str, rng: random.Random) -> str:
        other = rng.choice(["1", "1", "1", "2", rng.choice(self.names) if self.names else "0"])
        return f"{here} {rng.choice(['+', '-', '+', '-', '*', '//', '%'])} {other}"

    def _simple_test(self, rng: random.Random) -> str:
        name, operator = rng.choice(self.names or ["1"]), rng.choice(COMPARE)
        return f"{name} {operator} {rng.choice(['0', '1', 'None'])}"

    # -- statements --------------------------------------------------------------------------------

    def _statements(self, body: list[ast.stmt]) -> None:
        for index, statement in enumerate(body):
            inner = [b for f in ("body", "orelse", "finalbody") if (b := getattr(statement, f, []))]
            inner += [handler.body for handler in getattr(statement, "handlers", [])]
            following = body[index + 1] if index + 1 < len(body) else None
            if self._margin(statement) is None:  # not the first of its line
                pass
            elif inner:
                self._guard(statement, inner[0])
                self._indentation(statement, inner[-1], following)
            else:
                self._simple(statement, body, index)
            for block in inner:
                self._statements(block)

    def _simple(self, statement: ast.stmt, body: list[ast.stmt], index: int) -> None:
        source, (start, end) = self.source, self.text.span(statement)
        own = source[start:end]
        if len(body) > 1:
            # with the line break before it, so from the end of the previous statement or header
            before = source.rfind(":", 0, start) + 1
            if index:
                before = self.text.span(body[index - 1])[1]
            if source[before:start].strip() == "":
                self._add("drop-statement", (before, end), _always(""))
        if len(own) < _MAX_DUPLICATE:
            self._add("duplicate", (end, end), _always(f"\n{self._margin(statement)}{own}"))
        if index + 1 < len(body):
            first, last = self.text.span(body[index + 1])
            if "\n" not in source[first:last]:
                swapped = source[first:last] + source[end:first] + own
                self._add("swap-statements", (start, last), _always(swapped))
        if isinstance(statement, ast.Return) and statement.value is not None:
            self._add("drop-return", (start, end), _always(self._get(statement.value)))

    def _guard(self, statement: ast.stmt, body: list[ast.stmt]) -> None:
        if not isinstance(statement, ast.If) or statement.orelse:
            return
        start, end = self.text.span(statement)
        deep = self._margin(body[0])
        if deep is None or self.source[start : start + 2] != "if":
            return
        kept = self.source[self.text.span(body[0])[0] : end]
        kept = kept.replace("\n" + deep, f"\n{self._margin(statement)}")
        self._add("drop-guard", (start, end), _always(kept))

    def _indentation(
        self, statement: ast.stmt, block: list[ast.stmt], following: ast.stmt | None
    ) -> None:
        """The last statement of a block moves out of it, or the one behind it moves in."""
        outer, deep = self._margin(statement), self._margin(block[-1])
        if len(block) > 1:
            self._indent(block[-1], outer)
        if following is not None:
            self._indent(following, deep)

    def _indent(self, statement: ast.stmt, margin: str | None) -> None:
        old, start = self._margin(statement), self.text.span(statement)[0]
        if old is not None and margin is not None and "\n" not in self._get(statement):
            self._add("indent", (start - len(old), start), _always(margin))

    def _margin(self, statement: ast.stmt) -> str | None:
        """The blanks before a statement; None where something else stands before it."""
        start = self.text.span(statement)[0]
        margin = self.source[self.source.rfind("\n", 0, start) + 1 : start]
        return None if margin.strip() else margin


def _one_of(options: Sequence[str]) -> Make:
    return lambda rng: rng.choice(options)


def _always(text: str) -> Make:
    return lambda rng: text


def _number(text: str) -> Make:
    return lambda rng: other_number(text, rng)


def _string(text: str, strings: list[str]) -> Make:
    return lambda rng: other_string(text, strings, rng)


def _without_one(texts: Sequence[str], joint: str) -> Make:
    def fewer(rng: random.Random) -> str:
        gone = rng.randrange(len(texts))
        return joint.join(text for i, text in enumerate(texts) if i != gone)

    return fewer


def _walk(node: ast.AST) -> list[ast.AST]:
    """Like `ast.walk`, but not into f-strings (positions there are unreliable before 3.12)."""
    found, pending = [], [node]
    while pending:
        current = pending.pop()
        found.append(current)
        if not isinstance(current, ast.JoinedStr):
            pending.extend(ast.iter_child_nodes(current))
    return found
