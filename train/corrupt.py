"""Bugs as people write them: small wrong edits of a correct function.

The kinds and their weights follow counts over real one-statement fixes of Python (TSSB-3M:
identifiers, binary operators, arguments, function names, literals, attributes, added or removed
calls and conditions) with room for the rarer structural ones (a statement lost, a guard lost, the
wrong indentation, two statements swapped). An `Edit` replaces a span of the correct text.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Callable
from dataclasses import dataclass

from diffufix.masking.spans import FunctionNode, Text, docstring_of, lexical_tokens


@dataclass(frozen=True)
class Edit:
    """Replace [start, end) of the correct source by `text`."""

    start: int
    end: int
    text: str
    kind: str


_BINARY = ["+", "-", "*", "/", "//", "%", "**"]
_BITWISE = ["&", "|", "^", "<<", ">>"]
_COMPARE = ["<", "<=", ">", ">=", "==", "!="]
_AUGMENTED = ["+=", "-=", "*=", "/=", "//=", "%=", "="]
_FLIPS = {
    "and": ["or"], "or": ["and"], "True": ["False"], "False": ["True"], "None": ["0", "False"],
    "break": ["continue", "pass"], "continue": ["break", "pass"], "min": ["max"], "max": ["min", "sum"],
    "any": ["all"], "all": ["any"], "sum": ["len", "max"], "len": ["sum", "max"], "append": ["extend", "add"],
    "extend": ["append"], "lower": ["upper"], "upper": ["lower"], "islower": ["isupper"],
    "isupper": ["islower"], "startswith": ["endswith"], "endswith": ["startswith"], "keys": ["values", "items"],
    "values": ["keys", "items"], "items": ["keys", "values"], "lstrip": ["rstrip", "strip"],
    "rstrip": ["lstrip", "strip"], "strip": ["lstrip", "rstrip"], "split": ["rsplit", "join"],
    "find": ["rfind", "index"], "floor": ["ceil"], "ceil": ["floor"], "sorted": ["list", "reversed", "set"],
    "set": ["list", "sorted"], "list": ["set", "tuple"], "int": ["float", "str"], "float": ["int"],
    "isalpha": ["isdigit", "isalnum"], "isdigit": ["isalpha"], "add": ["append", "remove"],
    "ord": ["chr"], "chr": ["ord"], "first": ["last"], "left": ["right"], "right": ["left"],
    "start": ["end"], "end": ["start"], "row": ["col"], "col": ["row"], "is": ["=="], "pop": ["get"],
    "return": ["yield"], "yield": ["return"],
}  # fmt: skip
_WRAPPERS = ["list", "str", "int", "len", "set", "sorted", "abs", "tuple", "sum", "max", "min", "float", "reversed"]
_METHODS = [".strip()", ".lower()", ".upper()", ".copy()", ".keys()", ".split()", ".items()", ".sort()"]


class Corruptor:
    """All bugs that one function offers, drawn by kind first so that no kind drowns the others."""

    def __init__(self, source: str, node: FunctionNode) -> None:
        self.text = Text(source)
        self.source = source
        self.node = node
        self.body = node.body[1:] if docstring_of(node) else node.body
        self.edits: dict[str, list[Callable[[random.Random], Edit | None]]] = {}
        if not self.body:
            return
        self.start, self.end = self.text.span(self.body[0])[0], self.text.span(self.body[-1])[1]
        inside = [n for statement in self.body for n in _walk(statement)]
        self.names = sorted(
            {n.id for n in inside if isinstance(n, ast.Name)}
            | {a.arg for a in ast.walk(node.args) if isinstance(a, ast.arg)}
        )
        self.attributes = sorted({n.attr for n in inside if isinstance(n, ast.Attribute)})
        self.strings = sorted(
            {n.value for n in inside if isinstance(n, ast.Constant) and isinstance(n.value, str)}
        )
        self._lexical()
        for n in inside:
            self._node(n)
        self._statements(self.body)

    WEIGHTS = {
        "name": 10, "flip": 8, "binary": 7, "compare": 8, "augmented": 3, "number": 8, "string": 4,
        "attribute": 3, "unwrap": 6, "wrap": 3, "drop-method": 4, "add-method": 2, "drop-operand": 6,
        "add-operand": 7, "arguments": 5, "swap-operands": 4, "not": 4, "drop-condition": 6,
        "add-condition": 3, "slice": 5, "elements": 3, "copy-expression": 4, "ternary": 2,
        "drop-comprehension-if": 2, "drop-statement": 6, "duplicate": 1, "drop-guard": 4, "indent": 4,
        "swap-statements": 2, "drop-return": 1,
    }  # fmt: skip

    def draw(self, rng: random.Random) -> Edit | None:
        """One bug, or None if the drawn place offers none."""
        kinds = [kind for kind in self.WEIGHTS if self.edits.get(kind)]
        if not kinds:
            return None
        kind = rng.choices(kinds, [self.WEIGHTS[k] for k in kinds])[0]
        edit = rng.choice(self.edits[kind])(rng)
        if edit is None or edit.text == self.source[edit.start : edit.end]:
            return None
        return Edit(edit.start, edit.end, edit.text, kind)

    # -- collecting ------------------------------------------------------------------------------

    def _add(self, kind: str, start: int, end: int, make: Callable[[random.Random], str | None]) -> None:
        def edit(rng: random.Random) -> Edit | None:
            made = make(rng)
            return None if made is None else Edit(start, end, made, kind)

        self.edits.setdefault(kind, []).append(edit)

    def _get(self, node: ast.AST) -> str:
        start, end = self.text.span(node)
        return self.source[start:end]

    def _lexical(self) -> None:
        for token in lexical_tokens(self.text):
            if not self.start <= token.start < self.end:
                continue
            s, span = token.string, (token.start, token.end)
            if s in _FLIPS:
                self._add("flip", *span, lambda rng, s=s: rng.choice(_FLIPS[s]))
            if token.type == "op":
                for kind, group in (
                    ("binary", _BINARY), ("binary", _BITWISE), ("compare", _COMPARE), ("augmented", _AUGMENTED),
                ):  # fmt: skip
                    if s in group and s != "=":
                        self._add(kind, *span, lambda rng, g=group: rng.choice(g))
            elif token.type == "number":
                self._add("number", *span, lambda rng, s=s: _other_number(s, rng))
            elif token.type == "string":
                self._add("string", *span, lambda rng, s=s: _other_string(s, self.strings, rng))

    def _node(self, n: ast.AST) -> None:
        if not isinstance(n, ast.expr):
            if isinstance(n, ast.comprehension) and n.ifs:
                start, end = self.text.span(n.iter)[1], self.text.span(n.ifs[-1])[1]
                self._add("drop-comprehension-if", start, end, lambda rng: "")
            return
        span = self.text.span(n)
        if isinstance(n, ast.Name) and len(self.names) > 1:
            self._add("name", *span, lambda rng: rng.choice(self.names))
        if isinstance(n, ast.Attribute) and len(self.attributes) > 1:
            end = span[1]
            self._add("attribute", end - len(n.attr), end, lambda rng: rng.choice(self.attributes))
        if isinstance(getattr(n, "ctx", ast.Load()), ast.Load):
            self._loaded(n, span)

    def _loaded(self, n: ast.expr, span: tuple[int, int]) -> None:
        get, here = self._get, self._get(n)
        if len(here) < 40 and not isinstance(n, ast.Constant | ast.Slice | ast.Starred):
            self._add("wrap", *span, lambda rng: f"{rng.choice(_WRAPPERS)}({here})")
            self._add("add-method", *span, lambda rng: here + rng.choice(_METHODS))
            self._add("copy-expression", *span, lambda rng: get(rng.choice(self._loads())))
            self._add("add-operand", *span, lambda rng: self._longer(here, rng))
            self._add("not", *span, lambda rng: f"not {here}")
        if isinstance(n, ast.Call):
            self._call(n, span)
        elif isinstance(n, ast.BinOp):
            left, right = get(n.left), get(n.right)
            operator = self.source[self.text.span(n.left)[1] : self.text.span(n.right)[0]]
            self._add("drop-operand", *span, lambda rng: rng.choice([left, left, right]))
            self._add("swap-operands", *span, lambda rng: right + operator + left)
        elif isinstance(n, ast.BoolOp):
            joint = " and " if isinstance(n.op, ast.And) else " or "
            values = [get(v) for v in n.values]

            def fewer(rng: random.Random) -> str:
                drop = rng.randrange(len(values))
                return joint.join(v for i, v in enumerate(values) if i != drop)

            self._add("drop-condition", *span, fewer)
        elif isinstance(n, ast.Compare):
            if len(n.ops) == 1:
                operator = self.source[self.text.span(n.left)[1] : self.text.span(n.comparators[0])[0]]
                self._add("swap-operands", *span, lambda rng: get(n.comparators[0]) + operator + get(n.left))
            others = [get(c) for c in self._loads() if isinstance(c, ast.Compare) and c is not n]
            joint = [" and ", " or "]
            self._add(
                "add-condition", *span,
                lambda rng: here + rng.choice(joint) + (rng.choice(others) if others else self._simple_test(rng)),
            )  # fmt: skip
        elif isinstance(n, ast.UnaryOp):
            self._add("not", *span, lambda rng: get(n.operand))
        elif isinstance(n, ast.Subscript):
            self._subscript(n, span)
        elif isinstance(n, ast.Tuple | ast.List | ast.Set) and 1 < len(n.elts) < 12:
            self._elements(n.elts)
        elif isinstance(n, ast.IfExp):
            test, body, other = get(n.test), get(n.body), get(n.orelse)
            self._add(
                "ternary", *span, lambda rng: rng.choice([body, f"{other} if {test} else {body}"])
            )

    def _call(self, n: ast.Call, span: tuple[int, int]) -> None:
        get = self._get
        if len(n.args) == 1 and not n.keywords and not isinstance(n.args[0], ast.Starred | ast.GeneratorExp):
            self._add("unwrap", *span, lambda rng: get(n.args[0]))
        if isinstance(n.func, ast.Attribute):
            self._add("drop-method", *span, lambda rng: get(n.func.value))  # type: ignore[attr-defined]
        arguments: list[ast.AST] = [*n.args, *n.keywords]
        if arguments:
            self._elements(arguments, "arguments")
        end = span[1] - 1
        lead = ", " if arguments else ""
        self._add("arguments", end, end, lambda rng: lead + rng.choice([*self.names, "0", "1", "None", "True"]))

    def _elements(self, items: list[ast.AST] | list[ast.expr], kind: str = "elements") -> None:
        spans = [self.text.span(item) for item in items]
        texts = [self.source[a:b] for a, b in spans]
        whole = spans[0][0], max(b for _, b in spans)

        def drop(rng: random.Random) -> str:
            gone = rng.randrange(len(texts))
            return ", ".join(t for i, t in enumerate(texts) if i != gone)

        def swap(rng: random.Random) -> str | None:
            if len(texts) < 2:
                return None
            i = rng.randrange(len(texts) - 1)
            return ", ".join([*texts[:i], texts[i + 1], texts[i], *texts[i + 2 :]])

        self._add(kind, *whole, drop)
        if len(texts) > 1:
            self._add(kind, *whole, swap)

    def _subscript(self, n: ast.Subscript, span: tuple[int, int]) -> None:
        value, index = self._get(n.value), self._get(n.slice)
        start, end = self.text.span(n.slice)
        self._add("slice", *span, lambda rng: value)
        if isinstance(n.slice, ast.Slice):
            parts = index.split(":")
            simple = len(parts) == 2 and not any(c in index for c in "([{")

            def bounds(rng: random.Random) -> str | None:
                if not simple:
                    return None
                low, high = parts[0].strip(), parts[1].strip()
                choices = [f"{low}:", f":{high}", ":", f"{high}:{low}"]
                if high:
                    choices += [f"{low}:{high} - 1", f"{low}:{high} + 1"]
                if low:
                    choices += [f"{low} + 1:{high}"]
                return rng.choice(choices)

            self._add("slice", start, end, bounds)
        else:
            self._add("slice", start, end, lambda rng: rng.choice([index + " + 1", index + " - 1", "-1", "0", "1"]))

    def _loads(self) -> list[ast.expr]:
        if not hasattr(self, "_loaded_expressions"):
            self._loaded_expressions = [
                n
                for statement in self.body
                for n in _walk(statement)
                if isinstance(n, ast.expr) and isinstance(getattr(n, "ctx", ast.Load()), ast.Load)
                and not isinstance(n, ast.Slice | ast.Starred | ast.GeneratorExp)
                and len(self._get(n)) < 40
            ]  # fmt: skip
        return self._loaded_expressions

    def _longer(self, here: str, rng: random.Random) -> str:
        other = rng.choice(["1", "1", "1", "2", rng.choice(self.names) if self.names else "0"])
        return f"{here} {rng.choice(['+', '-', '+', '-', '*', '//', '%'])} {other}"

    def _simple_test(self, rng: random.Random) -> str:
        return f"{rng.choice(self.names or ['1'])} {rng.choice(_COMPARE)} {rng.choice(['0', '1', 'None'])}"

    def _statements(self, body: list[ast.stmt]) -> None:
        source, text = self.source, self.text
        for index, statement in enumerate(body):
            start, end = text.span(statement)
            line = source.rfind("\n", 0, start) + 1
            indent = source[line:start]
            inner = [b for f in ("body", "orelse", "finalbody") if (b := getattr(statement, f, []))]
            inner += [h.body for h in getattr(statement, "handlers", [])]
            simple = not inner and indent.strip() == ""
            if simple and len(body) > 1:
                # from the end of the statement (or header) before it
                before = text.span(body[index - 1])[1] if index else source.rfind(":", 0, start) + 1
                if source[before:start].strip() == "":
                    self._add("drop-statement", before, end, lambda rng: "")
            if simple and end - start < 200:
                self._add("duplicate", end, end, lambda rng, t=source[start:end], i=indent: f"\n{i}{t}")
            if simple and index + 1 < len(body):
                after = text.span(body[index + 1])
                if "\n" not in source[after[0] : after[1]]:
                    between = source[end : after[0]]
                    swapped = source[after[0] : after[1]] + between + source[start:end]
                    self._add("swap-statements", start, after[1], lambda rng, s=swapped: s)
            if simple and isinstance(statement, ast.Return) and statement.value is not None:
                self._add("drop-return", start, end, lambda rng, v=statement.value: self._get(v))
            if inner and indent.strip() == "":
                self._guarded(statement, inner[0], indent)
                last = inner[-1][-1]
                at = text.span(last)
                if len(inner[-1]) > 1 and "\n" not in source[at[0] : at[1]]:
                    own = source.rfind("\n", 0, at[0]) + 1
                    if source[own : at[0]].strip() == "":
                        self._add("indent", own, at[0], lambda rng, i=indent: i)
                if index + 1 < len(body):
                    after = text.span(body[index + 1])
                    own = source.rfind("\n", 0, after[0]) + 1
                    deeper = text.span(inner[-1][-1])[0]
                    deep = source[source.rfind("\n", 0, deeper) + 1 : deeper]
                    if deep.strip() == "" and source[own : after[0]].strip() == "":
                        if "\n" not in source[after[0] : after[1]]:
                            self._add("indent", own, after[0], lambda rng, d=deep: d)
            for block in inner:
                self._statements(block)

    def _guarded(self, statement: ast.stmt, body: list[ast.stmt], indent: str) -> None:
        if not isinstance(statement, ast.If) or statement.orelse:
            return
        start, end = self.text.span(statement)
        first = self.text.span(body[0])[0]
        deep = self.source[self.source.rfind("\n", 0, first) + 1 : first]
        if deep.strip() or self.source[start : start + 2] != "if":
            return
        kept = self.source[first:end].replace("\n" + deep, "\n" + indent)
        self._add("drop-guard", start, end, lambda rng: kept)


def _walk(node: ast.AST) -> list[ast.AST]:
    """Like `ast.walk`, but not into f-strings (positions there are unreliable before 3.12)."""
    found, pending = [], [node]
    while pending:
        current = pending.pop()
        found.append(current)
        if not isinstance(current, ast.JoinedStr):
            pending.extend(ast.iter_child_nodes(current))
    return found


def _other_number(text: str, rng: random.Random) -> str | None:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    if isinstance(value, int):
        return str(rng.choice([value + 1, value - 1, value + 1, abs(value - 1), 0, 1, 2, value * 2, value + 2, -1]))
    if isinstance(value, float):
        return repr(rng.choice([value + 1, value * 2, value / 2, 0.0, 1.0, value * 10]))
    return None


def _other_string(text: str, strings: list[str], rng: random.Random) -> str | None:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return None
    if not isinstance(value, str) or len(value) > 60 or "\n" in value:
        return None
    choices = [value + " ", value.strip(), value.upper(), value.lower(), value * 2 if len(value) < 4 else value[1:]]
    choices += [" " if value == "" else "", value[:-1]]
    choices += [s for s in strings if len(s) < 30 and "\n" not in s][:8]
    if value:
        at = rng.randrange(len(value))
        choices.append(value[:at] + rng.choice("abcdefghij0123456789_- ,.") + value[at + 1 :])
    quote = '"' if text.endswith('"') else "'"
    made = rng.choice(choices)
    if quote in made or "\\" in made:
        return None
    return f"{quote}{made}{quote}"
