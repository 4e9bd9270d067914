"""What nobody would write: `faults` names what is odd about an edit. Reads text, runs nothing.

Only what the edit brings is looked at: parts of the new syntax tree that the old one has nowhere.
Each rule has a name, a reason in words, and says whether the edit is refused for it or only loses
trust; which of the two was decided by how often real fixes break the rule (bench/trust.py).
"""

from __future__ import annotations

import ast
import contextlib
import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from diffufix.source.syntax import parse
from diffufix.trust.layout import odd_layout

Found = Iterator[tuple[str, str]]  # (rule, reason)
_STATEMENTS = ("body", "orelse", "finalbody")
LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)
_ORDER = (ast.Lt, ast.LtE), (ast.Gt, ast.GtE), (ast.Eq,)
#: Rules that no real fix of the development data breaks and that have no honest use.
REFUSED = frozenset(
    {"self-comparison", "chained-assignment", "no-effect", "unreachable", "undefined-name",
     "self-assignment", "constant-operand"}
)  # fmt: skip
_CHECKED = {  # of pyflakes
    "UnusedVariable": "unused-name",
    "UndefinedName": "undefined-name",
    "UndefinedLocal": "undefined-name",
    "IsLiteral": "is-literal",
    "IfTuple": "constant-condition",
    "AssertTuple": "constant-condition",
    "RedefinedWhileUnused": "redefined",
    "UnusedImport": "unused-name",
    "StringDotFormatExtraPositionalArguments": "format-arguments",
    "StringDotFormatMissingArgument": "format-arguments",
    "PercentFormatPositionalCountMismatch": "format-arguments",
    "PercentFormatMissingArgument": "format-arguments",
    "FStringMissingPlaceholders": "format-arguments",
    "MultiValueRepeatedKeyLiteral": "repeated-key",
}


@dataclass(frozen=True)
class Fault:
    """One broken rule."""

    rule: str
    reason: str

    @property
    def refused(self) -> bool:
        return self.rule in REFUSED


def faults(original: str, new: str, tests: str = "") -> tuple[Fault, ...]:
    """What is odd about the edit that makes `new` of `original`, whole files both; `tests` is the
    source of the failing tests. Every rule counts once; empty for texts that do not parse."""
    try:
        before, after = _original(original), parse(new)
    except (SyntaxError, ValueError, RecursionError):
        return ()
    fresh = _fresh(after, before.known)
    found: dict[str, str] = {}
    for rule in RULES:
        for node in fresh:
            for name, reason in rule(node):
                found.setdefault(name, reason)
    for name, reason in (
        *_unreachable(before.tree, after),
        *_literals(before.tree, fresh, tests),
        *_lost(before.tree, after),
        *_shortened(before.tree, after),
        *_checked(before.messages, new),
        *odd_layout(original, new),
    ):
        found.setdefault(name, reason)
    return tuple(Fault(name, reason) for name, reason in found.items())


@dataclass(frozen=True)
class _Original:
    """What all edits of a text are compared with; nobody changes the tree."""

    tree: ast.Module
    known: frozenset[str]  # its nodes, dumped
    messages: Counter[tuple[str, str]]


@lru_cache(maxsize=4)
def _original(text: str) -> _Original:
    tree = parse(text)
    known = frozenset(ast.dump(node) for node in ast.walk(tree))
    return _Original(tree, known, _messages(text))


def _fresh(tree: ast.Module, known: frozenset[str]) -> list[ast.AST]:
    """The nodes that are not known; what is below a known one is known, too."""
    found: list[ast.AST] = []
    waiting: deque[ast.AST] = deque([tree])
    while waiting:
        node = waiting.popleft()
        if ast.dump(node) not in known:
            found.append(node)
            waiting.extend(ast.iter_child_nodes(node))
    return found


# -- rules on one new node -------------------------------------------------------------------------


def _comparison(node: ast.AST) -> Found:
    if not isinstance(node, ast.Compare):
        return
    operands = [node.left, *node.comparators]
    for one, other in itertools.pairwise(operands):
        if _same(one, other) and not _calls(one):
            yield "self-comparison", f"`{_text(node)}` compares something with itself"
    kinds = [type(op) for op in node.ops]
    if len(kinds) > 1 and not any(all(k in family for k in kinds) for family in _ORDER):
        yield "chained-comparison", f"`{_text(node)}` chains comparisons that do not belong so"
    if all(isinstance(each, ast.Constant) for each in operands):
        yield "constant-condition", f"`{_text(node)}` is always the same"
    ordered = any(isinstance(op, ast.Lt | ast.LtE | ast.Gt | ast.GtE) for op in node.ops)
    if ordered and any(_word(each) for each in operands):
        yield "ordered-text", f"`{_text(node)}` asks which text comes first in the alphabet"


def _operands(node: ast.AST) -> Found:
    if isinstance(node, ast.BoolOp):
        if any(_same(a, b) for i, a in enumerate(node.values) for b in node.values[:i]):
            yield "self-comparison", f"`{_text(node)}` asks the same twice"
        # `x or 0` gives a default; a constant before the end, or after `and`, decides nothing.
        odd = node.values[:-1] if isinstance(node.op, ast.Or) else node.values
        for value in odd:
            if isinstance(value, ast.Constant):
                yield "constant-operand", f"`{_text(value)}` in `{_text(node)}` is always the same"
    elif isinstance(node, ast.BinOp) and _same(node.left, node.right) and not _calls(node.left):
        if isinstance(node.op, ast.Sub | ast.Div | ast.FloorDiv | ast.Mod | ast.BitXor):
            yield "self-comparison", f"`{_text(node)}` is always the same"
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        plain = [a for a in node.args if not isinstance(a, ast.Constant)]
        if any(_same(a, b) for i, a in enumerate(plain) for b in plain[:i]):
            if node.func.id in ("min", "max", "isinstance", "issubclass", "range"):
                yield "self-comparison", f"`{_text(node)}` is given the same twice"
            else:
                yield "same-argument", f"`{_text(node)}` is given the same twice"


def _conditions(node: ast.AST) -> Found:
    if isinstance(node, ast.If | ast.IfExp | ast.While | ast.Assert):
        test = node.test
        if isinstance(node, ast.While) and isinstance(test, ast.Constant) and test.value is True:
            return
        if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
            for value in test.values:
                if isinstance(value, ast.Constant):
                    yield "constant-operand", f"`{_text(test)}` is always decided by a constant"
        literal = ast.Constant | ast.Lambda | ast.JoinedStr | ast.List | ast.Tuple | ast.Dict
        if isinstance(test, literal):
            yield "constant-condition", f"the condition `{_text(test)}` is always the same"


def _statements(node: ast.AST) -> Found:
    if isinstance(node, ast.Assign):
        if len(node.targets) > 1 and any(
            isinstance(t, ast.Attribute | ast.Subscript) for t in node.targets
        ):
            yield "chained-assignment", f"`{_text(node)}` assigns to several places at once"
        if any(_same(t, node.value) for t in node.targets):
            yield "self-assignment", f"`{_text(node)}` assigns something to itself"
    elif isinstance(node, ast.Expr) and not isinstance(
        node.value, ast.Call | ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr
    ):
        constant = isinstance(node.value, ast.Constant) and node.value.value is ...
        if not constant:
            yield "no-effect", f"`{_text(node)}` has no effect"
    elif isinstance(node, ast.ExceptHandler):
        swallows = all(
            isinstance(s, ast.Pass | ast.Continue | ast.Break)
            or (isinstance(s, ast.Return) and (s.value is None or _constant(s.value)))
            for s in node.body
        )
        broad = node.type is None or (
            isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
        )
        if swallows or broad:
            yield "swallowed-exception", "swallows exceptions"


def _oddities(node: ast.AST) -> Found:
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Constant):
        yield "constant-subscript", f"`{_text(node)}` takes a part of a constant"
    elif isinstance(node, ast.Call) and isinstance(
        node.func, ast.Constant | ast.Compare | ast.BoolOp | ast.BinOp | ast.List | ast.Tuple
    ):
        yield "call-of-value", f"`{_text(node)}` calls what is no function"
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        if isinstance(node.operand, ast.UnaryOp) and isinstance(node.operand.op, ast.Not):
            yield "double-negation", f"`{_text(node)}` negates twice"
    elif isinstance(node, ast.IfExp) and _same(node.body, node.orelse):
        yield "self-comparison", f"both ways of `{_text(node)}` are the same"
    elif isinstance(node, ast.If) and node.orelse and _all_same(node.body, node.orelse):
        yield "self-comparison", "both branches of a condition are the same"
    elif isinstance(node, ast.Starred | ast.NamedExpr | ast.Lambda):
        yield "rare-construct", f"`{_text(node)}` is a rare way to mend something"


RULES: tuple[Callable[[ast.AST], Found], ...] = (
    _comparison, _operands, _conditions, _statements, _oddities,
)  # fmt: skip


# -- rules on the whole ----------------------------------------------------------------------------


def _unreachable(before: ast.Module, after: ast.Module) -> Found:
    if _after_leaving(after) > _after_leaving(before):
        yield "unreachable", "leaves code that is never reached"


def _after_leaving(tree: ast.AST) -> int:
    count = 0
    for node in ast.walk(tree):
        for name in _STATEMENTS:
            block = getattr(node, name, None)
            if isinstance(block, list):
                count += any(isinstance(s, LEAVES) for s in block[:-1])
    return count


def _literals(before: ast.Module, fresh: list[ast.AST], tests: str) -> Found:
    """Literals of the tests that the code does not have."""
    if not tests:
        return
    known = {repr(n.value) for n in ast.walk(before) if isinstance(n, ast.Constant)}
    spelt = _spelt(tests)
    copied = {
        repr(n.value)
        for n in fresh
        if isinstance(n, ast.Constant)
        and isinstance(n.value, str | int | float | bytes)
        and not isinstance(n.value, bool)
        and (len(n.value) > 1 if isinstance(n.value, str | bytes) else abs(n.value) > 2)
        and repr(n.value) in spelt - known
    }
    if copied:
        yield "copied-literal", f"{', '.join(sorted(copied)[:3])} is copied from the test"
    for node in fresh:
        if isinstance(node, ast.Compare) and any(
            repr(n.value) in copied for n in ast.walk(node) if isinstance(n, ast.Constant)
        ):
            yield "special-case", f"`{_text(node)}` looks for the test's own input"


def _spelt(tests: str) -> set[str]:
    """The literals of the tests' source, by their text."""
    with contextlib.suppress(SyntaxError, ValueError):
        return {repr(n.value) for n in ast.walk(parse(tests)) if isinstance(n, ast.Constant)}
    return set()


def _lost(before: ast.Module, after: ast.Module) -> Found:
    """Statements or operands that are gone, where nothing came instead."""
    old, new = _statements_of(before), _statements_of(after)
    if sum(new.values()) < sum(old.values()):
        yield "deleted-statement", "deletes a statement"
    elif sum(new.values()) == sum(old.values()):
        size_old = sum(1 for _ in ast.walk(before))
        size_new = sum(1 for _ in ast.walk(after))
        if size_new < size_old - 4:
            yield "deleted-part", "deletes a part of a statement"


def _shortened(before: ast.Module, after: ast.Module) -> Found:
    """A text or a pattern that only lost a part: whatever checks by it lets more through."""
    old, new = _strings(before), _strings(after)
    for gone, come in zip((old - new).elements(), (new - old).elements(), strict=False):
        head = next((i for i, (a, b) in enumerate(zip(gone, come, strict=False)) if a != b), None)
        rest = len(come) - (len(come) if head is None else head)
        if len(come) < len(gone) and gone.endswith(come[len(come) - rest :]):
            yield "shortened-text", f"{_shown(gone)} only lost a part"


def _strings(tree: ast.Module) -> Counter[str]:
    found = (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant))
    return Counter(value for value in found if isinstance(value, str))


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:37] + "...")


def _statements_of(tree: ast.AST) -> Counter[str]:
    return Counter(type(n).__name__ for n in ast.walk(tree) if isinstance(n, ast.stmt))


def _checked(before: Counter[tuple[str, str]], new: str) -> Found:
    """What pyflakes says of the new text and did not say of the old."""
    for (kind, words), count in _messages(new).items():
        if kind in _CHECKED and count > before[kind, words]:
            yield _CHECKED[kind], words


def _messages(text: str) -> Counter[tuple[str, str]]:
    with contextlib.suppress(Exception):
        from pyflakes.checker import Checker

        checker: Any = Checker(ast.parse(text))
        return Counter((type(m).__name__, m.message % m.message_args) for m in checker.messages)
    return Counter()


# -- words -----------------------------------------------------------------------------------------


def _same(one: ast.AST, other: ast.AST) -> bool:
    def plain(node: ast.AST) -> str:
        return ast.dump(node).replace("ctx=Store()", "ctx=Load()")

    return plain(one) == plain(other)


def _all_same(one: list[ast.stmt], other: list[ast.stmt]) -> bool:
    return len(one) == len(other) and all(map(_same, one, other))


def _calls(node: ast.AST) -> bool:
    return any(isinstance(n, ast.Call | ast.Await | ast.Yield) for n in ast.walk(node))


def _word(node: ast.AST) -> bool:
    """Whether it is a text of several letters: those have an order that hardly ever matters."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and len(node.value) > 1


def _constant(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant | ast.List | ast.Dict | ast.Tuple)


def _text(node: ast.AST) -> str:
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 60 else text[:57] + "..."
