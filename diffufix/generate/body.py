"""`Body`: an edit target whose body is to be written; `Draft`: one with a body that is wrong.

Both make changes of the same file. Text only.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection

from diffufix.generate.stubs import Emptied, functions_of
from diffufix.propose.candidates import Change, EditTarget, Sound
from diffufix.propose.holes import holes
from diffufix.source.edits import splice
from diffufix.source.functions import FunctionNode
from diffufix.source.spans import Text
from diffufix.types import Hole, Kind, SuspiciousFunction

_GENERATORS = frozenset({"Iterator", "Generator", "AsyncIterator", "AsyncGenerator", "Iterable"})
_NOTHING = frozenset({"None", "NoReturn", "Never"})
_IN_PARENTHESES = re.compile(r"(.*\breturn) ?\((.+)\)", re.DOTALL)


class Body(EditTarget):
    """The emptied function in the text that changes are made to."""

    def __init__(self, suspect: SuspiciousFunction, source: str, emptied: Emptied) -> None:
        """`source` is the text in which it is empty; `suspect` the outermost function around."""
        super().__init__(suspect, source)
        self.emptied = emptied
        self.function = emptied.function
        self.qualname = emptied.function.qualname
        start, end = emptied.hole
        self.hole = Hole(start, end, Kind.BODY, 1.0)
        line = source.rfind("\n", 0, start) + 1
        self.indent = source[line:start]
        #: Whether it must use every parameter: that tells bodies without a thought sooner.
        self.strict = False

    def holes(self) -> list[Hole]:
        return [self.hole]

    def change(self, hole: Hole, fill: str, sound: Sound | None = None) -> Change | None:
        """As of a subject; None also for what is still a stub, or does not give what it should.

        A last `return (x)` is written `return x`.
        """
        fill = self._plain(fill)
        change = super().change(hole, fill, sound)
        return change if change and self._sound(fill) else None

    def _plain(self, body: str) -> str:
        """The body without parentheses around what it returns last, if it means the same then."""
        found = _IN_PARENTHESES.fullmatch(body)
        if found is None:
            return body
        plain = " ".join(found.groups())
        try:
            same = ast.dump(ast.parse(self._with(plain))) == ast.dump(ast.parse(self._with(body)))
        except (SyntaxError, ValueError, RecursionError):
            return body
        return plain if same else body

    def _with(self, body: str) -> str:
        return splice(self.source, self.hole, body)

    def _sound(self, body: str) -> bool:
        text = self._with(body)
        try:
            named = [f for f in functions_of(self.suspect.path, text)
                     if f.qualname == self.qualname]  # fmt: skip
        except (SyntaxError, ValueError, RecursionError):
            return False
        inside = [f for f in named if f.node.body[0].lineno <= Text(text).line_of(self.hole.start)]
        return any(
            not f.is_stub
            and gives_what_it_says(f.node)
            and looks_at_its_arguments(f.node, self.strict)
            and returns_its_type(f.node)
            for f in inside
        )


class Draft(EditTarget):
    """A body that some examples refuse: its holes are cut anew, its changes are of the `Body`."""

    def __init__(self, body: Body, text: str, lines: dict[int, float] | None = None) -> None:
        """`text` is the draft's body; `lines` how suspicious its lines are, None: all alike.

        Raises SyntaxError.
        """
        whole = splice(body.source, body.hole, text)
        first = Text(whole).line_of(body.hole.start)
        last = Text(whole).line_of(body.hole.start + max(0, len(text) - 1))
        lines = lines or dict.fromkeys(range(first, last + 1), 1.0)
        old = body.suspect
        longer = whole.count("\n") - body.source.count("\n")
        super().__init__(
            SuspiciousFunction(
                old.path, old.qualname, old.first_line, old.last_line + longer, old.score, lines,
                old.evidence,
            ),
            whole,
        )  # fmt: skip
        self.body, self.text = body, text
        self.begin, self.stop = body.hole.start, body.hole.start + len(text)
        self._known = body._known
        self._used = body._used

    @property
    def base(self) -> EditTarget:
        return self.body

    @property
    def branches(self) -> bool:
        """May a run leave some of its lines out?"""
        kinds = (ast.If, ast.For, ast.While, ast.Try, ast.Match)
        inside = () if self.node is None else ast.walk(self.node)
        return any(
            isinstance(n, kinds) and self.begin <= Text(self.source).span(n)[0] < self.stop
            for n in inside
        )

    def holes(self) -> list[Hole]:
        if self.node is None:
            return []
        every = holes(self.source, self.node, self.suspect.lines)
        return [hole for hole in every if self.begin <= hole.start and hole.end <= self.stop]

    def change(self, hole: Hole, fill: str, sound: Sound | None = None) -> Change | None:
        text = self.source[self.begin : hole.start] + fill + self.source[hole.end : self.stop]
        return self.body.change(self.body.hole, text, sound)


def gives_what_it_says(node: FunctionNode) -> bool:
    """Does it return, yield or raise anything where its return type says that it should?"""
    hint = node.returns
    if hint is None:
        return True
    text = ast.unparse(hint).strip("'\"")
    name = text.split("[")[0].split(".")[-1]
    own = list(_own(node))
    yields = any(isinstance(n, ast.Yield | ast.YieldFrom) for n in own)
    returns = any(isinstance(n, ast.Return) and n.value is not None for n in own)
    raises = any(isinstance(n, ast.Raise) for n in own)
    if name in _NOTHING:
        return not any(
            isinstance(n, ast.Return) and n.value is not None
            and not (isinstance(n.value, ast.Constant) and n.value.value is None)
            for n in own
        )  # fmt: skip
    if name in _GENERATORS:
        return yields or returns
    if yields:
        return False
    optional = "None" in text or name in ("Optional", "Any", "object")
    return returns or raises or optional


#: Of expressions whose type can be seen: displays, operators, calls of builtins.
_DISPLAYS: dict[type[ast.expr], str] = {
    ast.Tuple: "tuple", ast.List: "list", ast.ListComp: "list", ast.Dict: "dict",
    ast.DictComp: "dict", ast.Set: "set", ast.SetComp: "set", ast.JoinedStr: "str",
    ast.GeneratorExp: "generator", ast.Lambda: "function",
}  # fmt: skip
_CALLS = {
    **{name: name for name in ("int", "float", "str", "list", "dict", "set", "tuple", "bool")},
    "len": "int", "ord": "int", "sorted": "list", "any": "bool", "all": "bool", "repr": "str",
    "isinstance": "bool", "callable": "bool", "print": "None", "range": "range", "chr": "str",
    "enumerate": "iterator", "zip": "iterator", "map": "iterator", "filter": "iterator",
    "reversed": "iterator",
}  # fmt: skip
#: What else a return type of this name takes.
_TAKES = {"float": {"float", "int"}, "int": {"int", "bool"}, "bool": {"bool"}, "str": {"str"},
          "list": {"list"}, "dict": {"dict"}, "set": {"set"}, "tuple": {"tuple"}}  # fmt: skip


def returns_its_type(node: FunctionNode) -> bool:
    """False where a `return` gives what is plainly of another type than the hint says."""
    name = ast.unparse(node.returns).strip("'\"").split("[")[0].lower() if node.returns else ""
    taken = _TAKES.get(name)
    if taken is None or (node.returns and "|" in ast.unparse(node.returns)):
        return True
    own = set(parameters(node))
    found = [type_of(n.value, own) for n in _own(node) if isinstance(n, ast.Return) and n.value]
    return all(kind is None or kind in taken for kind in found)


def type_of(value: ast.expr, shadowed: Collection[str] = ()) -> str | None:
    """The builtin type of an expression where its form alone says it."""
    if type(value) in _DISPLAYS:
        return _DISPLAYS[type(value)]
    if isinstance(value, ast.Constant):
        return type(value.value).__name__.replace("NoneType", "None")
    if isinstance(value, ast.Compare) or (
        isinstance(value, ast.UnaryOp) and isinstance(value.op, ast.Not)
    ):
        return "bool"
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        return None if value.func.id in shadowed else _CALLS.get(value.func.id)
    return None


def required(node: FunctionNode) -> list[str]:
    """Parameters that a body may be expected to use: all but its object and `_unused` ones."""
    args = node.args
    first = [*args.posonlyargs, *args.args][:1]
    bound = {first[0].arg} & {"self", "cls"} if first else set()
    return [name for name in parameters(node) if name not in bound and name[:1] != "_"]


def parameters(node: FunctionNode) -> list[str]:
    """Names of its parameters in order, `self` and `cls` included."""
    args = node.args
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    return [arg.arg for arg in every if arg is not None]


def looks_at_its_arguments(node: FunctionNode, every: bool = False) -> bool:
    """A body that uses none of its parameters may pass an example, but hardly because it is
    right. `every`: it must use each that is `required`."""
    names = set(parameters(node))
    used = {n.id for s in node.body for n in ast.walk(s) if isinstance(n, ast.Name)}
    if every and not used.issuperset(required(node)):
        return False
    return not names or bool(names & used)


def _own(node: FunctionNode) -> list[ast.AST]:
    """Nodes of the function without those of functions and classes inside it."""
    found: list[ast.AST] = []
    waiting: list[ast.AST] = list(node.body)
    while waiting:
        each = waiting.pop()
        found.append(each)
        if not isinstance(each, FunctionNode | ast.Lambda | ast.ClassDef):
            waiting += ast.iter_child_nodes(each)
    return found
