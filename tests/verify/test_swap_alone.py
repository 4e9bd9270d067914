"""A function that is compiled alone is the one that the whole file has."""

from __future__ import annotations

import ast
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import diffufix
from diffufix.source.functions import definitions
from diffufix.verify.inside.swap import Frames, alone, future

HARD = '''\
from __future__ import annotations

class Outer:
    """Holds another."""

    class Inner(dict):
        __secret = 1

        @property
        def size(self, *, of: int = 1) -> int:
            return self.__secret + super().__len__() + (lambda x: x + of)(2)

try:
    import nothing
except ImportError:
    def missing(name):
        global found
        found = name
        return [each for each in name if each]
else:
    async def there():
        yield 1

if True:
    with open("x") as file:
        def held(): return "one line"
'''
FILES = sorted(Path(diffufix.__file__).parent.rglob("*.py"))[::9]


def test_functions_in_blocks_and_classes_are_the_same(tmp_path: Path) -> None:
    path = tmp_path / "hard.py"
    path.write_text(HARD)
    assert same(path) == {"size", "missing", "there", "held"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_functions_of_real_files_are_the_same(path: Path) -> None:
    same(path)


def test_the_lines_of_a_longer_body_belong_to_it(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text(
        "class A:\n    def f(self):\n        return 1\n\n    def g(self):\n        return 2\n"
    )
    frame = Frames([str(path)]).of(str(path), 2, "f")
    changed = path.read_bytes().replace(b"return 1", b"x = 1\n        return x")
    text = alone(changed, 2, frame)
    assert text == b"class A:\n    def f(self):\n        x = 1\n        return x\n"


def test_what_declares_its_encoding_is_left_to_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "a.py"
    path.write_text("# coding: latin-1\ndef f():\n    return 1\n")
    assert Frames([str(path)]).of(str(path), 2, "f") is None


def same(path: Path) -> set[str]:
    """The functions of a file that were compared."""
    data = path.read_bytes()
    whole = dict(codes(compile(data, "x", "exec", dont_inherit=True)))
    frames, compared = Frames([str(path)]), set()
    for found in definitions(ast.parse(data), nested=False):
        key = (found.first_line, found.node.name)
        frame = frames.of(str(path), *key)
        assert frame is not None
        text = alone(data, found.first_line, frame)
        assert text is not None
        flags = future(whole[key])
        one = dict(codes(compile(text, "x", "exec", flags, dont_inherit=True)))
        assert said(one[key]) == said(whole[key])
        compared.add(found.node.name)
    return compared


def said(code: Any) -> tuple[Any, ...]:
    """All that a function means; methods of imported modules are called by other instructions in
    some versions of Python."""
    inner = [said(c) if isinstance(c, types.CodeType) else repr(c) for c in code.co_consts]
    names = (
        "name",
        "qualname",
        "flags",
        "firstlineno",
        "names",
        "varnames",
        "freevars",
        "cellvars",
    )
    values = [getattr(code, f"co_{name}", None) for name in names]
    return (*values, code.co_argcount, {line for *_, line in code.co_lines()}, inner)


def codes(module: types.CodeType) -> Iterator[tuple[tuple[int, str], Any]]:
    for constant in module.co_consts:
        if isinstance(constant, types.CodeType):
            yield (constant.co_firstlineno, constant.co_name), constant
            yield from codes(constant)
