"""Which functions are to be filled: stubs and named ones, in the order of their calls. Text only.

A stub is a function whose body, its docstring aside, is empty or consists of `...`, `pass` and
`raise NotImplementedError`. Overloads, abstract methods and protocols are meant to be like that
and are left alone.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from diffufix.source.functions import Definition, FunctionNode, definitions, docstring_of
from diffufix.source.spans import Text
from diffufix.source.syntax import parse

_LEFT_ALONE = frozenset(
    {"overload", "abstractmethod", "abstractproperty", "abstractclassmethod"}
    | {"abstractstaticmethod"}
)
_WORD = re.compile(r"[A-Za-z_]\w*")


@dataclass(frozen=True, eq=False)
class Stub:
    """One function of a file. `outer` is the outermost function that holds it, often itself."""

    path: str
    qualname: str  # with dots only: Class.method, outer.inner
    node: FunctionNode
    outer: FunctionNode
    outer_name: str
    left_alone: bool = False  # abstract, an overload, of a protocol

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def docstring(self) -> str:
        return ast.get_docstring(self.node, clean=False) or ""

    @property
    def statements(self) -> list[ast.stmt]:
        return self.node.body[1:] if docstring_of(self.node) else self.node.body

    @property
    def is_stub(self) -> bool:
        return not self.left_alone and all(map(_says_nothing, self.statements))

    @property
    def is_no_op(self) -> bool:
        """`pass` without a docstring: as likely a decision as a stub."""
        return not self.docstring and all(isinstance(s, ast.Pass) for s in self.statements)

    @property
    def raises(self) -> bool:
        """Calling it fails, so that no test of it can pass by accident."""
        return any(isinstance(s, ast.Raise) for s in self.statements)

    @property
    def is_generator(self) -> bool:
        hint = ast.unparse(self.node.returns) if self.node.returns else ""
        return hint.split("[")[0].split(".")[-1] in ("Iterator", "Generator", "AsyncIterator")


def functions_of(path: str, source: str) -> list[Stub]:
    """Every function of a file, nested ones too, in source order. Raises SyntaxError."""
    tree = parse(source)
    overridden = _overridden(tree)
    return [
        _function(path, found, found.qualname in overridden)
        for found in definitions(tree)
        if not _for_type_checkers(found)
    ]


def _function(path: str, found: Definition, overridden: bool) -> Stub:
    around = (*found.parents, found.node)
    at = next(i for i, node in enumerate(around) if isinstance(node, FunctionNode))
    outer = around[at]
    assert isinstance(outer, FunctionNode)
    named = [n.name for n in around[: at + 1] if isinstance(n, FunctionNode | ast.ClassDef)]
    holders = [n for n in found.parents if isinstance(n, FunctionNode | ast.ClassDef)]
    alone = overridden or any(_last(d) in _LEFT_ALONE for d in found.node.decorator_list)
    if holders and isinstance(holders[-1], ast.ClassDef):
        alone = alone or any(_last(base) == "Protocol" for base in holders[-1].bases)
    return Stub(path, found.qualname, found.node, outer, ".".join(named), alone)


def _for_type_checkers(found: Definition) -> bool:
    """Whether it stands under `if TYPE_CHECKING:`."""
    around = (*found.parents, found.node)
    return any(
        isinstance(node, ast.If) and _last(node.test) == "TYPE_CHECKING" and inner in node.body
        for node, inner in pairwise(around)
    )


def _overridden(tree: ast.Module) -> set[str]:
    """Methods that a subclass in the same file defines anew: abstract by convention."""
    classes = {n.name: n for n in tree.body if isinstance(n, ast.ClassDef)}
    found = set()
    for node in classes.values():
        own = {s.name for s in node.body if isinstance(s, FunctionNode)}
        for base in map(_last, node.bases):
            if base in classes:
                for s in classes[base].body:
                    if isinstance(s, FunctionNode) and s.name in own and s.name != "__init__":
                        found |= {f"{base}.{s.name}"} if _only_raises(s) else set()
    return found


def _only_raises(node: FunctionNode) -> bool:
    rest = node.body[1:] if docstring_of(node) else node.body
    return len(rest) == 1 and isinstance(rest[0], ast.Raise) and _says_nothing(rest[0])


def _last(node: ast.expr) -> str:
    """The last name of `a.b.c`, `c[...]` or `c(...)`."""
    if isinstance(node, ast.Call):
        return _last(node.func)
    if isinstance(node, ast.Subscript):
        return _last(node.value)
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _says_nothing(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Pass):
        return True
    if isinstance(statement, ast.Expr):
        return isinstance(statement.value, ast.Constant) and statement.value.value is Ellipsis
    if isinstance(statement, ast.Raise) and statement.exc is not None:
        return _last(statement.exc) == "NotImplementedError"
    return False


def in_call_order(chosen: Sequence[Stub], known: Iterable[Stub]) -> list[Stub]:
    """Callees first. `known` are all functions whose bodies say who calls whom; a stub calls what
    its docstring names. Where calls go round in circles, source order decides."""
    by_name: dict[str, list[Stub]] = {}
    for function in known:
        by_name.setdefault(function.name, []).append(function)
    wanted, order, seen = {id(f) for f in chosen}, [], set()

    def visit(function: Stub) -> None:
        if id(function) in seen:
            return
        seen.add(id(function))
        for name in sorted(_mentioned(function, by_name)):
            for callee in by_name[name]:
                visit(callee)
        if id(function) in wanted:
            order.append(function)

    for function in chosen:
        visit(function)
    return order


def _mentioned(function: Stub, by_name: Mapping[str, object]) -> set[str]:
    """Names of known functions in the body, and in the docstring where they stand as code."""
    found = set()
    for node in ast.walk(function.node):
        if isinstance(node, ast.Name | ast.Attribute):
            found.add(_last(node))
    text = function.docstring
    for match in _WORD.finditer(text):
        before, after = text[: match.start()], text[match.end() :]
        if after.startswith(("(", "`")) or before.endswith("`"):
            found.add(match.group())
    return (found & by_name.keys()) - {function.name}


@dataclass(frozen=True)
class Emptied:
    """A function whose body has been replaced in `text` by one that raises.

    The hole is what raises; `start` and `end` are all that was replaced, by what was `before`.
    """

    function: Stub
    hole: tuple[int, int]
    start: int
    end: int
    before: str


def marker(function: Stub) -> str:
    """By this message a test's failure says that it met a body not yet written."""
    return f"not generated yet: {function.path}::{function.qualname}"


def empty(source: str, functions: Sequence[Stub]) -> tuple[str, list[Emptied]]:
    """The text of one file with these functions emptied, and where."""
    text = Text(source)
    newline = "\r\n" if "\r\n" in source else "\n"
    done, found, at = "", [], 0
    for function in sorted(functions, key=lambda f: f.node.lineno):
        start, end, lead = _replaced(text, function, newline)
        if start < at:  # inside a function that is emptied as a whole
            continue
        done += source[at:start]
        body = f"raise NotImplementedError({marker(function)!r})"
        began = len(done)
        done += lead + body
        hole = (began + len(lead), len(done))
        found.append(Emptied(function, hole, began, len(done), source[start:end]))
        at = end
    return done + source[at:], found


def _replaced(text: Text, function: Stub, newline: str) -> tuple[int, int, str]:
    """What a new body takes the place of, and what has to stand before it."""
    node, rest, source = function.node, function.statements, text.source
    begin, end = text.span(node.body[0])[0], text.span(node.body[-1])[1]
    indent = newline + _indent(text, node)
    if source[source.rfind("\n", 0, begin) + 1 : begin].strip():  # on the line of the `def`
        documented = docstring_of(node)
        first = text.span(documented)[1] if documented else begin
        lead = indent + source[begin:first] if documented else ""
        return len(source[:begin].rstrip()), end, lead + indent
    if not rest:
        return end, end, newline + source[source.rfind("\n", 0, begin) + 1 : begin]
    start = text.span(rest[0])[0]
    if source[source.rfind("\n", 0, start) + 1 : start].strip():  # `"""Text."""; pass`
        return text.span(node.body[0])[1], end, indent
    return start, end, ""


def _indent(text: Text, node: FunctionNode) -> str:
    """One step deeper than the `def`."""
    start = text.span(node)[0]
    line = text.source[text.source.rfind("\n", 0, start) + 1 : start]
    own = line[: len(line) - len(line.lstrip())]
    return own + ("\t" if own.startswith("\t") else "    ")


def new_lines(function: Stub, text: str) -> range | None:
    """The lines of its new body in a file; None where its body is as it was."""
    found = [f for f in functions_of(function.path, text) if f.qualname == function.qualname]
    before = [ast.dump(statement) for statement in function.statements]
    for each in reversed(found):
        after = [ast.dump(statement) for statement in each.statements]
        if after and after != before:
            last = each.statements[-1].end_lineno or each.statements[-1].lineno
            return range(each.statements[0].lineno, last + 1)
    return None
