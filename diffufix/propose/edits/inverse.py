"""Mutations backwards: every small edit that would undo a usual slip. Text only, deterministic.

The rules are those of diffufix/train/bugs/corrupt.py read from the wrong text to the right one (an
operand added where that one drops it, a call unwrapped where it wraps), and what counts over real
fixes of Python add to them: fallbacks (`x or []`), identity instead of equality, brackets of
another kind, wider handlers. Expressions are here, statements in moves.py, what is taken from
elsewhere in donors.py, tokens and default values in tokens.py. Enumeration is exhaustive; rank.py
says which edit is likely.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence

from diffufix.propose.edits.code import SHORT, Code
from diffufix.propose.edits.slips import (
    EXCEPTIONS,
    FALLBACKS,
    METHODS,
    WRAPPERS,
)
from diffufix.propose.edits.tokens import signature, tokens
from diffufix.source.edits import Edit

MOST_NAMES = 12  # other names that one name is replaced by
MOST_ELEMENTS = 12  # of a display or call whose parts are dropped or swapped


def inverse(code: Code) -> list[Edit]:
    """The edits of expressions, tokens and default values; some say the same."""
    maker = _Inverse(code)
    return [*tokens(code), *maker.expressions(), *signature(code)]


class _Inverse:
    def __init__(self, code: Code) -> None:
        self.code = code
        self.values = list(dict.fromkeys(code.get(n) for n in code.values))

    # -- expressions -------------------------------------------------------------------------------

    def expressions(self) -> Iterator[Edit]:
        for n in self.code.nodes:
            if isinstance(n, ast.comprehension):
                if n.ifs and self.code.wanted(n.ifs[-1]):
                    start, end = self.code.text.span(n.iter)[1], self.code.text.span(n.ifs[-1])[1]
                    yield Edit(start, end, "", "drop-condition")
            elif isinstance(n, ast.ExceptHandler):
                if n.type is not None and self.code.wanted(n.type):
                    yield from self._handler(n.type)
            elif isinstance(n, ast.expr) and self.code.wanted(n):
                if isinstance(n, ast.Name):
                    yield from self._name(n)
                elif isinstance(n, ast.Tuple) and isinstance(n.ctx, ast.Store):
                    yield from self._elements("elements", n.elts)
                elif isinstance(n, ast.Attribute):
                    yield from self._attribute(n)
                if isinstance(getattr(n, "ctx", ast.Load()), ast.Load):
                    yield from self._value(n)

    def _of(self, n: ast.AST, kind: str, texts: Iterable[str]) -> Iterator[Edit]:
        start, end = self.code.text.span(n)
        for text in texts:
            yield Edit(start, end, text, kind)

    def _name(self, n: ast.Name) -> Iterator[Edit]:
        code = self.code
        parent = code.parents.get(n)
        is_callee = isinstance(parent, ast.Call) and parent.func is n
        pool = code.names if is_callee else code.variables
        others = [name for name in pool if name != n.id][:MOST_NAMES]
        yield from self._of(n, "callee" if is_callee else "name", others)

    def _attribute(self, n: ast.Attribute) -> Iterator[Edit]:
        end = self.code.text.span(n)[1]
        start = end - len(n.attr)
        for other in self.code.attributes[:40]:
            yield Edit(start, end, other, "attribute")
        if isinstance(n.value, ast.Name | ast.Attribute) and n.attr not in ("self", "cls"):
            yield from self._of(n, "drop-attribute", [self.code.get(n.value)])

    def _value(self, n: ast.expr) -> Iterator[Edit]:
        code, here = self.code, self.code.get(n)
        parent = code.parents.get(n)
        if isinstance(n, ast.Slice | ast.Starred | ast.JoinedStr) or parent is None:
            return
        is_callee = isinstance(parent, ast.Call) and parent.func is n
        is_base = isinstance(parent, ast.Attribute)
        if len(here) < SHORT and not is_callee and not isinstance(n, ast.GeneratorExp):
            bare = not isinstance(n, ast.Name | ast.Attribute | ast.Call | ast.Subscript)
            held = f"({here})" if bare else here
            if not isinstance(n, ast.Constant):
                yield from self._of(n, "wrap", (f"{w}({here})" for w in WRAPPERS))
                yield from self._of(n, "add-method", (held + m for m in METHODS))
                if not is_base:
                    yield from self._of(n, "fallback", (f"({held} or {f})" for f in FALLBACKS))
                    yield from self._of(n, "add-operand", self._longer(held))
                    yield from self._of(n, "add-slice", (f"{held}{s}" for s in self._slices()))
                    yield from self._of(n, "await", [f"await {held}"] if self._coroutine else [])
            others = [v for v in self.values if not within(v, here)]
            if not is_base and not isinstance(n, ast.Constant):
                yield from self._of(n, "expression", others[:24])
            yield from self._minus(n, held)
        if self._is_test(n, parent):
            simple = isinstance(
                n, ast.Name | ast.Attribute | ast.Call | ast.Subscript | ast.Compare
            )
            yield from self._of(n, "not", [f"not {here}" if simple else f"not ({here})"])
        yield from self._by_type(n)

    def _minus(self, n: ast.expr, held: str) -> Iterator[Edit]:
        if not isinstance(n, ast.Constant | ast.Compare | ast.BoolOp):
            yield from self._of(n, "minus", [f"-{held}"])

    def _is_test(self, n: ast.expr, parent: ast.AST) -> bool:
        if isinstance(n, ast.UnaryOp | ast.Constant):
            return False
        if isinstance(parent, ast.If | ast.While | ast.IfExp | ast.Assert):
            return parent.test is n
        return isinstance(parent, ast.BoolOp | ast.Return | ast.comprehension) and (
            not isinstance(parent, ast.comprehension) or n in parent.ifs
        )

    def _by_type(self, n: ast.expr) -> Iterator[Edit]:
        get = self.code.get
        if isinstance(n, ast.BinOp | ast.BoolOp | ast.Compare):
            yield from self._bare(n)
        if isinstance(n, ast.Call):
            yield from self._call(n)
        elif isinstance(n, ast.BinOp):
            left, right = get(n.left), get(n.right)
            between = self.code.source[
                self.code.text.span(n.left)[1] : self.code.text.span(n.right)[0]
            ]
            if "(" not in between and ")" not in between:
                yield from self._of(n, "drop-operand", [left, right])
                yield from self._of(n, "swap-operands", [right + between + left])
                if isinstance(n.left, ast.BinOp):
                    inner = f"{get(n.left.left)}"
                    rest = self.code.source[
                        self.code.text.span(n.left.left)[1] : self.code.text.span(n.left.right)[0]
                    ]
                    if not {"(", ")"} & set(rest):
                        yield from self._of(
                            n, "regroup", [f"{inner}{rest}({get(n.left.right)}{between}{right})"]
                        )
        elif isinstance(n, ast.BoolOp):
            joint = " and " if isinstance(n.op, ast.And) else " or "
            yield from self._of(n, "drop-condition", without_one([get(v) for v in n.values], joint))
        elif isinstance(n, ast.Compare):
            yield from self._comparison(n)
        elif isinstance(n, ast.UnaryOp):
            yield from self._of(n, "drop-unary", [get(n.operand)])
        elif isinstance(n, ast.Subscript):
            yield from self._subscript(n)
        elif isinstance(n, ast.Tuple | ast.List | ast.Set):
            yield from self._display(n)
        elif isinstance(n, ast.Dict) and 1 < len(n.keys) < MOST_ELEMENTS:
            yield from self._pairs(n)
        elif isinstance(n, ast.IfExp):
            test, body, other = get(n.test), get(n.body), get(n.orelse)
            swapped = [body, other, f"{other} if {test} else {body}"]
            yield from self._of(n, "ternary", swapped)
        elif isinstance(n, ast.GeneratorExp | ast.ListComp | ast.SetComp):
            inside = get(n)[1:-1]
            yield from self._of(n, "brackets", [f"[{inside}]", f"{{{inside}}}", f"({inside})"])
        elif isinstance(n, ast.Await):
            yield from self._of(n, "await", [get(n.value)])
        elif isinstance(n, ast.Yield) and n.value is not None:
            yield from self._of(n, "yield", [f"yield from {get(n.value)}"])
        elif isinstance(n, ast.YieldFrom):
            yield from self._of(n, "yield", [f"yield {get(n.value)}"])

    def _bare(self, n: ast.expr) -> Iterator[Edit]:
        """Without the brackets around an operand."""
        start, end = self.code.text.span(n)
        source, parent = self.code.source, self.code.parents.get(n)
        held = source[start - 1 : start] == "(" and source[end : end + 1] == ")"
        if held and isinstance(parent, ast.BinOp | ast.BoolOp | ast.UnaryOp | ast.Compare):
            yield Edit(start - 1, end + 1, source[start:end], "regroup")

    def _call(self, n: ast.Call) -> Iterator[Edit]:
        code, get = self.code, self.code.get
        end = code.text.span(n)[1]
        alone = [a for a in n.args if not isinstance(a, ast.Starred)]
        if alone and len(n.args) <= 2 and not isinstance(alone[0], ast.GeneratorExp):
            yield from self._of(n, "unwrap", [get(alone[0])])
        if isinstance(n.func, ast.Attribute):
            yield from self._of(n, "drop-method", [get(n.func.value)])
        arguments = [*n.args, *n.keywords]
        yield from self._elements("arguments", arguments)
        if arguments and isinstance(arguments[0], ast.GeneratorExp):
            return
        lead, behind = (", " if arguments else ""), end - 1
        if code.source[:behind].rstrip().endswith(","):
            return
        have = {get(a) for a in n.args} | {k.arg for k in n.keywords}
        more = [*code.variables[:MOST_NAMES], "0", "1", "None", "True", "False"]
        for each in more:
            if each not in have and not n.keywords:
                yield Edit(behind, behind, lead + each, "add-argument")
        if n.args and not isinstance(n.args[0], ast.GeneratorExp):
            first = code.text.span(n.args[0])[0]
            for each in code.variables[:MOST_NAMES]:
                if each not in have:
                    yield Edit(first, first, f"{each}, ", "add-argument")
        for name in code.variables[:MOST_NAMES]:
            if name not in have and name not in ("self", "cls"):
                yield Edit(behind, behind, f"{lead}{name}={name}", "add-keyword")

    def _elements(self, kind: str, items: Sequence[ast.AST]) -> Iterator[Edit]:
        if not 0 < len(items) <= MOST_ELEMENTS:
            return
        spans = [self.code.text.span(item) for item in items]
        texts = [self.code.source[a:b] for a, b in spans]
        for i, (start, end) in enumerate(spans):
            if i + 1 < len(spans):
                yield Edit(start, spans[i + 1][0], "", f"drop-{kind}")
            elif i:
                yield Edit(spans[i - 1][1], end, "", f"drop-{kind}")
            else:
                yield Edit(start, end, "", f"drop-{kind}")
        for i in range(len(items)):
            for j in range(i + 1, min(i + 3, len(items))):
                (a, b), (c, d) = spans[i], spans[j]
                between = self.code.source[b:c]
                yield Edit(a, d, texts[j] + between + texts[i], f"swap-{kind}")

    def _comparison(self, n: ast.Compare) -> Iterator[Edit]:
        get = self.code.get
        if len(n.ops) != 1:
            return
        right = n.comparators[0]
        span = self.code.text.span
        start, end = span(n.left)[1], span(right)[0]
        operator = self.code.source[start:end]
        if "(" not in operator and ")" not in operator:
            yield from self._of(n, "swap-operands", [get(right) + operator + get(n.left)])
            for other in ("is", "is not", "in", "not in", "==", "!=", "<", "<=", ">", ">="):
                yield Edit(start, end, f" {other} ", "compare")
        left, other = get(n.left), get(right)
        yield from self._of(n, "drop-comparison", [left])
        if isinstance(right, ast.Constant) and isinstance(n.ops[0], ast.Eq):
            made = [f"{left} in ({other}, None)", f"{left} is None or {left} == {other}"]
            yield from self._of(n, "none", made)
        if isinstance(n.ops[0], ast.Is | ast.IsNot) and other == "None":
            test = left if isinstance(n.ops[0], ast.IsNot) else f"not {left}"
            yield from self._of(n, "none", [test])

    def _subscript(self, n: ast.Subscript) -> Iterator[Edit]:
        get, value = self.code.get, self.code.get(n.value)
        index = get(n.slice)
        yield from self._of(n, "drop-subscript", [value])
        if not isinstance(n.slice, ast.Slice):
            near = [f"{index} + 1", f"{index} - 1", "-1", "0", "1", f":{index}", f"{index}:"]
            near += [f"{index} % len({value})", f"-{index}", f"{index}:{index} + 1"]
            near += [name for name in self.code.variables[:8] if name != index]
            yield from self._of(n.slice, "index", near)
            if "\n" not in index:
                yield from self._of(n, "get", [f"{value}.get({index})", f"{value}({index})"])
            return
        low, high = (get(part) if part else "" for part in (n.slice.lower, n.slice.upper))
        if n.slice.step is None:
            choices = [f"{low}:", f":{high}", ":", f"{high}:{low}", f"{low}:{high}:-1", "::-1"]
            if high:
                choices += [f"{low}:{high} - 1", f"{low}:{high} + 1", f"{low}:-{high}"]
            else:
                choices += [f"{low}:-1", f"{low}:{low} + 1" if low else "1:"]
                choices += [f"{low}:{name}" for name in self.code.variables[:8]]
            if low:
                choices += [f"{low} + 1:{high}", f"{low} - 1:{high}", f"-{low}:{high}"]
            else:
                choices += [f"{name}:{high}" for name in ("1", *self.code.variables[:8])]
            yield from self._of(n.slice, "slice", choices)
        else:
            yield from self._of(n.slice, "slice", [f"{low}:{high}"])

    def _display(self, n: ast.Tuple | ast.List | ast.Set) -> Iterator[Edit]:
        yield from self._elements("elements", n.elts)
        here = self.code.get(n)
        if isinstance(n, ast.Tuple) and len(n.elts) == 2 and here.endswith(")"):
            yield from self._of(n, "drop-elements", (f"({self.code.get(e)},)" for e in n.elts))
        for element in n.elts:
            if isinstance(element, ast.Constant) and isinstance(element.value, str):
                yield from self._apart(element)
        if here[:1] in "([{" and here[-1:] in ")]}":
            inside = here[1:-1].rstrip().removesuffix(",")
            single = "," if len(n.elts) == 1 else ""
            made = [f"[{inside}]", f"({inside}{single})", f"{{{inside}}}" if n.elts else "set()"]
            yield from self._of(n, "brackets", made)
            for name in self.code.variables[:MOST_NAMES] if n.elts else []:
                last = self.code.text.span(n.elts[-1])[1]
                yield Edit(last, last, f", {name}", "add-element")

    def _apart(self, n: ast.Constant) -> Iterator[Edit]:
        """Two strings side by side between which a comma was forgotten."""
        start, end = self.code.text.span(n)
        for found in re.finditer(r"(?<=[\"'])(?=[ \t]*\r?\n\s*[\"'])", self.code.source[start:end]):
            yield Edit(start + found.end(), start + found.end(), ",", "comma")

    def _pairs(self, n: ast.Dict) -> Iterator[Edit]:
        span = self.code.text.span
        for i, (key, value) in enumerate(zip(n.keys, n.values, strict=True)):
            if key is None:
                continue
            if i + 1 < len(n.keys) and (following := n.keys[i + 1]) is not None:
                yield Edit(span(key)[0], span(following)[0], "", "drop-elements")
            elif i:
                yield Edit(span(n.values[i - 1])[1], span(value)[1], "", "drop-elements")

    def _handler(self, n: ast.expr) -> Iterator[Edit]:
        types = (
            [self.code.get(t) for t in n.elts] if isinstance(n, ast.Tuple) else [self.code.get(n)]
        )
        for other in EXCEPTIONS:
            if other not in types:
                yield from self._of(n, "handler", [f"({', '.join([*types, other])})"])
                if len(types) == 1:
                    yield from self._of(n, "handler", [other])
        yield from self._of(n, "handler", without_one(types, ", ") if len(types) == 2 else [])

    def _longer(self, held: str) -> Iterator[str]:
        yield from (f"{held} {end}" for end in ("+ 1", "- 1", "* 2", "// 2", "/ 2", "+ 2", "% 2"))
        for name in self.code.variables[:6]:
            if name != held and name not in ("self", "cls"):
                yield from (f"{held} {o} {name}" for o in ("+", "-", "*", "//", "%"))

    def _slices(self) -> Iterator[str]:
        yield from ("[0]", "[-1]", "[1:]", "[:-1]", "[::-1]", "[1]", "[:]")
        for name in self.code.variables[:6]:
            if name not in ("self", "cls"):
                yield from (f"[{name}]", f"[:{name}]", f"[{name}:]")

    @property
    def _coroutine(self) -> bool:
        return isinstance(self.code.node, ast.AsyncFunctionDef)


def within(text: str, code: str) -> bool:
    """Whether an expression's text stands in another's: `x` does in `x.y`, not in `self._x`."""
    return re.search(rf"(?<![\w.]){re.escape(text)}(?!\w)", code) is not None


def without_one(texts: Sequence[str], joint: str) -> list[str]:
    """The texts joined, one left out each time."""
    return [joint.join(t for i, t in enumerate(texts) if i != gone) for gone in range(len(texts))]
