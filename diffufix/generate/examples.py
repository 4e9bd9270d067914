"""The examples of a docstring: doctests, and what prose says in code. Reads text, runs nothing.

Understood beside `>>>`: a call of the function followed by `->`, `=>`, `==`, `returns`, `gives` or
`is` and a literal, or by `raises` and the name of an exception; in any section, in back quotes or
not.
"""

from __future__ import annotations

import ast
import builtins
import doctest
import re
from collections.abc import Collection
from dataclasses import dataclass

from diffufix.generate.stubs import Stub
from diffufix.source.syntax import parse

_RELATION = re.compile(
    r"->|=>|→|⇒|==|\breturns\b|\bgives\b|\byields\b|\bis\b|\braises\b(?:\s+an?\b)?"
)
_NAME = re.compile(r"(?<![\w.])[A-Za-z_]")
_EXCEPTION = re.compile(r"\s*`*([A-Za-z_]\w*)")


@dataclass(frozen=True)
class Example:
    """One thing that must hold. Doctests run the steps before them, too."""

    function: str  # qualified name
    path: str
    number: int  # 1-based, within the function
    text: str  # what the user reads: its call
    #: (source, want, exception message or None, options), in order; the last is what is checked
    steps: tuple[tuple[str, str, str | None, dict[int, bool]], ...] = ()
    #: for prose: the call, and its value or its exception
    call: str = ""
    value: str = ""
    raises: str = ""
    wrap: str = ""  # "await" or "list": what has to be done with the call first

    @property
    def id(self) -> str:
        return f"{self.path}:{self.function}-{self.number}"


def examples_of(function: Stub, known: Collection[str] = ()) -> list[Example]:
    """In the order of the docstring, doctests first. `known` are names of the function's module.

    A docstring whose doctests are malformed has none.
    """
    docstring = function.docstring
    found: list[Example] = []
    try:
        session = doctest.DocTestParser().get_examples(docstring)
    except ValueError:
        session = []
    steps = [(e.source, e.want, e.exc_msg, dict(e.options)) for e in session]
    asking = [i for i, e in enumerate(session) if e.want] or list(range(len(session)))[-1:]
    for index in asking:
        if not any(session[index].options.get(flag) for flag in (doctest.SKIP,)):
            text = " ".join(session[index].source.split())
            found.append(
                Example(
                    function.qualname,
                    function.path,
                    len(found) + 1,
                    text,
                    tuple(steps[: index + 1]),
                )
            )
    for call, value, raised in _in_prose(function, _without_doctests(docstring), known):
        said = f"{call} raises {raised}" if raised else f"{call} -> {value}"
        found.append(
            Example(
                function.qualname,
                function.path,
                len(found) + 1,
                said,
                call=call,
                value=value,
                raises=raised,
                wrap=_wrap(function, value),
            )
        )
    return found


def _wrap(function: Stub, value: str) -> str:
    if isinstance(function.node, ast.AsyncFunctionDef):
        return "await"
    return "list" if function.is_generator and value.startswith("[") else ""


def _without_doctests(docstring: str) -> list[str]:
    lines, inside = [], False
    for line in docstring.splitlines():
        if line.lstrip().startswith(">>>"):
            inside = True
        elif not line.strip():
            inside = False
        if not inside:
            lines.append(line)
    return lines


def _in_prose(
    function: Stub, lines: list[str], known: Collection[str]
) -> list[tuple[str, str, str]]:
    names = set(dir(builtins)) | set(known) | {function.name}
    found: list[tuple[str, str, str]] = []
    for line in lines:
        if function.name + "(" not in line:
            continue
        for match in _RELATION.finditer(line):
            call = _call(function, line[: match.start()], names)
            rest = line[match.end() :]
            if call and match.group().startswith("raises"):
                named = _EXCEPTION.match(rest)
                if named and isinstance(getattr(builtins, named.group(1), None), type):
                    found.append((call, "", named.group(1)))
            elif call and (value := _literal(rest)):
                found.append((call, value, ""))
    return list(dict.fromkeys(found))


def _call(function: Stub, text: str, names: Collection[str]) -> str:
    """The longest expression at the end of `text` that calls the function with known names."""
    text = text.rstrip().rstrip("`:,").rstrip()
    for start in _NAME.finditer(text):
        piece = text[start.start() :]
        try:
            tree = ast.parse(piece, mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            continue
        if not isinstance(tree, ast.Call):
            continue
        called = tree.func.attr if isinstance(tree.func, ast.Attribute) else ""
        called = tree.func.id if isinstance(tree.func, ast.Name) else called
        used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
        method = "." in function.qualname
        if (
            called == function.name
            and used <= set(names)
            and (isinstance(tree.func, ast.Attribute) == method)
        ):
            return piece
    return ""


def _literal(text: str) -> str:
    """The literal that `text` begins with; what follows may be prose."""
    text = text.strip().strip("`").strip()
    ends = [len(text), *(m.start() for m in re.finditer(r"[`.,;#(]|\s", text))]
    for end in sorted(set(ends), reverse=True):
        piece = text[:end].rstrip(" `.,;:")
        try:
            ast.literal_eval(piece)
        except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
            continue
        return piece
    return ""


def module_names(source: str) -> set[str]:
    """Names that a module binds at its top level. Raises SyntaxError."""
    names = set()
    for node in parse(source).body:
        for inner in ast.walk(node):
            if isinstance(inner, ast.alias):
                names.add((inner.asname or inner.name).split(".")[0])
            elif isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                names.add(inner.name)
            elif isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                names.add(inner.id)
    return names
