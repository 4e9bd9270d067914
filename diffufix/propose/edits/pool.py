"""What is at hand: `Pool`, the expressions, statements, signatures of a function's surroundings.

Most of a fix's text is already in the project (Martinez, Weimer, Monperrus: Do the fix ingredients
already exist?, ICSE 2014). A pool holds it by its text, what stands nearer first: the function, its
class, its file, then other files, of which signatures and keyword arguments count alone. Text only.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache

from diffufix.propose.edits.code import SHORT, Code, inner_blocks, tests_of, walk
from diffufix.source.functions import FunctionNode
from diffufix.source.names import GIVEN
from diffufix.source.syntax import parse

_LONG = 200  # characters of a statement that is written again


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
    numbers: dict[str, None] = field(default_factory=dict)
    classes: dict[str, None] = field(default_factory=dict)  # what isinstance is asked for

    def add(self, source: str, tree: ast.AST) -> None:
        """What this piece of code gives; call it for the nearest one first."""
        lines = source.split("\n")
        for n in walk(tree):
            if isinstance(n, ast.stmt):
                self._statement(lines, n)
            for test in tests_of(n):
                _note(self.conditions, _segment(lines, test))
            if isinstance(n, ast.Call):
                self.call(lines, n)
            if isinstance(n, ast.Attribute):
                self.attributes[n.attr] += 1
                if isinstance(n.value, ast.Name) and n.value.id in ("self", "cls"):
                    self.fields[f"{n.value.id}.{n.attr}"] = None
            if isinstance(n, ast.Call | ast.Attribute | ast.Subscript):
                _note(self.expressions, _segment(lines, n))
            if isinstance(n, ast.Tuple | ast.List | ast.Set):
                for each in n.elts:
                    _note(self.elements, _segment(lines, each))
            if isinstance(n, ast.Constant) and type(n.value) is int:
                _note(self.numbers, _segment(lines, n))
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

    def take(self, other: Pool) -> None:
        """All that another pool gives, behind what is here; the other one stays as it is."""
        for each in fields(self):
            mine, more = getattr(self, each.name), getattr(other, each.name)
            if each.name == "keywords":
                for name, counts in more.items():
                    mine.setdefault(name, Counter()).update(counts)
            elif each.name == "parameters":
                for name, names in more.items():
                    mine.setdefault(name, []).extend(names)
            else:
                mine.update(more)

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

    def call(self, lines: list[str], n: ast.Call) -> None:
        name = callee(n)
        if name in ("isinstance", "issubclass") and len(n.args) == 2:
            asked = n.args[1].elts if isinstance(n.args[1], ast.Tuple) else [n.args[1]]
            for one in asked:
                _note(self.classes, _segment(lines, one))
        for each in n.keywords:
            value = _segment(lines, each.value)
            if each.arg and value is not None:
                self.keywords.setdefault(name, Counter())[f"{each.arg}={value}"] += 1

    def _statement(self, lines: list[str], n: ast.stmt) -> None:
        simple = ast.Expr | ast.Assign | ast.AugAssign | ast.Raise | ast.Return | ast.Delete
        if isinstance(n, simple):
            text = _segment(lines, n, _LONG)
            if text and not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant)):
                _note(self.statements, text)
        elif isinstance(n, ast.If) and not n.orelse and len(n.body) == 1:
            test = _segment(lines, n.test)
            body = _segment(lines, n.body[0], _LONG)
            if test and body and not inner_blocks(n.body[0]):
                self.guards[f"if {test}:\n{body}"] = None


def known_names(code: Code, pool: Pool) -> set[str]:
    """Names that mean something in the function."""
    return {*GIVEN, *code.names, *pool.constants, *pool.functions}


def usable(names: set[str], texts: Iterable[str], most: int) -> list[str]:
    """The first `most` of the texts that use nothing but these names."""
    found: dict[str, None] = {}
    for text in texts:
        if text not in found and is_known(names, text):
            found[text] = None
            if len(found) >= most:
                break
    return list(found)


def is_known(names: set[str], text: str) -> bool:
    """Whether an expression, a statement or a guard uses these names alone."""
    needed = _needed(text)
    return needed is not None and needed <= names


@lru_cache(16_384)  # many functions of a file are asked for the same texts
def _needed(text: str) -> frozenset[str] | None:
    """The names that a text takes from around it; None where it cannot be put elsewhere."""
    try:
        tree = parse(text.replace("\n", "\n    "))
    except (SyntaxError, ValueError):
        return None
    used: set[str] = set()
    bound: set[str] = set()
    for n in ast.walk(tree):
        if isinstance(n, ast.Name):
            (used if isinstance(n.ctx, ast.Load) else bound).add(n.id)
        elif isinstance(n, ast.arg):
            bound.add(n.arg)
        elif isinstance(n, ast.Yield | ast.YieldFrom | ast.Await):
            return None
    return frozenset(used - bound)


def conditions_of(code: Code, pool: Pool) -> Iterator[str]:
    """What may be asked: conditions at hand, then variables and fields as such."""
    yield from pool.conditions
    for name in code.variables[:10]:
        yield from (name, f"not {name}", f"{name} is None", f"{name} is not None")
    for name in list(pool.fields)[:10]:
        yield from (name, f"not {name}", f"{name} is not None")


def callee(n: ast.Call) -> str:
    """The last name of what is called."""
    if isinstance(n.func, ast.Attribute):
        return n.func.attr
    return n.func.id if isinstance(n.func, ast.Name) else ""


def _note(found: dict[str, None], text: str | None) -> None:
    if text:
        found.setdefault(text)


def _segment(lines: list[str], n: ast.AST, most: int = SHORT) -> str | None:
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
    tree, file = _file(source)
    for n in tree.body:
        if isinstance(n, ast.ClassDef) and n.lineno <= _line(code.node) <= (n.end_lineno or 0):
            pool.add(source, n)
    pool.take(file)
    for text in (others or {}).values():
        pool.take(_far(text))
    return pool


# The same files are near to all functions that are looked at.


@lru_cache(8)
def _file(source: str) -> tuple[ast.Module, Pool]:
    tree, pool = parse(source), Pool()
    pool.add_module(source, tree)
    return tree, pool


@lru_cache(128)
def _far(text: str) -> Pool:
    """The definitions and calls of another file; nothing where it does not parse."""
    pool = Pool()
    try:
        tree = parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return pool
    lines = text.split("\n")
    for each in ast.walk(tree):
        if isinstance(each, ast.Call):
            pool.call(lines, each)
        elif isinstance(each, FunctionNode | ast.ClassDef):
            pool.definition(each)
    return pool


def _line(node: ast.AST) -> int:
    return getattr(node, "lineno", 0)
