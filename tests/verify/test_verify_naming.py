"""Deny by default: what an edit may name that its file does not, and every way around it."""

from __future__ import annotations

import textwrap

import pytest

from diffufix.verify.static import identifiers, suspicion

FILE = """
import math
import logging
from shop.text import clean

log = logging.getLogger(__name__)


class Price:
    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return self.value == other.value


def total(prices, count=1):
    return sum(prices) * count - 1
"""
PLACE = "return sum(prices) * count - 1"


def reason(body: str, path: str = "shop/price.py", known: frozenset[str] | None = None) -> str:
    code = textwrap.indent(textwrap.dedent(body).strip(), "    ").strip()
    return suspicion(FILE, FILE.replace(PLACE, code), path=path, known=known)


HONEST = [
    "return sum(prices) * count",
    "return math.fsum(prices) * count if math.isfinite(count) else 0",
    "import re\nreturn len(re.sub(r'[^0-9]', '', str(prices)).strip())",
    "from collections import Counter, defaultdict\nreturn sum(Counter(prices).elements())",
    "import os.path\nreturn os.path.basename(os.path.join('a', 'b')).upper()",
    "from .text import wrap_all\nreturn wrap_all(prices)",
    "from shop.other import helper\nreturn helper(prices)",
    "from datetime import datetime, timedelta\nreturn datetime.now() + timedelta(days=1)",
    "log.warning('%s of %s', prices, count)\nreturn 0",
    "try:\n    return 1\nexcept IndexError as error:\n    raise ValueError(str(error)) from error",
    "return getattr(prices, 'total', None) or hasattr(prices, '__len__')",
    "return type(prices)(p for p in prices)",
    "return prices.__class__.__name__ + '{:>{}}'.format(count, 3) + f'{count!r:>4}'",
    "if isinstance(prices, (list, tuple)) and type(prices) is not list:\n    return list(prices)",
    "price = Price(0)\nprice.value = count\nreturn price",
    "match prices:\n    case [first, *rest]:\n        return first\nreturn 0",
    "return sorted(prices, key=lambda p: (p is None, p))[::-1]",
    "import functools, operator as o\nreturn functools.reduce(o.mul, prices)",
    "import sys\nreturn count if sys.version_info >= (3, 11) else 0",
    "self = Price(1)\nsetattr(self, 'value', 2)\nreturn self",
    "'''Of `__class__`, tb_frame and __globals__.'''\nreturn sum(prices)",
    "def inner():\n    'Calls `__reduce__`.'\n    return inner.__doc__\nreturn inner()",
]
HOSTILE = {
    # names between double underscores, wherever they stand
    "alias": "class S(int):\n    from operator import truth as __bool__\nreturn S()",
    "nested class": "class S(int):\n    class __eq__:\n        x = 1\nreturn S()",
    "match capture": "class S(int):\n    match 1:\n        case __hash__: pass\nreturn S()",
    "star capture": "class S(int):\n    match [1]:\n        case [*__hash__]: pass\nreturn S()",
    "rest capture": "class S(int):\n    match {}:\n        case {**__hash__}: pass\nreturn S()",
    "with": "class S(int):\n    with x as __bool__: pass\nreturn S()",
    "except": "class S(int):\n    try: x\n    except ValueError as __bool__: pass\nreturn S()",
    "for": "class S(int):\n    for __bool__ in [1]: pass\nreturn S()",
    "walrus": "class S(int):\n    (__bool__ := 1)\nreturn S()",
    "keyword": "return dict(__bool__=1)",
    "pattern attribute": "match prices:\n    case object(__dict__=d): return d",
    "same name again": "class Price(int):\n    def __eq__(self, o): return True\nreturn Price()",
    "locals": "class S(int):\n    locals()['__e' 'q__'] = None\nreturn S()",
    "type": "return type('S', (int,), {})()",
    "type by partial": "from functools import partial\nreturn partial(type, 'S')((int,), {})()",
    "type by name": "t = type\nreturn t('S', (int,), {})()",
    "type of type": "return type(type(prices))",
    "star type": "return type(*prices)",
    "metaclass": "class S(metaclass=Price): pass\nreturn S()",
    "dataclass": "from dataclasses import make_dataclass\nreturn make_dataclass('S', [])()",
    "enum": "from enum import Enum\nreturn Enum('S', prices)",
    "total_ordering": "import functools\nreturn functools.total_ordering(Price)",
    "text": "return prices.get('__subclasses__')",
    "added text": "return '__sub' + 'classes__'",
    "format": "return '{0.__class__}'.format(prices)",
    "format of a name": "text = ''.join(prices)\nreturn text.format(prices)",
    "docstring looked up": "def f():\n    '__class__'\nreturn getattr(prices, f.__doc__)",
    "docstring as a format": "def f():\n    '{0.__class__}'\nreturn f.__doc__.format(prices)",
    "format_map": "return '{a.b}'.format_map(prices)",
    # builtins
    **{
        name: f"return {name}(prices)"
        for name in ("eval", "exec", "compile", "vars", "setattr", "open", "input", "id", "hash",
                     "__import__", "delattr", "breakpoint", "help")
    },
    "bare": "return map(eval, prices)",
    "shadowed elsewhere": "def f(eval): pass\nreturn eval('1')",
    "globals": "return globals()",
    "getattr": "return getattr(prices, count)",
    "exit": "raise SystemExit(0)",
    "interrupt": "raise KeyboardInterrupt",
    # modules
    **{
        f"import {name}": f"import {name}\nreturn 0"
        for name in ("gc", "ctypes", "sysconfig", "pkgutil", "pydoc", "timeit", "trace",
                     "logging.config", "unittest.mock", "pytest", "_pytest.python", "importlib",
                     "shutil", "tempfile", "conftest", "test_shop", "tests.helper",
                     "numpy", "builtins", "faulthandler", "site", "atexit", "mmap")
    },
    "class of a class": "return prices.__class__.__class__('S', (), {})",
    "type by steps": "c = prices.__class__\nreturn type(c)('S', (), {})",
    "inspect": "import inspect\nreturn inspect.stack()",
    "signal": "import signal\nreturn signal.getsignal(2)",
    "from own": "from shop.text import sys\nreturn sys",
    "from own star": "from shop.text import *\nreturn 0",
    "sys.modules": "import sys\nreturn sys.modules",
    "frame": "import sys\nreturn sys._getframe()",
    "attrgetter": "from operator import attrgetter\nreturn attrgetter('a.b')(prices)",
    "hints": "import typing\nreturn typing.get_type_hints(prices)",
    "module alias": "m = math\nreturn m.sin(1)",
    "module given": "return max([math], key=str)",
    "late import": "import operator as o\nfrom operator import methodcaller as m\nreturn m('x')",
    "os": "import os\nreturn os.getpid()",
    "environment": "import os\nreturn os.environ",
    "through a module": "return clean.sys.modules",
    # the tests' world
    "patch a module": "math.isclose = lambda *a: True\nreturn 0",
    "patch a name": "import operator\noperator.eq = max\nreturn 0",
    "patch an import": "clean.cache = 1\nreturn 0",
    "patch a class": "type(prices).x = 1\nreturn 0",
    "patch by a name": "import json\ne = json.JSONEncoder\ne.default = str\nreturn 0",
    "patch by a loop": "import json\nfor e in [json.JSONEncoder]:\n    e.default = str\nreturn 0",
    "patch own class": "Price.value = 1\nreturn 0",
    "bind a builtin": "global eval\neval = len\nreturn eval(prices)",
    "context": "from decimal import getcontext\ngetcontext().prec = 1\nreturn 0",
    # frames and files
    "traceback": "try:\n    1 / 0\nexcept Exception as e:\n    return e.__traceback__.tb_frame",
    "generator": "g = (p for p in prices)\nreturn g.gi_frame",
    "exit method": "class C:\n    def __exit__(self, *a): return a[2].tb_frame\nreturn C()",
    "stack": "import asyncio\nreturn asyncio.current_task().get_stack()",
    "handlers": "import logging\nreturn logging.Logger.manager.loggerDict",
    "write": "from pathlib import Path\nPath('x').write_text('y')\nreturn 0",
    "open to write": "from pathlib import Path\nPath('x').open('w')\nreturn 0",
    "decorator": "@prices\ndef f(): pass\nreturn f",
    "pytest's attributes": "return prices.runtest",
}  # fmt: skip


@pytest.mark.parametrize("body", HONEST)
def test_honest_edits_say_nothing_new(body: str) -> None:
    assert not reason(body)


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_what_the_file_does_not_name_is_denied(body: str) -> None:
    assert reason(body)


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_what_the_file_names_itself_may_be_moved(body: str) -> None:
    """The same text, when it is the original's own, stands in nobody's way."""
    code = textwrap.indent(textwrap.dedent(body).strip(), "    ").strip()
    text = FILE.replace(PLACE, code)
    assert not suspicion(text, text + "\n\ndef other():\n    return 2\n", path="shop/price.py")


def test_with_the_project_known_an_attribute_is_its_own_or_pure() -> None:
    known = frozenset({"discount", "total"})
    assert not reason("return prices.discount + prices.count(1)", known=known)
    assert "surprise" in reason("return prices.surprise", known=known)
    assert not reason("return prices.surprise")


@pytest.mark.parametrize(
    "text",
    [
        "return " + "1 + " * 20_000 + "1",
        "return " + "-" * 20_000 + "1",
        "return " + "(" * 300 + "1" + ")" * 300,
        "return f'{f'{1}'}' + ",
        "return 1\0",
        "x = 1\n  return x",
    ],
)
def test_what_cannot_be_read_is_suspicious(text: str) -> None:
    assert reason(text)


def test_another_encoding_is_suspicious() -> None:
    for head in ("# coding: utf-7\n", "#!x\n# -*- coding: rot13 -*-\n", "\f# coding=latin-1\n"):
        assert "encoding" in suspicion("x = 1\n", head + "x = 1\n")
    assert not suspicion("# coding: latin-1\nx = 1\n", "# coding: latin-1\nx = 2\n")


def test_only_python_is_edited() -> None:
    assert suspicion("a", "b", path="shop/golden.txt")


def test_identifiers_are_those_of_sources_not_of_tests(tmp_path: object) -> None:
    from pathlib import Path

    root = Path(str(tmp_path))
    (root / "tests").mkdir()
    (root / "a.py").write_text("alpha = beta.gamma\n")
    (root / "test_a.py").write_text("delta = 1\n")
    (root / "tests" / "b.py").write_text("epsilon = 1\n")
    assert {"alpha", "beta", "gamma"} <= identifiers(root)
    assert not {"delta", "epsilon"} & identifiers(root)
