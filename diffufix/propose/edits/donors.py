"""What is at hand elsewhere, put to use here: a condition added, an argument that the callee's
signature names or that sister calls pass, an element of a table, a statement of a sister function.

`donors` takes from a `Pool` (pool.py) only what uses names that are known at the place. Text only.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from diffufix.propose.edits.code import SHORT, Code, inner_blocks
from diffufix.propose.edits.pool import (
    Pool,
    callee,
    conditions_of,
    is_known,
    known_names,
    usable,
)
from diffufix.source.edits import Edit

CONDITIONS, STATEMENTS, EXPRESSIONS, ELEMENTS = 60, 80, 40, 40  # of the nearest ones


def donors(code: Code, pool: Pool) -> list[Edit]:
    """Edits that use what the pool holds; some say the same."""
    maker = _Donors(code, pool)
    return [*maker.expressions(), *maker.statements()]


class _Donors:
    def __init__(self, code: Code, pool: Pool) -> None:
        self.code, self.pool = code, pool
        self.newline = "\r\n" if "\r\n" in code.source else "\n"
        self.names = known_names(code, pool)
        self.conditions = usable(self.names, conditions_of(code, pool), CONDITIONS)
        self.statements_ = usable(self.names, pool.statements, STATEMENTS)
        self.far = usable(self.names, pool.expressions, EXPRESSIONS)
        self.elements = usable(self.names, pool.elements, ELEMENTS)

    def _of(self, n: ast.AST, kind: str, texts: Iterable[str]) -> Iterator[Edit]:
        start, end = self.code.text.span(n)
        for text in texts:
            yield Edit(start, end, text, kind)

    # -- expressions -------------------------------------------------------------------------------

    def expressions(self) -> Iterator[Edit]:
        code, get = self.code, self.code.get
        for n in code.nodes:
            if not isinstance(n, ast.expr | ast.comprehension | ast.stmt):
                continue
            if isinstance(n, ast.If | ast.While | ast.IfExp) and code.wanted(n.test):
                yield from self._longer_condition(n.test)
            elif isinstance(n, ast.comprehension):
                if code.wanted(n.iter):
                    yield from self._comprehension(n)
            elif isinstance(n, ast.expr) and code.wanted(n):
                if isinstance(n, ast.Call):
                    yield from self._arguments(n)
                    yield from self._classes(n)
                elif isinstance(n, ast.Constant) and type(n.value) is int:
                    numbers = [t for t in self.pool.numbers if t != get(n)][:16]
                    yield from self._of(n, "donor-number", numbers)
                elif isinstance(n, ast.Attribute):
                    yield from self._attribute(n)
                if isinstance(n, ast.Tuple | ast.List | ast.Set) and n.elts:
                    last = code.text.span(n.elts[-1])[1]
                    have = {get(e) for e in n.elts}
                    for text in self.elements:
                        if text not in have:
                            yield Edit(last, last, f", {text}", "donor-element")
                if isinstance(getattr(n, "ctx", ast.Load()), ast.Load) and self._exchangeable(n):
                    here = get(n)
                    yield from self._of(n, "donor-expression", (t for t in self.far if t != here))
                    if isinstance(n, ast.Name):
                        outer = [c for c in self.pool.constants if c != here][:20]
                        yield from self._of(n, "donor-name", outer)
                    yield from self._wrapped(n, here)

    def _exchangeable(self, n: ast.expr) -> bool:
        parent = self.code.parents.get(n)
        if isinstance(parent, ast.Attribute) or isinstance(n, ast.Starred | ast.Slice):
            return False
        is_callee = isinstance(parent, ast.Call) and parent.func is n
        return not is_callee and parent is not None and len(self.code.get(n)) < SHORT

    def _wrapped(self, n: ast.expr, here: str) -> Iterator[Edit]:
        """In a call of a function of the file or of a method of the class."""
        if isinstance(n, ast.Constant):
            return
        own = [name for name in self.pool.functions if name in self.names and name.islower()][:16]
        own += [f for f in self.pool.fields if f"{f}" in self._called_fields][:16]
        yield from self._of(n, "donor-wrap", (f"{name}({here})" for name in own))
        if isinstance(n, ast.Call) and len(n.args) == 1:
            argument = self.code.get(n.args[0])
            yield from self._of(n, "donor-callee", (f"{name}({argument})" for name in own))

    @property
    def _called_fields(self) -> set[str]:
        if not hasattr(self, "_cached_called"):
            pattern = re.compile(r"\b(?:self|cls)\.\w+(?=\()")
            names = {m for text in self.pool.expressions for m in pattern.findall(text)}
            names |= {m for text in self.pool.statements for m in pattern.findall(text)}
            names |= {f"self.{name}" for name in self.pool.functions}
            self._cached_called = names
        return self._cached_called

    def _longer_condition(self, test: ast.expr) -> Iterator[Edit]:
        here = self.code.get(test)
        mixed = isinstance(test, ast.BoolOp | ast.IfExp | ast.Lambda | ast.NamedExpr)
        for other in self.conditions:
            if other in here:
                continue
            held, more = (f"({here})" if mixed else here), self._operand(other)
            joint = here if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else held
            yield from self._of(test, "add-condition", [f"{joint} and {more}"])
            joint = here if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or) else held
            yield from self._of(test, "add-condition", [f"{joint} or {other}"])
            yield from self._of(test, "condition-first", [f"{more} and {held}"])
            yield from self._of(test, "condition", [other])

    def _operand(self, text: str) -> str:
        return f"({text})" if " or " in text or " if " in text else text

    def _comprehension(self, n: ast.comprehension) -> Iterator[Edit]:
        end = self.code.text.span(n.iter)[1]
        bound = {x.id for x in ast.walk(n.target) if isinstance(x, ast.Name)}
        texts = [*bound, *(f"{b} is not None" for b in bound)]
        texts += [c for c in self.conditions if any(re.search(rf"\b{b}\b", c) for b in bound)]
        for text in texts[:16]:
            yield Edit(end, end, f" if {text}", "add-filter")

    def _arguments(self, n: ast.Call) -> Iterator[Edit]:
        code, get = self.code, self.code.get
        end = code.text.span(n)[1] - 1
        inside = code.source[code.text.span(n.func)[1] : end]
        if inside.rstrip().endswith(",") or any(isinstance(a, ast.GeneratorExp) for a in n.args):
            return
        lead = ", " if n.args or n.keywords else ""
        name = callee(n)
        have = {k.arg for k in n.keywords}
        made: dict[str, None] = {}
        for text, _ in self.pool.keywords.get(name, Counter()).most_common(8):
            made[text] = None
        for parameter in self.pool.parameters.get(name, [])[:16]:
            values = [parameter] if parameter in code.names else []
            values += [
                f for f in (f"self.{parameter}", f"self._{parameter}") if f in self.pool.fields
            ]
            for value in (*values, "True", "False", "None"):
                made[f"{parameter}={value}"] = None
        for constant in STANDARD.get(name, ()):
            made[constant] = None
        for text in made:
            if text.split("=")[0] not in have and is_known(self.names, text.rpartition("=")[2]):
                yield Edit(end, end, lead + text, "add-keyword")
        given = {get(a) for a in n.args}
        if not n.keywords:
            near = [f for f in self.pool.fields if f not in given][:8]
            yield from (Edit(end, end, lead + text, "donor-argument") for text in near)
        for each in n.keywords:
            values = list(self.pool.fields)[:6]
            yield from self._of(each.value, "donor-argument", values)

    def _classes(self, n: ast.Call) -> Iterator[Edit]:
        """`isinstance(x, A)` of other classes, or of more of them."""
        if callee(n) not in ("isinstance", "issubclass") or len(n.args) != 2:
            return
        here = self.code.get(n.args[1])
        parts = here.strip("()").rstrip(",") if isinstance(n.args[1], ast.Tuple) else here
        for other in usable(self.names, self.pool.classes, 24):
            if other not in parts:
                yield from self._of(n.args[1], "classes", [f"({parts}, {other})", other])

    def _attribute(self, n: ast.Attribute) -> Iterator[Edit]:
        code, end = self.code, self.code.text.span(n)[1]
        start = end - len(n.attr)
        if isinstance(n.value, ast.Name) and n.value.id in ("self", "cls"):
            others = [f.split(".")[1] for f in self.pool.fields if f.startswith(n.value.id + ".")]
        else:
            others = [a for a, _ in self.pool.attributes.most_common(30)]
        near = sorted(others, key=lambda other: -_alike(other, n.attr))[:20]
        yield from (Edit(start, end, other, "donor-attribute") for other in near if other != n.attr)
        if isinstance(n.ctx, ast.Load):
            parent = code.parents.get(n)
            if not (isinstance(parent, ast.Call) and parent.func is n):
                for other in list(self.pool.attributes)[:10]:
                    yield Edit(end, end, f".{other}", "add-attribute")

    # -- statements --------------------------------------------------------------------------------

    def statements(self) -> Iterator[Edit]:
        code = self.code
        for block, index in code.statements:
            statement = block[index]
            margin = code.margin(statement)
            if margin is None or not code.wanted(statement):
                continue
            if isinstance(code.node, ast.Module):
                continue
            end = code.line_end(code.text.span(statement)[1])
            start = code.text.span(statement)[0]
            for text in self.statements_:
                last = index + 1 == len(block)
                if not isinstance(statement, ast.Return | ast.Raise | ast.Continue | ast.Break):
                    yield Edit(end, end, f"{self.newline}{margin}{text}", "donor-statement")
                if index == 0 or last:
                    yield Edit(start, start, f"{text}{self.newline}{margin}", "donor-statement")
                if not inner_blocks(statement):
                    yield Edit(start, code.text.span(statement)[1], text, "replace-statement")


def _alike(one: str, two: str) -> int:
    """How many characters two names share at their ends."""
    head = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), len(two))
    tail = next(
        (i for i, (a, b) in enumerate(zip(one[::-1], two[::-1], strict=False)) if a != b), len(two)
    )
    return head + tail


#: Keyword arguments of the standard library that fixes add.
STANDARD = {
    "open": ('encoding="utf-8"', 'newline=""'), "get": ("None",), "sorted": ("reverse=True",),
    "sort": ("reverse=True",), "join": (), "split": (), "dumps": ("sort_keys=True",),
    "dump": ("sort_keys=True",), "max": ("default=0", "default=None"), "min": ("default=0",),
    "zip": ("strict=True",), "compile": ("re.MULTILINE", "re.DOTALL", "re.IGNORECASE"),
    "parse_qsl": ("keep_blank_values=True",), "parse_qs": ("keep_blank_values=True",),
    "makedirs": ("exist_ok=True",), "mkdir": ("exist_ok=True", "parents=True"),
    "getattr": ("None",), "pop": ("None",), "next": ("None",), "sub": ("count=1",),
    "run": ("check=True", "text=True"), "decode": ('"utf-8"', 'errors="replace"'),
    "encode": ('"utf-8"',), "enumerate": ("start=1",), "warn": ("stacklevel=2",),
    "print": ("file=sys.stderr", 'end=""'), "field": ("default=None",),
    "copytree": ("symlinks=True",),
}  # fmt: skip
