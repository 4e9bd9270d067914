"""What an edit names that its file does not: deny by default. Looks at texts, touches nothing.

`news(original, candidate)` reads both files into sets of things named that are not harmless
(`vocabulary.py`), each in the role it is used in, and returns those that the candidate adds: an
import, an attribute of a module, a builtin, a name between double underscores in whatever place,
a leading attribute, a special method, a decorator, an attribute set on what is not the edit's own,
a computed attribute name, a format string that looks into objects. Names of the project are
harmless: they lead to what the file could reach anyway. With `known`, the identifiers of the
project, an attribute has to be one of them or a method of a pure type.

A text that cannot be read raises `Unreadable`: what cannot be judged is not judged harmless.
"""

from __future__ import annotations

import ast
import builtins
import functools
import re
import string
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from diffufix.source.newer import hidden
from diffufix.source.syntax import UNREADABLE, parse
from diffufix.verify import vocabulary as words

LONGEST = 2_000_000  # characters; longer texts are not read
_DUNDER = re.compile(r"__[A-Za-z0-9]\w*?__(?!\w)")
_PARTS = re.compile(r"\.\s*([^\W\d]\w*)")
_BUILTINS = frozenset(dir(builtins))
_LOAD = ast.Load()
_LEAVING = words.REACHED | words.LEADING | words.TESTERS
_CLASS_WORDS = frozenset({"__slots__", "__doc__", "__annotations__", "__module__", "__qualname__"})
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_APART = (*_FUNCTIONS, ast.Attribute, ast.MatchClass, ast.arg, ast.keyword)
_SCOPES = (*_FUNCTIONS, ast.Lambda, ast.ClassDef, ast.Module)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_COMPUTED = frozenset({"getattr", "setattr", "delattr"})


class Unreadable(Exception):
    """The text cannot be parsed here; the message says why."""


def news(
    original: str, candidate: str, *, path: str = "", known: frozenset[str] | None = None
) -> list[str]:
    """What the candidate names and should not, in words, sorted; empty for an honest edit.

    `path` is the file's, relative to the project; its own packages may be imported. `known` are
    the project's identifiers, where they are known. Raises: Unreadable.
    """
    if unseen := hidden(candidate) - hidden(original):
        return sorted(f"what this Python cannot read: {part[:60]}" for part in unseen)
    had, packages, spoken = _had(original, path)
    has = _Reader(_read(candidate), packages, known).named()
    found = []
    for (kind, name), count in has.items():
        if kind == "attribute" and name in spoken:
            continue
        counted = name in words.COUNTED or kind == "the class"
        if count > had[kind, name] and (had[kind, name] == 0 or counted):
            found.append(f"{kind} {name}".strip())
    return sorted(found)


@functools.lru_cache(maxsize=8)
def _had(text: str, path: str) -> tuple[Counter[tuple[str, str]], frozenset[str], frozenset[str]]:
    """(what a file names, packages it belongs to or imports, its identifiers)."""
    reader = _Reader(_read(text), _packages(path), None)
    reader.home = reader.packages
    spoken = frozenset(re.findall(r"[^\W\d]\w*", text))
    return reader.named(), reader.packages, spoken


def _read(text: str) -> ast.Module:
    if len(text) > LONGEST:
        raise Unreadable("it is too long to be read")
    try:
        return parse(text)
    except SyntaxError as error:
        raise Unreadable(f"it cannot be read: {error.msg}") from error
    except UNREADABLE as error:
        raise Unreadable(f"it cannot be read: {type(error).__name__}") from error


def _packages(path: str) -> frozenset[str]:
    """What a file of this path belongs to: its outermost package and the one below `src`."""
    parts = path.split("/")
    if len(parts) == 1:
        return frozenset()
    return frozenset(parts[:1] + (parts[1:2] if parts[0] in ("src", "lib") else []))


@dataclass
class _Scope:
    """The names that one function, class, comprehension or module binds."""

    node: ast.AST
    above: _Scope | None
    names: set[str] = field(default_factory=set)
    outer: set[str] = field(default_factory=set)  # declared global or nonlocal

    def binds(self, name: str) -> bool:
        scope: _Scope | None = self
        while scope is not None:
            if name in scope.names and (scope is self or not isinstance(scope.node, ast.ClassDef)):
                return True
            scope = scope.above
        return False


class _Reader:
    """One file: its scopes, what its names stand for, and what it names."""

    def __init__(
        self, tree: ast.Module, home: frozenset[str], known: frozenset[str] | None
    ) -> None:
        self.known = known
        self.nodes: list[tuple[ast.AST, _Scope]] = []
        self.modules: dict[str, str] = {}  # name -> the module that it stands for
        self.taken: dict[str, str] = {}  # name -> module.name that it was imported from
        self.parents: dict[ast.AST, ast.AST] = {}
        self.inner: dict[ast.AST, _Scope] = {}
        self.given: dict[str, list[ast.expr]] = {}  # name -> what it is given, anywhere
        self.packages: frozenset[str] = home
        self.found: Counter[tuple[str, str]] = Counter()
        self._lay_out(tree)
        self.packages = home | {
            root
            for root in (m.split(".")[0] for m in (*self.modules.values(), *self.taken.values()))
            if root not in sys.stdlib_module_names and root not in words.TESTERS
        }
        self.home = home

    def _lay_out(self, tree: ast.Module) -> None:
        """Every node with its scope, without recursion: texts may be deep."""
        module = _Scope(tree, None)
        stack: list[tuple[ast.AST, _Scope]] = [(tree, module)]
        while stack:
            node, scope = stack.pop()
            self.nodes.append((node, scope))
            inner = scope
            if isinstance(node, (*_SCOPES, *_COMPREHENSIONS)) and node is not tree:
                inner = self.inner[node] = _Scope(node, scope)
            self._bind(node, scope, inner)
            for child in ast.iter_child_nodes(node):
                self.parents[child] = node
                stack.append((child, inner))

    def _bind(self, node: ast.AST, scope: _Scope, inner: _Scope) -> None:
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
                    if not level and _is_module(full):
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
                        root, _ = _chain(node)
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

    # -- what is named ---------------------------------------------------------------------

    def named(self) -> Counter[tuple[str, str]]:
        """(role, name) -> how often, of everything that is not harmless by itself."""
        for node, scope in self.nodes:
            for name in _spelled(node):
                self._spelling(name, node)
            self._node(node, scope)
        return self.found

    def _add(self, kind: str, name: str) -> None:
        self.found[kind, name] += 1

    def _spelling(self, name: str, node: ast.AST) -> None:
        """A name in whatever place: bound, imported, a keyword, a pattern, an attribute."""
        if _dunder(name) and name not in words.DUNDERS:
            harmless = name in ("__class__", "__module__") and _read_only(node)
            if not harmless and self._special(name):
                self._add("the name", name)
        elif isinstance(node, _FUNCTIONS) and _dunder(name) and name not in words.METHODS:
            self._add("the method", name)
        elif name in words.LEADING and not isinstance(node, _APART):
            self._add("the name", name)

    def _special(self, name: str) -> bool:
        """Whether a name between double underscores is not just the project's own."""
        if name in words.special() or name.startswith("__array"):
            return True
        return self.known is not None and name not in self.known

    def _node(self, node: ast.AST, scope: _Scope) -> None:
        match node:
            case ast.Import(names=names):
                for alias in names:
                    self._import(alias.name)
            case ast.ImportFrom():
                self._import_from(node)
            case ast.Attribute():
                self._attribute(node, scope)
            case ast.MatchClass(kwd_attrs=names):
                for name in names:
                    self._value_attribute(name)
            case ast.Name():
                self._name(node, scope)
            case ast.Call():
                self._call(node, scope)
            case ast.ClassDef():
                self._class(node)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._decorators(node)
            case ast.Constant() | ast.JoinedStr():
                self._text(node)
            case ast.BinOp(op=ast.Add() | ast.Mod()):
                self._text(node)

    def _import(self, module: str) -> None:
        if not self._may_import(module):
            self._add("import", module)

    def _may_import(self, module: str) -> bool:
        parts = module.split(".")
        if any(part in words.TESTERS or part.startswith("test_") for part in parts):
            return False
        if parts[0] in sys.stdlib_module_names:
            return module in words.PURE or module in words.SOME
        return parts[0] in self.home and not any(map(_dunder, parts))

    def _import_from(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        own = node.level > 0
        if module == "__future__":
            return
        parts = module.split(".")
        tested = any(part in words.TESTERS or part.startswith("test_") for part in parts)
        if tested or (not own and parts[0] not in sys.stdlib_module_names):
            if tested or not self._may_import(module):
                self._add("import", module)
                return
            own = True
        for alias in node.names:
            name = alias.name
            if own:
                odd = name in words.HANDED_ON or name in words.TESTERS or name in words.LEADING
                if odd or name == "*" or name.startswith("test_"):
                    self._add("import", f"{module}.{name}")
            elif not _pure(module, name):
                self._add("import", f"{module}.{name}")

    def _attribute(self, node: ast.Attribute, scope: _Scope) -> None:
        root, chain = _chain(node)
        stored = not isinstance(node.ctx, ast.Load)
        if isinstance(root, ast.Name):
            module = self._module_of(root.id, scope)
            if module is not None:
                self._of_module(module, chain, stored)
                return
            imported = root.id in self.taken and scope.binds(root.id)
            own = root.id in ("self", "cls") or self._local(root.id, scope)
            own = own and not (stored and self._foreign(root.id))
            if stored and not own and len(chain) == 1:
                self._add("setting", f"{root.id}.{node.attr}")
            if imported and node.attr in words.REACHED:
                self._add("attribute", node.attr)
        elif stored and not isinstance(root, ast.Subscript):
            self._add("setting", f"{_short(root)}.{node.attr}")
        self._value_attribute(node.attr, stored=stored)

    def _local(self, name: str, scope: _Scope) -> bool:
        """Bound in a function, not at the top of the file."""
        at: _Scope | None = scope
        while at is not None and not isinstance(at.node, ast.Module):
            if name in at.outer:
                return False
            if name in at.names:
                return True
            at = at.above
        return False

    def _module_of(self, name: str, scope: _Scope) -> str | None:
        if scope.binds(name):
            return self.modules.get(name)
        if name in _BUILTINS or name not in sys.stdlib_module_names:
            return None
        return name  # a star import may have brought it

    def _of_module(self, module: str, chain: list[str], stored: bool) -> None:
        """The last of `chain`, attributes of a module one after the other."""
        full = ".".join([module, *chain])
        if stored:
            self._add("setting", full)
            return
        at = module
        for part in chain[:-1]:
            if not _is_module(f"{at}.{part}"):
                self._value_attribute(chain[-1])
                return
            at = f"{at}.{part}"
        name = chain[-1]
        if at.split(".")[0] in sys.stdlib_module_names or at.split(".")[0] in words.TESTERS:
            if not _pure(at, name) and not _is_module(full):
                self._add("", f"{at}.{name}")
        elif name in _LEAVING or (name in sys.stdlib_module_names and name not in words.PURE):
            self._add("", f"{at}.{name}")

    def _value_attribute(self, name: str, *, stored: bool = False) -> None:
        if _dunder(name):
            if stored:
                self._add("setting", name)
            return  # `_spelling` has it otherwise
        if name in words.LEADING:
            self._add("attribute", f".{name}")
        elif self.known is not None and not stored and name not in self.known | words.harmless():
            self._add("attribute", name)

    def _name(self, node: ast.Name, scope: _Scope) -> None:
        name, parent = node.id, self.parents.get(node)
        if not isinstance(node.ctx, ast.Load):
            if name in _BUILTINS and name not in words.BUILTINS:
                self._add("binding", name)
            return
        module = self._module_of(name, scope)
        if module is not None:
            if not isinstance(parent, ast.Attribute):
                self._add("the module", module)
            return
        if scope.binds(name) or name in words.BUILTINS:
            return
        called = isinstance(parent, ast.Call) and parent.func is node
        if name == "type":
            asked = called and len(parent.args) == 1 and not parent.keywords  # type: ignore[union-attr]
            asked = asked and not self._is_type(parent.args[0])  # type: ignore[union-attr]
            if not asked and not _about_types(parent, node):
                self._add("", "type() of a class")
            return
        if name in _COMPUTED and called:
            assert isinstance(parent, ast.Call)
            self._computed(name, parent, scope)
            return
        if name == "hasattr" and called:
            return
        if name == "open" and called:
            assert isinstance(parent, ast.Call)
            self._add("", f"open() for {_mode(parent)}")
            return
        if name in ("id", "hash", "input", "dir") or name in words.COUNTED:
            self._add("", name)
        elif name in _BUILTINS or name in words.TESTERS:
            how = f"{name}()" if called else name
            if called and name in ("setattr", "delattr", "vars"):
                how = _short(parent) if parent is not None else how
            self._add("", how)

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

    def _computed(self, name: str, call: ast.Call, scope: _Scope) -> None:
        """`getattr(x, "name")` is an attribute; of any other name it is as good as all."""
        wanted = call.args[1] if len(call.args) > 1 else None
        written = wanted.value if isinstance(wanted, ast.Constant) else None
        if isinstance(written, str) and re.fullmatch(r"[A-Za-z_]\w*", written, re.ASCII):
            context = _LOAD if name == "getattr" else ast.Store()
            like = ast.Attribute(call.args[0], written, context)
            self._spelling(written, like)
            self._attribute(like, scope)
            return
        spoken = _short(wanted) if wanted is not None else "?"
        self._add("", f"{name}() of a computed name ({spoken})")

    def _call(self, node: ast.Call, scope: _Scope) -> None:
        match node.func:
            case ast.Attribute(value=value, attr="format" | "format_map"):
                text = _folded(value)
                texts = [text] if text is not None else self._texts_of(value)
                if texts is None:
                    self._add("", f"format() of a computed text ({_short(value)})")
                for name in (name for text in texts or () for name in _looks_into(text)):
                    self._spelling(name, node)
                    self._value_attribute(name)
                return
            case ast.Attribute(attr="open"):
                if _mode(node, 0) == "writing":
                    self._add("", ".open() for writing")
        root, chain = _chain(node.func)
        if self._from_enum(root, chain, scope) and len(node.args) > 1:
            self._add("", "a class made by enum")
        opener = isinstance(root, ast.Name) and self._module_of(root.id, scope)
        if chain == ["open"] and opener in ("io", "codecs"):
            self._add("", f"open() for {_mode(node)}")

    def _from_enum(self, root: ast.AST, chain: list[str], scope: _Scope) -> bool:
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
                return [folded] if (folded := _folded(text)) is not None else None
            case ast.Attribute():
                root, _ = _chain(value)
                named = isinstance(root, ast.Name)
                return [] if named and root.id not in self.given else None  # type: ignore[attr-defined]
            case ast.Name():
                pass
            case _:
                return None
        given = [_folded(one) for one in self.given.get(value.id, ())]
        return [t for t in given if t is not None] if given and None not in given else None

    def _class(self, node: ast.ClassDef) -> None:
        self._decorators(node)
        for keyword in node.keywords:
            self._add("the class", f"{self._qualname(node)} with {keyword.arg or '**'}")
        for name in self.inner[node].names:
            if _dunder(name) and name not in words.METHODS and name not in _CLASS_WORDS:
                self._add("the class", f"{self._qualname(node)} with {name}")

    def _qualname(self, node: ast.ClassDef) -> str:
        names, above = [node.name], self.inner[node].above
        while above is not None:
            names.append(getattr(above.node, "name", ""))
            above = above.above
        return ".".join(name for name in names[::-1] if name)

    def _decorators(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        for decorator in node.decorator_list:
            bare = decorator.func if isinstance(decorator, ast.Call) else decorator
            root, chain = _chain(bare)
            name = ".".join([root.id, *chain]) if isinstance(root, ast.Name) else ""
            setter = len(chain) == 1 and chain[0] in ("setter", "getter", "deleter")
            if name not in words.DECORATORS and not setter:
                self._add("the decorator", _short(decorator))

    def _text(self, node: ast.expr) -> None:
        if isinstance(node, ast.BinOp):
            parent = self.parents.get(node)
            if isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Add):
                return  # the whole has it
        text = _folded(node)
        if text is None or len(text) > 100_000:
            return
        for name in words.TELLING.intersection(_DUNDER.findall(text)):
            self._add("the text", name)
        if text in words.LEADING or text == "PYTEST_CURRENT_TEST":
            self._add("the text", text)


# -- small questions ---------------------------------------------------------------------------


def _dunder(name: str) -> bool:
    return len(name) > 4 and name[:2] == name[-2:] == "__"


def _read_only(node: ast.AST) -> bool:
    """Read of an object that is no class for sure: a class of a class makes classes."""
    if not isinstance(node, ast.Attribute) or not isinstance(node.ctx, ast.Load):
        return False
    match node.value:
        case ast.Attribute(attr="__class__") | ast.Call(func=ast.Name(id="type")):
            return False
    return True


def _pure(module: str, name: str) -> bool:
    """Whether this name of a module of the standard library is harmless."""
    if name == "*":
        return module in words.PURE and not words.PURE[module]
    if module in words.PURE:
        return name not in words.PURE[module].split() and name[:1] != "_"
    return name in words.SOME.get(module, "").split()


def _is_module(full: str) -> bool:
    """Whether this dotted name is one of the standard library's modules, as far as we list it."""
    return full in words.PURE or full in words.SOME or full in ("concurrent", "urllib", "xml.sax")


def _chain(node: ast.AST) -> tuple[ast.AST, list[str]]:
    """(what an attribute's chain begins with, the attributes in turn)."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return node, names[::-1]


def _short(node: ast.AST) -> str:
    try:
        return " ".join(ast.unparse(node).split())[:80]
    except (RecursionError, ValueError, MemoryError):
        return type(node).__name__


def _mode(call: ast.Call, place: int = 1) -> str:
    """How `open` opens, its mode at that place: reading, writing, or not to be told."""
    mode: ast.expr | None = call.args[place] if len(call.args) > place else None
    for keyword in call.keywords:
        if keyword.arg == "mode":
            mode = keyword.value
        elif keyword.arg in (None, "opener"):
            return "anything"
    if mode is None:
        return "reading" if not any(isinstance(a, ast.Starred) for a in call.args) else "anything"
    if isinstance(mode, ast.Constant) and isinstance(mode.value, str):
        return "writing" if set(mode.value) & set("wax+") else "reading"
    return "anything"


def _about_types(parent: ast.AST | None, node: ast.AST) -> bool:
    """`isinstance(x, type)`, `x is type`, `x: type`."""
    match parent:
        case ast.Call(func=ast.Name(id="isinstance" | "issubclass")):
            return True
        case ast.Compare() | ast.arg() | ast.AnnAssign() | ast.BinOp(op=ast.BitOr()):
            return True
        case ast.Subscript(value=value):
            return value is node
        case ast.Tuple():
            return True
    return False


def _spelled(node: ast.AST) -> Iterator[str]:
    """Every identifier that a node itself holds, in whatever role, of any syntax."""
    if isinstance(node, ast.Constant):
        return
    for label in node._fields:
        value = getattr(node, label, None)
        for word in value if isinstance(value, list) else (value,):
            if isinstance(word, str) and label != "type_comment":
                yield from word.split(".")


def _folded(node: ast.AST) -> str | None:
    """The text that constants spell, added up; None for what is no text."""
    parts: list[str] = []
    stack = [node]
    while stack:
        match stack.pop():
            case ast.Constant(value=str(text)):
                parts.append(text)
            case ast.Constant(value=bytes(data)):
                parts.append(data.decode("latin-1"))
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                stack += [right, left]
            case ast.JoinedStr(values=values):
                stack += values[::-1]
            case ast.FormattedValue(value=ast.Constant() | ast.BinOp() | ast.JoinedStr() as value):
                stack.append(value)
            case ast.FormattedValue():
                parts.append("{}")
            case ast.BinOp(left=left, op=ast.Mod()):
                stack.append(left)
            case _:
                return None
    return "".join(parts)


def _looks_into(text: str) -> Iterator[str]:
    """The attributes that a format string asks for."""
    try:
        pieces = list(string.Formatter().parse(text))
    except ValueError:
        return
    for _, name, spec, _ in pieces:
        if name:
            yield from _PARTS.findall(name)
        if spec and "{" in spec:
            yield from _looks_into(spec)
