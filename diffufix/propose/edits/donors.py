"""What is at hand elsewhere, put to use here: most of a fix's text is already in the project.

A `Pool` holds expressions, conditions, keyword arguments, calls and statements of a file (and of
others, which count as farther away), with how near they stand. `donors` puts them into a suspicious
function: a condition added or guarded by, an argument that the callee's signature names or that
sister calls pass, an element of a table, a statement that a sister function has at such a place.
Martinez, Weimer, Monperrus: Do the fix ingredients already exist? (ICSE 2014). Text only.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from diffufix.propose.edits.code import SHORT, Code, Edit, inner_blocks, tests_of, walk
from diffufix.source.names import GIVEN
from diffufix.source.spans import FunctionNode
from diffufix.source.syntax import parse

MOST = {"condition": 60, "statement": 80, "expression": 40, "keyword": 40, "guard": 40}
_LONG = 200  # characters of a statement that is written again
GUARDS = ("return", "continue", "return None", "return False", "break")


@dataclass
class Pool:
    """What a project's code has to give, by its text; nearer places come first."""

    conditions: dict[str, None] = field(default_factory=dict)
    expressions: dict[str, None] = field(default_factory=dict)
    statements: dict[str, None] = field(default_factory=dict)
    guards: dict[str, None] = field(default_factory=dict)  # `if …: return …` on two lines
    keywords: dict[str, Counter[str]] = field(default_factory=dict)  # callee -> `name=value`
    parameters: dict[str, list[str]] = field(default_factory=dict)  # callee -> names of parameters
    fields: dict[str, None] = field(default_factory=dict)  # `self.x` of the file
    methods: dict[str, None] = field(default_factory=dict)  # `self.x(` of the file
    constants: dict[str, None] = field(default_factory=dict)  # names bound at module level
    functions: dict[str, None] = field(default_factory=dict)  # names of functions and classes
    attributes: Counter[str] = field(default_factory=Counter)
    elements: dict[str, None] = field(default_factory=dict)  # members of displays

    def add(self, source: str, tree: ast.AST) -> None:
        """What this piece of code gives; call it for the nearest one first."""
        lines = source.split("\n")
        for n in walk(tree):
            if isinstance(n, ast.stmt):
                self._statement(source, lines, n)
            for test in tests_of(n):
                _note(self.conditions, _segment(source, lines, test))
            if isinstance(n, ast.Call):
                self.call(source, lines, n)
            if isinstance(n, ast.Attribute):
                self.attributes[n.attr] += 1
                if isinstance(n.value, ast.Name) and n.value.id in ("self", "cls"):
                    self.fields[f"{n.value.id}.{n.attr}"] = None
            if isinstance(n, ast.Call | ast.Attribute | ast.Subscript):
                _note(self.expressions, _segment(source, lines, n))
            if isinstance(n, ast.Tuple | ast.List | ast.Set):
                for each in n.elts:
                    _note(self.elements, _segment(source, lines, each))
            if isinstance(n, FunctionNode | ast.ClassDef):
                self.definition(n)

    def add_module(self, source: str, tree: ast.Module) -> None:
        """The same for a whole file, with the names that it binds."""
        self.add(source, tree)
        for statement in tree.body:
            if isinstance(statement, ast.Assign):
                names = [t.id for t in statement.targets if isinstance(t, ast.Name)]
                self.constants.update(dict.fromkeys(names))
            elif isinstance(statement, ast.Import | ast.ImportFrom):
                bound = [(a.asname or a.name).split(".")[0] for a in statement.names]
                self.constants.update(dict.fromkeys(bound))

    def definition(self, n: FunctionNode | ast.ClassDef) -> None:
        self.functions[n.name] = None
        node: ast.AST | None = n
        if isinstance(n, ast.ClassDef):
            inits = [m for m in n.body if isinstance(m, FunctionNode) and m.name == "__init__"]
            node = inits[0] if inits else None
        if isinstance(node, FunctionNode):
            args = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            own = [a.arg for a in args if a.arg not in ("self", "cls")]
            self.parameters.setdefault(n.name, []).extend(own)

    def call(self, source: str, lines: list[str], n: ast.Call) -> None:
        name = callee(n)
        for each in n.keywords:
            value = _segment(source, lines, each.value)
            if each.arg and value is not None:
                self.keywords.setdefault(name, Counter())[f"{each.arg}={value}"] += 1

    def _statement(self, source: str, lines: list[str], n: ast.stmt) -> None:
        simple = ast.Expr | ast.Assign | ast.AugAssign | ast.Raise | ast.Return | ast.Delete
        if isinstance(n, simple):
            text = _segment(source, lines, n, _LONG)
            if text and not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)):
                _note(self.statements, text)
        elif isinstance(n, ast.If) and not n.orelse and len(n.body) == 1:
            test = _segment(source, lines, n.test)
            body = _segment(source, lines, n.body[0], _LONG)
            if test and body and not inner_blocks(n.body[0]):
                self.guards[f"if {test}:\n{body}"] = None


def callee(n: ast.Call) -> str:
    """The last name of what is called."""
    if isinstance(n.func, ast.Attribute):
        return n.func.attr
    return n.func.id if isinstance(n.func, ast.Name) else ""


def _note(found: dict[str, None], text: str | None) -> None:
    if text:
        found.setdefault(text)


def _segment(source: str, lines: list[str], n: ast.AST, most: int = SHORT) -> str | None:
    """The text of a node on one line of ASCII; None where it is longer, or at another place."""
    line: int = n.lineno  # type: ignore[attr-defined]
    if n.end_lineno != line or line > len(lines):  # type: ignore[attr-defined]
        return None
    start, end = n.col_offset, n.end_col_offset  # type: ignore[attr-defined]
    whole = lines[line - 1]
    return whole[start:end] if end - start <= most and whole.isascii() else None


def make_pool(source: str, code: Code, others: Mapping[str, str] | None = None) -> Pool:
    """The function itself first, then its class, then its file, then `others` (texts of files)."""
    pool = Pool()
    pool.add(source, code.node)
    tree = parse(source)
    for n in tree.body:
        if isinstance(n, ast.ClassDef) and n.lineno <= _line(code.node) <= (n.end_lineno or 0):
            pool.add(source, n)
    pool.add_module(source, tree)
    for text in (others or {}).values():
        try:
            far = parse(text)
        except (SyntaxError, ValueError, RecursionError):
            continue
        lines = text.split("\n")
        for each in ast.walk(far):
            if isinstance(each, FunctionNode | ast.ClassDef):
                pool.definition(each)
            elif isinstance(each, ast.Call):
                pool.call(text, lines, each)
    return pool


def _line(node: ast.AST) -> int:
    return getattr(node, "lineno", 0)


def donors(code: Code, pool: Pool) -> list[Edit]:
    """Edits that use what the pool holds; some say the same."""
    maker = _Donors(code, pool)
    return [*maker.expressions(), *maker.statements()]


class _Donors:
    def __init__(self, code: Code, pool: Pool) -> None:
        self.code, self.pool = code, pool
        self.newline = "\r\n" if "\r\n" in code.source else "\n"
        self.local = set(code.names) | set(pool.constants) | set(pool.functions)
        self.conditions = self._usable(self._all_conditions(), MOST["condition"])
        self.statements_ = self._usable(pool.statements, MOST["statement"])
        self.guards = self._usable(pool.guards, MOST["guard"])
        self.far = self._usable(pool.expressions, MOST["expression"])
        self.elements = self._usable(pool.elements, 40)

    def _all_conditions(self) -> Iterator[str]:
        yield from self.pool.conditions
        for name in self.code.variables[:10]:
            yield from (name, f"not {name}", f"{name} is None", f"{name} is not None")
        for name in list(self.pool.fields)[:10]:
            yield from (name, f"not {name}", f"{name} is not None")

    def _usable(self, texts: Iterable[str], most: int) -> list[str]:
        """Those whose names are known here."""
        found: dict[str, None] = {}
        for text in texts:
            if text not in found and self._known(text):
                found[text] = None
                if len(found) >= most:
                    break
        return list(found)

    def _known(self, text: str) -> bool:
        try:
            tree = parse(text if "\n" not in text else text.replace("\n", "\n    "))
        except (SyntaxError, ValueError):
            return False
        bound = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)
                 and not isinstance(n.ctx, ast.Load)}  # fmt: skip
        bound |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        return all(n in self.local or n in GIVEN for n in used - bound) and not any(
            isinstance(n, ast.Yield | ast.Await) for n in ast.walk(tree)
        )

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
        own = [name for name in self.pool.functions if name in self.local and name.islower()][:16]
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
            if text.split("=")[0] not in have and self._known(text.rpartition("=")[2]):
                yield Edit(end, end, lead + text, "add-keyword")
        given = {get(a) for a in n.args}
        if not n.keywords:
            near = [f for f in self.pool.fields if f not in given][:8]
            yield from (Edit(end, end, lead + text, "donor-argument") for text in near)
        for each in n.keywords:
            values = list(self.pool.fields)[:6]
            yield from self._of(each.value, "donor-argument", values)

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
            deep = margin + self._step(margin)
            for guard in self.guards:
                head, body = guard.split("\n", 1)
                text = f"{head}{self.newline}{deep}{body}{self.newline}{margin}"
                yield Edit(start, start, text, "donor-guard")
            loop = self._in_loop(statement)
            for test in self.conditions[:24]:
                for way in GUARDS if loop else (g for g in GUARDS if g.startswith("return")):
                    text = f"if {test}:{self.newline}{deep}{way}{self.newline}{margin}"
                    yield Edit(start, start, text, "new-guard")
            yield from self._guarded(statement, margin, deep)

    def _guarded(self, statement: ast.stmt, margin: str, deep: str) -> Iterator[Edit]:
        """The statement only under a condition."""
        start, end = self.code.text.span(statement)
        if isinstance(statement, FunctionNode | ast.ClassDef):
            return
        step = deep[len(margin) :]
        body = self.code.source[start:end].replace("\n", f"\n{step}")
        for test in self.conditions[:24]:
            yield Edit(start, end, f"if {test}:{self.newline}{deep}{body}", "guarded")

    def _step(self, margin: str) -> str:
        return "\t" if "\t" in margin else self._width

    @property
    def _width(self) -> str:
        if not hasattr(self, "_cached_width"):
            self._cached_width = "    "
            for block, index in self.code.statements:
                for inner in inner_blocks(block[index]):
                    outer, deep = self.code.margin(block[index]), self.code.margin(inner[0])
                    if outer is not None and deep is not None and len(deep) > len(outer):
                        self._cached_width = deep[len(outer) :]
                        return self._cached_width
        return self._cached_width

    def _in_loop(self, n: ast.AST) -> bool:
        while (parent := self.code.parents.get(n)) is not None:
            if isinstance(parent, ast.For | ast.While | ast.AsyncFor):
                return True
            if isinstance(parent, FunctionNode):
                return False
            n = parent
        return False


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
