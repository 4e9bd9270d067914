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
import functools
import re
import sys
from collections import Counter

from diffufix.source.newer import hidden
from diffufix.verify import vocabulary as words
from diffufix.verify.reading import read
from diffufix.verify.scopes import BUILTINS, FUNCTIONS, Layout, Scope
from diffufix.verify.spelling import (
    about_types,
    chain_of,
    defined,
    folded,
    is_dunder,
    is_module,
    is_pure,
    looks_into,
    opening,
    read_only,
    shown,
    spelled,
)

_DUNDER = re.compile(r"__[A-Za-z0-9]\w*?__(?!\w)")
_LOAD = ast.Load()
_LEAVING = words.REACHED | words.LEADING | words.TESTERS
_CLASS_WORDS = frozenset({"__slots__", "__doc__", "__annotations__", "__module__", "__qualname__"})
_APART = (*FUNCTIONS, ast.Attribute, ast.MatchClass, ast.arg, ast.keyword)
_COMPUTED = frozenset({"getattr", "setattr", "delattr"})


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
    has = _Reader(read(candidate), packages, known).named()
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
    reader = _Reader(read(text), _packages(path), None)
    reader.home = reader.packages
    spoken = frozenset(re.findall(r"[^\W\d]\w*", text))
    return reader.named(), reader.packages, spoken


def _packages(path: str) -> frozenset[str]:
    """What a file of this path belongs to: its outermost package and the one below `src`."""
    parts = path.split("/")
    if len(parts) == 1:
        return frozenset()
    return frozenset(parts[:1] + (parts[1:2] if parts[0] in ("src", "lib") else []))


class _Reader(Layout):
    """One file: its scopes, what its names stand for, and what it names."""

    def __init__(
        self, tree: ast.Module, home: frozenset[str], known: frozenset[str] | None
    ) -> None:
        super().__init__(tree, home)
        self.found: Counter[tuple[str, str]] = Counter()
        self.known = known
        if known is not None:  # what the text itself defines is the project's, too
            self.known = known | {name for node in ast.walk(tree) for name in defined(node)}

    # -- what is named ---------------------------------------------------------------------

    def named(self) -> Counter[tuple[str, str]]:
        """(role, name) -> how often, of everything that is not harmless by itself."""
        for node, scope in self.nodes:
            for name in spelled(node):
                self._spelling(name, node)
            self._node(node, scope)
        return self.found

    def _add(self, kind: str, name: str) -> None:
        self.found[kind, name] += 1

    def _spelling(self, name: str, node: ast.AST) -> None:
        """A name in whatever place: bound, imported, a keyword, a pattern, an attribute."""
        if is_dunder(name) and name not in words.DUNDERS:
            harmless = name in ("__class__", "__module__") and read_only(node)
            if not harmless and self._special(name):
                self._add("the name", name)
        elif isinstance(node, FUNCTIONS) and is_dunder(name) and name not in words.METHODS:
            self._add("the method", name)
        elif name in words.LEADING and not isinstance(node, _APART):
            self._add("the name", name)

    def _special(self, name: str) -> bool:
        """Whether a name between double underscores is not just the project's own."""
        if name in words.special() or name.startswith("__array"):
            return True
        return self.known is not None and name not in self.known

    def _node(self, node: ast.AST, scope: Scope) -> None:
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
        return parts[0] in self.home and not any(map(is_dunder, parts))

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
            elif not is_pure(module, name):
                self._add("import", f"{module}.{name}")

    def _attribute(self, node: ast.Attribute, scope: Scope) -> None:
        root, chain = chain_of(node)
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
            self._add("setting", f"{shown(root)}.{node.attr}")
        self._value_attribute(node.attr, stored=stored)

    def _of_module(self, module: str, chain: list[str], stored: bool) -> None:
        """The last of `chain`, attributes of a module one after the other."""
        full = ".".join([module, *chain])
        if stored:
            self._add("setting", full)
            return
        at = module
        for part in chain[:-1]:
            if not is_module(f"{at}.{part}"):
                self._value_attribute(chain[-1])
                return
            at = f"{at}.{part}"
        name = chain[-1]
        if at.split(".")[0] in sys.stdlib_module_names or at.split(".")[0] in words.TESTERS:
            if not is_pure(at, name) and not is_module(full):
                self._add("", f"{at}.{name}")
        elif name in _LEAVING or (name in sys.stdlib_module_names and name not in words.PURE):
            self._add("", f"{at}.{name}")

    def _value_attribute(self, name: str, *, stored: bool = False) -> None:
        if is_dunder(name):
            if stored:
                self._add("setting", name)
            return  # `_spelling` has it otherwise
        if name in words.LEADING:
            self._add("attribute", f".{name}")
        elif self.known is not None and not stored and name not in self.known | words.harmless():
            self._add("attribute", name)

    def _name(self, node: ast.Name, scope: Scope) -> None:
        name, parent = node.id, self.parents.get(node)
        if not isinstance(node.ctx, ast.Load):
            if name in BUILTINS and name not in words.BUILTINS:
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
            if not asked and not about_types(parent, node):
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
            self._add("", f"open() for {opening(parent)}")
            return
        if name in ("id", "hash", "input", "dir") or name in words.COUNTED:
            self._add("", name)
        elif name in BUILTINS or name in words.TESTERS:
            how = f"{name}()" if called else name
            if called and name in ("setattr", "delattr", "vars"):
                how = shown(parent) if parent is not None else how
            self._add("", how)

    def _computed(self, name: str, call: ast.Call, scope: Scope) -> None:
        """`getattr(x, "name")` is an attribute; of any other name it is as good as all."""
        wanted = call.args[1] if len(call.args) > 1 else None
        written = wanted.value if isinstance(wanted, ast.Constant) else None
        if isinstance(written, str) and re.fullmatch(r"[A-Za-z_]\w*", written, re.ASCII):
            context = _LOAD if name == "getattr" else ast.Store()
            like = ast.Attribute(call.args[0], written, context)
            self._spelling(written, like)
            self._attribute(like, scope)
            return
        spoken = shown(wanted) if wanted is not None else "?"
        self._add("", f"{name}() of a computed name ({spoken})")

    def _call(self, node: ast.Call, scope: Scope) -> None:
        match node.func:
            case ast.Attribute(value=value, attr="format" | "format_map"):
                text = folded(value)
                texts = [text] if text is not None else self._texts_of(value)
                if texts is None:
                    self._add("", f"format() of a computed text ({shown(value)})")
                for name in (name for text in texts or () for name in looks_into(text)):
                    self._spelling(name, node)
                    self._value_attribute(name)
                return
            case ast.Attribute(attr="open"):
                if opening(node, 0) == "writing":
                    self._add("", ".open() for writing")
        root, chain = chain_of(node.func)
        if self._from_enum(root, chain, scope) and len(node.args) > 1:
            self._add("", "a class made by enum")
        opener = isinstance(root, ast.Name) and self._module_of(root.id, scope)
        if chain == ["open"] and opener in ("io", "codecs"):
            self._add("", f"open() for {opening(node)}")

    def _class(self, node: ast.ClassDef) -> None:
        self._decorators(node)
        for keyword in node.keywords:
            self._add("the class", f"{self._qualname(node)} with {keyword.arg or '**'}")
        for name in self.inner[node].names:
            if is_dunder(name) and name not in words.METHODS and name not in _CLASS_WORDS:
                self._add("the class", f"{self._qualname(node)} with {name}")

    def _decorators(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        for decorator in node.decorator_list:
            bare = decorator.func if isinstance(decorator, ast.Call) else decorator
            root, chain = chain_of(bare)
            name = ".".join([root.id, *chain]) if isinstance(root, ast.Name) else ""
            setter = len(chain) == 1 and chain[0] in ("setter", "getter", "deleter")
            if name not in words.DECORATORS and not setter:
                self._add("the decorator", shown(decorator))

    def _text(self, node: ast.expr) -> None:
        bare = isinstance(node, ast.Constant) and isinstance(self.parents.get(node), ast.Expr)
        if bare and not any(looks_into(str(node.value))):  # type: ignore[attr-defined]
            return  # a docstring that is no format: what looks a name up is seen where it does so
        if isinstance(node, ast.BinOp):
            parent = self.parents.get(node)
            if isinstance(parent, ast.BinOp) and isinstance(parent.op, ast.Add):
                return  # the whole has it
        text = folded(node)
        if text is None or len(text) > 100_000:
            return
        for name in words.TELLING.intersection(_DUNDER.findall(text)):
            self._add("the text", name)
        if text in words.LEADING or text == "PYTEST_CURRENT_TEST":
            self._add("the text", text)
