"""Edits that undo usual slips, and what is taken from elsewhere: all of them by what they make."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import replace
from textwrap import dedent

import pytest

from diffufix.propose.candidates import EditTarget
from diffufix.propose.edits.code import Code
from diffufix.propose.edits.enumerate import edits_of
from diffufix.propose.edits.features import pattern
from diffufix.propose.edits.known import LISTEN, KnownEdits
from diffufix.propose.edits.pieces import Known
from diffufix.propose.edits.pool import make_pool
from diffufix.source.edits import Edit
from diffufix.source.functions import functions
from diffufix.source.syntax import parse
from diffufix.types import Hole, Kind, State, SuspiciousFunction, Verdict


def made(source: str, name: str = "f", others: dict[str, str] | None = None) -> dict[str, str]:
    """What the edits of a function make of the file: syntax -> kind of edit."""
    found: dict[str, str] = {}
    for edit in edits(source, name, others):
        text = source[: edit.start] + edit.text + source[edit.end :]
        try:
            found.setdefault(ast.dump(parse(text)), edit.kind)
        except SyntaxError:
            continue
    return found


def edits(source: str, name: str = "f", others: dict[str, str] | None = None) -> list[Edit]:
    node = next(n for q, n in functions(parse(source)) if q == name)
    code = Code(source, node)
    return edits_of(code, make_pool(source, code, others))


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("return x - y", "return x + y"),
        ("return x < y", "return x <= y"),
        ("return x[1]", "return x[0]"),
        ("return x[1:]", "return x[2:]"),
        ("return x", "return x[1:]"),
        ("return x", "return abs(x)"),
        ("return x.my_y", "return y"),
        ("return x * 2", "return x"),
        ("return x", "return x * 2"),
        ("return g(x, y)", "return g(y, x)"),
        ("return g(x)", "return g(x, y)"),
        ("return g(x, y)", "return g(x)"),
        ("x -= y", "x //= y"),
        ("return x / y", "return x // y"),
        ("if x:\n        return y", "if not x:\n        return y"),
        ("if x is y:\n        return y", "if x == y:\n        return y"),
        ("if x != y:\n        return y", "if x is not y:\n        return y"),
        ("return x and y", "return x or y"),
        ("return True", "return False"),
        ("return sorted(x)", "return sorted(x, reverse=True)"),
        ("return x.lstrip(y)", "return x.rstrip(y)"),
        ("for a in x:\n        break", "for a in x:\n        continue"),
        ("return (x, y)", "return [x, y]"),
        ("return ('x', 'y')", "return ('y',)"),
        ("return [x for x in y if x]", "return [x for x in y]"),
        ("return [x for x in y]", "return [x for x in y if x]"),
        ("return x if y else 0", "return 0 if y else x"),
        ("return (x + y) * 2", "return x + y * 2"),
        ("return x or y", "return x"),
        ("for a in x:\n        g(a)", "for a in (x or []):\n        g(a)"),
        ("g(x)\n    return y", "return y"),
        ("g(x)", "return g(x)"),
        ("x.strip()\n    return x", "x = x.strip()\n    return x"),
        ("x += y", "x.append(y)"),
        ("return x.get(y)", "return x.get(y, None)"),
        ("for a in x:\n        g(a)\n    return x", "for a in x:\n        g(a)\n        return x"),
        ("for a in x:\n        g(a)\n        return x", "for a in x:\n        g(a)\n    return x"),
        ("return x\n    y", "return x"),
        ("return ['a'\n        'b']", "return ['a',\n        'b']"),
        ("x, y = g(y)", "y, x = g(y)"),
        ("return g(x)", "if x is None:\n        return []\n    return g(x)"),
        ("if x < 0:\n        return b''\n    return x",
         "if x < 0:\n        return b''\n    if x == 0:\n        return b''\n    return x"),
        ("a = g(x)\n    return a", "a = g(x)\n    if a is None:\n        a = {}\n    return a"),
        ("return g(x)", "x = int(x)\n    return g(x)"),
        ("return re.match('[a-z]+', x)", "return re.match('[a-z@]+', x)"),
        ("return re.match('[a-z]+', x)", "return re.match('[a-z]*', x)"),
        ("return re.match('a.b', x)", "return re.match('^a.b', x)"),
        ("return re.sub(r'(a)b', y, x)", "return re.sub(r'(?:a)b', y, x)"),
        ("try:\n        g(x)\n    except KeyError:\n        pass",
         "try:\n        g(x)\n    except (KeyError, TypeError):\n        pass"),
        ("if x:\n        g(x)\n    elif y:\n        g(y)",
         "if x:\n        g(x)\n    else:\n        g(y)"),
    ],
)  # fmt: skip
def test_the_right_text_is_among_the_edits(wrong: str, right: str) -> None:
    head = "def f(x, y):\n    "
    assert ast.dump(parse(f"{head}{right}\n")) in made(f"{head}{wrong}\n")


def test_a_default_value_may_be_wrong_and_a_missing_one_is_added() -> None:
    found = made("def f(x, y=True):\n    return x\n")
    assert ast.dump(parse("def f(x, y=None):\n    return x\n")) in found
    found = made("def f(x, y):\n    return x\n")
    assert ast.dump(parse("def f(x, y=None):\n    return x\n")) in found


PROJECT = dedent(
    """\
    LIMIT = 3

    def safe(text):
        return text

    class Box:
        def __init__(self, size, tone=None):
            self.size = size
            self.tone = tone

        def _check(self, value):
            if value is None:
                return False
            self._note(value)
            return value > self.size

        def put(self, value, tone):
            return Box(value)

        def show(self, value):
            text = str(value)
            return "<" + text + ">"

        def many(self, values):
            total = 0
            for value in values:
                total += value
            return total
    """
)


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("Box.put", "Box(value)", "Box(value, tone=tone)"),  # a parameter of the callee
        ("Box.put", "Box(value)", "Box(value, tone=self.tone)"),  # a field of that name
        ("Box.show", "+ text +", "+ safe(text) +"),  # a function of the file
        ("Box.many", "            total += value",
         "            if value is None:\n                continue\n            total += value"),
        ("Box.many", "        total = 0\n        for",
         "        total = 0\n        if values is None:\n            return False\n        for"),
        ("Box.many", "            total += value",
         "            if value > self.size:\n                total += value"),
        ("Box.show", "        text = str(value)\n",
         "        text = str(value)\n        self._note(value)\n"),
    ],
)  # fmt: skip
def test_what_is_at_hand_in_class_and_file_is_used(name: str, old: str, new: str) -> None:
    assert PROJECT.count(old) == 1
    assert ast.dump(parse(PROJECT.replace(old, new))) in made(PROJECT, name)


def test_isinstance_is_asked_for_more_classes() -> None:
    source = "def f(x):\n    return isinstance(x, int)\n\n"
    source += "def g(x):\n    return isinstance(x, str)\n"
    right = source.replace("isinstance(x, int)", "isinstance(x, (int, str))")
    assert ast.dump(parse(right)) in made(source)


def test_names_of_parameters_come_from_other_files() -> None:
    source = "from far import load\n\ndef f(path, strict):\n    return load(path)\n"
    right = source.replace("load(path)", "load(path, strict=strict)")
    wide = source.replace("load(path)", "load(path, wide=True)")
    others = {"far.py": "def load(path, wide=False):\n    return path\n"}
    found = made(source, others=others)
    assert ast.dump(parse(right)) in found
    assert ast.dump(parse(wide)) in found


def test_edits_are_the_same_each_time_and_none_comes_twice() -> None:
    first, second = (edits(PROJECT, "Box.show") for _ in range(2))
    assert first == second
    texts = [PROJECT[: e.start] + e.text + PROJECT[e.end :] for e in first]
    assert len(set(texts)) == len(texts)
    assert PROJECT not in texts


def test_edits_stay_on_the_lines_that_were_executed() -> None:
    node = next(n for q, n in functions(parse(PROJECT)) if q == "Box.many")
    line = PROJECT[: PROJECT.index("total += value")].count("\n") + 1
    code = Code(PROJECT, node, {line: 1.0})
    found = edits_of(code, make_pool(PROJECT, code))
    where = {code.text.line_of(e.start) for e in found if e.kind != "default"}
    assert line in where
    assert where <= {line - 1, line, line + 1}


def test_the_likeliest_edits_come_first_and_far_functions_last() -> None:
    source = "def f(x):\n    return x - 1\n\ndef g(x):\n    return x - 1\n"
    near = EditTarget(SuspiciousFunction("a.py", "f", 1, 2, 0.9, {2: 0.9}), source)
    far = EditTarget(SuspiciousFunction("a.py", "g", 4, 5, 0.3, {5: 0.3}), source)
    found = list(
        KnownEdits(
            [near, far],
            lambda s, _: 0.0 if s is near else 5.0,
        )
    )
    assert {each.subject for each in found[:20]} == {near}
    assert all(each.score <= 0 for each in found)
    own = [each.score for each in found if each.subject is near]
    assert own == sorted(own, reverse=True)


@pytest.mark.parametrize(("value", "sooner"), [("12", True), ("77", False)])
def test_a_failure_that_is_nearer_brings_the_other_edits_of_its_line_forward(
    value: str, sooner: bool
) -> None:
    subject = EditTarget(SuspiciousFunction("a.py", "Box.many", 26, 30, 1.0, {}), PROJECT)
    line = PROJECT[: PROJECT.index("total = 0")].count("\n") + 1
    supply = KnownEdits([subject], lambda *_: 0.0)
    tried = [next(supply) for _ in range(LISTEN)]
    usual = Verdict(State.FAIL, {}, detail="t: AssertionError: assert 55 == 123")
    for each in tried:
        supply.hear(each, usual)
    at = PROJECT.index("total = 0")
    other = replace(tried[0], hole=Hole(at, at + 9, Kind.STATEMENT), text="total = 1")
    before = share(KnownEdits([subject], lambda *_: 0.0), line)
    for _ in range(2):
        said = f"t: AssertionError: assert {value} == 123"
        supply.hear(other, Verdict(State.FAIL, {}, detail=said))
    assert (share(supply, line) > before) is sooner


@pytest.mark.parametrize(
    ("outcomes", "paired"),
    [
        ({"t": "passed", "u": "failed"}, True),
        ({"t": "passed", "u": "passed", "other": "failed"}, False),
        ({"t": "failed", "other": "passed"}, False),
    ],
)
def test_what_mends_one_target_and_breaks_nothing_is_tried_with_others(
    outcomes: dict[str, str], paired: bool
) -> None:
    subject = EditTarget(SuspiciousFunction("a.py", "Box.many", 26, 30, 1.0, {}), PROJECT)
    supply = KnownEdits([subject], lambda *_: 0.0, targets=["t", "u"])
    tried = [next(supply) for _ in range(LISTEN)]
    for each in tried:
        supply.hear(each, Verdict(State.FAIL, {"t": "failed"}, detail="t: assert 0"))
    supply.hear(tried[3], Verdict(State.FAIL, outcomes, detail="other: assert 1"))
    assert any(each.kind == "two" for each in supply) is paired


def share(supply: Iterator[Known], line: int) -> int:
    """How many of the next edits touch the line."""
    found = [next(supply) for _ in range(60)]
    return sum(PROJECT[: each.hole.start].count("\n") + 1 == line for each in found)


@pytest.mark.parametrize(
    ("gone", "come", "made"),
    [
        ("<", "<=", "<><="), ("x", "x.y", "N>N.N"), ("", "not ", ">not "),
        ('"a"', "None", "S>None "), ("a, b", "b, a", "N,N>N,N"), ("12", "0", "9>0 "),
        ("", "if x is None:\n    return y", ""),
    ],
)  # fmt: skip
def test_a_pattern_leaves_the_edits_own_names_out(gone: str, come: str, made: str) -> None:
    assert pattern(gone, come) == made
