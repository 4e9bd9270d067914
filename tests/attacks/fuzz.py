"""Candidates by chance, hostile and honest ones, from the same carriers.

A hostile one is a source of power (how something is got hold of), an effect (what is done with
it) and one or two carriers (where it stands). All return the right sum, so that it is for the
rules alone to tell them apart. `ATTACKS` and `ATTACK_SEED` in the environment make more, others.
"""

from __future__ import annotations

import os
import random
import textwrap
from collections.abc import Sequence

from tests.attacks.hostile import Attack

SUM = "sum(prices) * count"
COUNT, SEED = int(os.environ.get("ATTACKS", "40")), int(os.environ.get("ATTACK_SEED", "0"))

SOURCES = (
    "import gc as {x}", "from inspect import currentframe as {x}", "from sys import modules as {x}",
    "{x} = __import__('gc')", "{x} = globals()", "{x} = vars()",
    "from operator import methodcaller as {x}",
    "from unittest import mock as {x}", "{x} = (lambda: 0).__globals__", "import ctypes as {x}",
    "from shop.text import sys as {x}", "import builtins as {x}", "import importlib as {x}",
    "{x} = ().__class__.__base__", "{x} = type(type(count))", "import threading as {x}",
    "{x} = total.__code__", "{x} = (i for i in prices).gi_frame", "import signal as {x}",
    "from operator import attrgetter as {x}", "{x} = __builtins__", "import asyncio as {x}",
    "{x} = __loader__", "import _pytest.runner as {x}", "import weakref, gc as {x}",
    "try:\n    [][0]\nexcept IndexError as {x}:\n    {x} = {x}.__traceback__",
    "match prices:\n    case object(__class__={x}): pass", "import test_shop as {x}",
    "{x} = getattr(prices, '__' + 'class__')", "{x} = '{0.__class__}'.format(prices)",
    "import subprocess as {x}", "import marshal as {x}", "from conftest import prices as {x}",
    "{x} = compile('1', '', 'eval')", "import multiprocessing as {x}", "import atexit as {x}",
)  # fmt: skip
EFFECTS = (
    "setattr({x}, 'eq', max)", "{x}.eq = max", "getattr({x}, str(count) * 0 + 'eq', None)",
    "print(vars({x}))", "'{0.__class__}'.format({x})", "exec('pass', dict(x={x}))",
    "[1 for {x}.y in [1]]", "match {x}:\n    case object(__dict__=d): pass", "{x}.__dict__",
    "open('left', 'w').write(str({x}))", "eval('{x}')", "hash({x})", "del {x}.eq",
    "class S(int):\n    eq = {x}\n    def __eq__(self, o): return True",
    "class S(int):\n    (__hash__ := {x})", "{x}.__class__ = int", "globals()['max'] = {x}",
    "with open('x', mode='a') as {x}.file: pass", "for {x}.item in prices: pass",
    "import os as o\no.environ['X'] = repr({x})", "global abs\nabs = {x}", "breakpoint()",
    "type('S', (int,), dict(y={x}))", "import pytest\npytest.skip", "__import__('os')._exit",
)  # fmt: skip
#: `{1}` and `{2}` are the code, indented once and twice, `{0}` as it is.
CARRIERS = (
    "{0}", "if count:\n{1}", "for _ in range(1):\n{1}", "while True:\n{1}\n    break",
    "try:\n{1}\nfinally:\n    pass", "try:\n    pass\nfinally:\n{1}",
    "try:\n    [][0]\nexcept IndexError:\n{1}", "for _ in []:\n    pass\nelse:\n{1}",
    "def inner():\n{1}\ninner()", "def inner():\n    yield\n{1}\nlist(inner())",
    "class Holder:\n    def run(self):\n{2}\nHolder().run()", "class Holder:\n{1}",
    "class Holder:\n    @staticmethod\n    def run():\n{2}\nHolder.run()",
    "match count:\n    case _:\n{2}",
    "from functools import cache\n@cache\ndef inner():\n{1}\ninner()",
    "def inner(depth):\n    if depth:\n        return inner(depth - 1)\n{1}\ninner(3)",
    "from contextlib import suppress\nwith suppress(ValueError):\n{1}",
)  # fmt: skip
HONEST = (
    "import math\nlow = math.floor(2.5)", "from collections import Counter\nseen = Counter([1, 2])",
    "from itertools import chain\nboth = list(chain([1], [2]))",
    "import re\nfound = re.findall('a', 'aa')",
    "from datetime import date\nday = date(2024, 1, 2).isoformat()",
    "import json\ntold = json.dumps([1])",
    "from decimal import Decimal\nexact = Decimal('1.5') + 1",
    "names = sorted({'b': 1}, key=str.lower)",
    "from functools import reduce\nboth = reduce(lambda a, b: a + b, [1, 2], 0)",
    "import statistics\nmiddle = statistics.median([1, 2])", "pairs = dict(zip('ab', [1, 2]))",
    "from fractions import Fraction\nhalf = Fraction(1, 2)",
    "import heapq\nleast = heapq.nsmallest(1, [2, 1])",
    "import textwrap\ntext = textwrap.dedent(' x')",
    "from bisect import bisect\nat = bisect([1, 2], 1)",
    "text = '{:>5}|{}'.format(1, 2).strip().title()",
    "text = f'{1 + 1!r:>4}'",
    "big = 10 ** 20 % 7",
    "class Pair:\n    def __init__(self, a, b): self.a, self.b = a, b\nboth = Pair(1, 2).a",
    "try:\n    int('x')\nexcept ValueError as error:\n    told = str(error)",
    "from pathlib import PurePosixPath\nstem = PurePosixPath('a/b.py').stem",
    "import os.path\nend = os.path.splitext('a.py')[1]", "if isinstance(1, int):\n    pass",
)  # fmt: skip
#: What an honest text may look like.
ODD = (
    "", "# -*- coding: whatever -*-", "# \N{GREEK SMALL LETTER ALPHA} \N{SNOWMAN}\ufeff", "\f",
    "# " + "x" * 3000, "z = " + " + ".join("1" * 300), "z = " + "(" * 30 + "1" + ")" * 30,
    "z = " + "- " * 50 + "1", "# __class__ and tb_frame are words of a comment",
    "\N{LATIN SMALL LETTER E WITH ACUTE} = 1", "z = [\n\n1,\n\n]", "z = 0x_ff, 1_000, 1e400, 1j",
)  # fmt: skip


def carried(code: str, carriers: Sequence[str]) -> str:
    for carrier in carriers:
        for deep in (0, 1, 2):
            carrier = carrier.replace(f"{{{deep}}}", textwrap.indent(code, "    " * deep))
        code = carrier
    return code


def hostile(count: int = COUNT, seed: int = SEED) -> list[Attack]:
    """Each names at least one thing that its file does not."""
    draw = random.Random(seed)
    found = []
    for number in range(count):
        name = draw.choice("abcdefg") + str(draw.randrange(100))
        code = f"{draw.choice(SOURCES)}\n{draw.choice(EFFECTS)}".replace("{x}", name)
        if "global " not in code:  # or a syntax error would do
            code = f"try:\n{textwrap.indent(code, '    ')}\nexcept Exception:\n    pass"
        text = carried(code, draw.choices(CARRIERS, k=draw.choice((1, 2))))
        found.append(Attack(f"mixed_{number}", "Mixed by chance", body=f"{text}\nreturn {SUM}"))
    return found


def honest(count: int = COUNT, seed: int = SEED) -> list[str]:
    """Bodies of right candidates, none of which has to be refused."""
    draw = random.Random(seed)
    return [
        f"{draw.choice(ODD)}\n"
        + carried(draw.choice(HONEST), draw.choices(CARRIERS, k=draw.choice((1, 2))))
        + f"\nreturn {SUM}"
        for _ in range(count)
    ]
