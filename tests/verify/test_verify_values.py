"""Results of honest types, and of others."""

from __future__ import annotations

import dataclasses
import enum
import functools
import operator
import types
from collections import namedtuple
from typing import Any

import pytest

from diffufix.verify.inside.values import HonestValues
from diffufix.verify.methods import deciding

#: As the text of an edited file: what is compiled under this name is "ours".
EDITED = "/project/edited.py"


def made(source: str) -> Any:
    """What `f()` returns, where `source` is the body of `f` in the edited file."""
    body = "\n".join(f"    {line}" for line in source.splitlines())
    space: dict[str, Any] = {"__name__": "builtins"}
    exec(compile(f"def f():\n{body}\n", EDITED, "exec"), space)
    return space["f"]()


def values(*words: str) -> HonestValues:
    return HonestValues(lambda code: code.co_filename == EDITED, words)


SUBCLASS = "class S(int):\n    {}\nreturn S(3)"


@pytest.mark.parametrize(
    "source",
    [
        SUBCLASS.format("def __eq__(self, other): return other == 3 or other == 4"),
        SUBCLASS.format("def __ne__(self, other): return False"),
        SUBCLASS.format("def __hash__(self): return 7"),
        SUBCLASS.format("def __bool__(self): return True"),
        SUBCLASS.format("def __rsub__(self, other): return 0"),
        SUBCLASS.format("def __radd__(self, other): return 0"),
        SUBCLASS.format("def __lt__(self, other): return True"),
        SUBCLASS.format("__module__ = 'builtins'\n    def __lt__(self, other): return True"),
        SUBCLASS.format("from operator import truth as __bool__"),
        SUBCLASS.format("__class__ = property(lambda self: float)"),
        "class S(int): pass\nS.__eq__ = lambda self, other: other in (3, 4)\nreturn S(3)",
        "class S(int): pass\nsetattr(S, '__e' + 'q__', lambda s, o: o in (3, 4))\nreturn S(3)",
        "return type('S', (int,), {'__eq__': lambda self, other: other in (3, 4)})(3)",
        "class M(type):\n    def __eq__(c, o): return True\nclass S(metaclass=M): pass\nreturn S",
        "class S(int):\n    def __gt__(self, other): return True\nreturn [{'x': (S(3),)}]",
        "class S(int):\n    def __gt__(self, other): return True\n"
        "class Held: pass\nheld = Held()\nheld.x = S(3)\nreturn held",
        "class A(int):\n    def __sub__(self, other): return 0\nclass S(A): pass\nreturn S(3)",
    ],
)
def test_a_type_that_decides_for_itself_and_is_the_edits_is_odd(source: str) -> None:
    assert "of its own" in values().odd(made(source))


def test_what_equals_everything_is_odd_whoever_made_it() -> None:
    from unittest.mock import ANY

    for value in (ANY, [1, {"x": ANY}]):
        assert values().odd(value) == "what it returns equals everything"


class Money:
    """A type of the project's that no edit has to do with."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money)

    def __hash__(self) -> int:
        return 0


@dataclasses.dataclass(order=True)
class Point:
    x: int = 0


class Colour(enum.Flag):
    RED = 1
    BLUE = 2


@functools.total_ordering
class Ordered:
    def __eq__(self, other: object) -> bool:
        return self is other

    def __lt__(self, other: object) -> bool:
        return False

    __hash__ = None  # type: ignore[assignment]


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    "value",
    [1, "x", None, [1, 2], Money(), {"a": [Money()]}, float("nan"), Point(), Colour.RED, Ordered(),
     Pair(1, 2), Pair, types.SimpleNamespace(x=1), operator.attrgetter("x"), iter([1]), object()],
)  # fmt: skip
def test_types_that_were_there_are_honest(value: Any) -> None:
    assert values().odd(value) == ""


@pytest.mark.parametrize(
    "source",
    [
        "class S:\n    def __init__(self): pass\n    def __repr__(self): return 'S'\nreturn S()",
        "import dataclasses\n@dataclasses.dataclass\nclass S:\n    x: int = 1\nreturn S()",
        "import enum\nclass S(enum.Flag):\n    A = 1\nreturn S.A",
        "from collections import namedtuple\nreturn namedtuple('S', 'a')(1)",
        "class S(Exception): pass\nreturn S()",
    ],
)
def test_new_types_that_decide_nothing_are_honest(source: str) -> None:
    assert values().odd(made(source)) == ""


def test_what_the_original_text_has_is_no_news() -> None:
    equal = "class S(int):\n    def __eq__(self, other): return int(self) == other\nreturn S(3)"
    text = "def f():\n" + "\n".join(f"    {line}" for line in equal.splitlines())
    assert deciding(text) == {"f.<locals>.S.__eq__"}
    assert values(*deciding(text)).odd(made(equal)) == ""
    hashed = equal.replace("return S", "S.__hash__ = lambda self: 0\nreturn S")
    assert "__hash__" in values(*deciding(text)).odd(made(hashed))
    assert deciding(text.replace("return S", "S.__hash__ = hash\n    return S")) == {
        "f.<locals>.S.__eq__", "*.__hash__",
    }  # fmt: skip
    assert deciding("def (") == frozenset()
