"""What the names of one file stand for: scopes, imports, what a name is given. Touches nothing.

No recursion: the texts that are looked at may be deep.
"""

from __future__ import annotations

import ast
import builtins
import sys
from dataclasses import dataclass, field

from diffufix.verify import vocabulary as words
from diffufix.verify.spelling import chain_of, folded, is_module

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
BUILTINS = frozenset(dir(builtins))
_SCOPES = (*FUNCTIONS, ast.Lambda, ast.ClassDef, ast.Module)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@dataclass
class Scope:
    """The names that one function, class, comprehension or module binds."""

    node: ast.AST
    above: Scope | None
    names: set[str] = field(default_factory=set)
    outer: set[str] = field(default_factory=set)  # declared global or nonlocal

    def binds(self, name: str) -> bool:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.names and (scope is self or not isinstance(scope.node, ast.ClassDef)):
                return True
            scope = scope.above
        return False


class Layout:
    """One file: its nodes with their scopes, and what its names stand for."""

    def __init__(self, tree: ast.Module, home: frozenset[str]) -> None:
        self.nodes: list[tuple[ast.AST, Scope]] = []
        self.modules: dict[str, str] = {}  # name -> the module that it stands for
        self.taken: dict[str, str] = {}  # name -> module.name that it was imported from
        self.parents: dict[ast.AST, ast.AST] = {}
        self.inner: dict[ast.AST, Scope] = {}
        self.given: dict[str, list[ast.expr]] = {}  # name -> what it is given, anywhere
        self.packages: frozenset[str] = home
        self._lay_out(tree)
        self.packages = home | {
            root
            for root in (m.split(".")[0] for m in (*self.modules.values(), *self.taken.values()))
            if root not in sys.stdlib_module_names and root not in words.TESTERS
        }
        self.home = home

    def _lay_out(self, tree: ast.Module) -> None:
        """Every node with its scope, without recursion: texts may be deep."""
        module = Scope(tree, None)
        stack: list[tuple[ast.AST, Scope]] = [(tree, module)]
        while stack:
            node, scope = stack.pop()
            self.nodes.append((node, scope))
            inner = scope
            if isinstance(node, (*_SCOPES, *_COMPREHENSIONS)) and node is not tree:
                inner = self.inner[node] = Scope(node, scope)
            self._bind(node, scope)
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node
                stack.append((child, inner))

    def _bind(self, node: ast.AST, scope: Scope) -> None:
        match node:
            case ast.Import(names=names):
                for alias in names:
                    name = alias.asname or alias.name.split(".")[0]
                    self.modules[name] = alias.name if alias.asname else name
                    scope.names.add(name)
            case ast.ImportFrom(module=source, names=names, level=level):
                for alias in names:
                    name = alias.asname or alias.name
                    full = "." * level + (source or "") + "." + alias.name
                    if not level and is_module(full):
                        self.modules[name] = full
                    else:
                        self.taken[name] = full
                    scope.names.add(name)
            case ast.Global(names=names) | ast.Nonlocal(names=names):
                scope.outer.update(names)
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                scope.names.add(name)
            case ast.ClassDef(name=name):
                scope.names.add(name)
            case ast.Name(id=name, ctx=ast.Store() | ast.Del()):
                scope.names.add(name)
            case ast.arg(arg=name) | ast.ExceptHandler(name=str(name)):
                scope.names.add(name)
            case ast.Assign(targets=targets, value=value):
                for target in targets:
                    self._give(target, value)
            case ast.AnnAssign(target=target, value=ast.expr() as value):
                self._give(target, value)
            case ast.NamedExpr(target=target, value=value):
                self._give(target, value)
            case ast.For(target=target, iter=value) | ast.AsyncFor(target=target, iter=value):
                self._give(target, value)
            case ast.comprehension(target=target, iter=value):
                self._give(target, value)
            case ast.withitem(optional_vars=ast.expr() as target, context_expr=value):
                self._give(target, value)
            case ast.Match(subject=subject, cases=cases):
                for case in cases:
                    for part in ast.walk(case.pattern):
                        bound = getattr(part, "name", None) or getattr(part, "rest", None)
                        if isinstance(bound, str):
                            self.given.setdefault(bound, []).append(subject)
            case ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                scope.names.add(name)
            case ast.MatchMapping(rest=str(name)):
                scope.names.add(name)

    def _give(self, target: ast.expr, value: ast.expr) -> None:
        for part in ast.walk(target) if not isinstance(target, ast.Name) else (target,):
            if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load):
                self.given.setdefault(part.id, []).append(value)

    def _foreign(self, name: str) -> bool:
        """Whether a name may stand for a class or function from elsewhere: what is set on it,
        others see."""
        for value in self.given.get(name, ()):
            stack: list[ast.AST] = [value]
            while stack:
                node = stack.pop()
                match node:
                    case ast.Call(func=ast.Name(id="type")) | ast.Attribute(attr="__class__"):
                        return True
                    case ast.Call(args=args, keywords=keywords):
                        stack += [*args, *(keyword.value for keyword in keywords)]
                    case ast.Attribute():
                        root, _ = chain_of(node)
                        if isinstance(root, ast.Name):
                            if root.id in self.modules or root.id in self.taken:
                                return True
                        else:
                            stack.append(root)
                    case ast.Name(id=id):
                        if id in self.taken or id in self.modules:
                            return True
                    case _:
                        stack += ast.iter_child_nodes(node)
        return False

    def _local(self, name: str, scope: Scope) -> bool:
        """Bound in a function, not at the top of the file."""
        at: Scope | None = scope
        while at is not None and not isinstance(at.node, ast.Module):
            if name in at.outer:
                return False
            if name in at.names:
                return True
            at = at.above
        return False

    def _module_of(self, name: str, scope: Scope) -> str | None:
        if scope.binds(name):
            return self.modules.get(name)
        if name in BUILTINS or name not in sys.stdlib_module_names:
            return None
        return name  # a star import may have brought it

    def _is_type(self, node: ast.expr) -> bool:
        """Whether an expression is plainly a class: its type makes classes."""
        match node:
            case ast.Starred() | ast.Call(func=ast.Name(id="type")):
                return True
            case ast.Attribute(attr="__class__"):
                return True
            case ast.Name(id=name):
                return any(
                    self._is_type(one) for one in self.given.get(name, ()) if one is not node
                    and not isinstance(one, ast.Name)
                )  # fmt: skip
        return False

    def _from_enum(self, root: ast.AST, chain: list[str], scope: Scope) -> bool:
        if not isinstance(root, ast.Name):
            return False
        if chain:
            return self._module_of(root.id, scope) == "enum"
        return self.taken.get(root.id, "").startswith("enum.")

    def _texts_of(self, value: ast.expr) -> list[str] | None:
        """The constants that a receiver stands for, as far as they are written in this file or
        are the project's; None where it is something else."""
        match value:
            case ast.Call(args=[ast.expr() as text], keywords=[]):
                return [found] if (found := folded(text)) is not None else None
            case ast.Attribute():
                root, _ = chain_of(value)
                named = isinstance(root, ast.Name)
                return [] if named and root.id not in self.given else None  # type: ignore[attr-defined]
            case ast.Name():
                pass
            case _:
                return None
        given = [folded(one) for one in self.given.get(value.id, ())]
        return [t for t in given if t is not None] if given and None not in given else None

    def _qualname(self, node: ast.ClassDef) -> str:
        names, above = [node.name], self.inner[node].above
        while above is not None:
            names.append(getattr(above.node, "name", ""))
            above = above.above
        return ".".join(name for name in names[::-1] if name)
