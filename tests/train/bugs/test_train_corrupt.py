"""Bugs that are put into functions: where they lie, what they look like, how they are undone."""

from __future__ import annotations

import ast
import random
import warnings
from collections import Counter

import pytest

from diffufix.propose.holes import holes
from diffufix.source.edits import Edit, apply, before_edits, splice
from diffufix.source.functions import docstring_of, functions
from diffufix.source.spans import Text
from diffufix.train.bugs.confusions import other_number, other_string
from diffufix.train.bugs.corrupt import WEIGHTS, Corruptor
from diffufix.train.bugs.parsing import function, parse
from diffufix.train.pretrain.examples import _draw
from tests.support.mini import library_functions


def every_edit(source: str, draws: int = 3000) -> set[tuple[str, str]]:
    """(kind, corrupted source) of all that many draws give."""
    corruptor, rng = Corruptor(source, functions(ast.parse(source))[0][1]), random.Random(0)
    edits = {edit for _ in range(draws) if (edit := corruptor.draw(rng))}
    return {(edit.kind, apply(source, [edit])[0]) for edit in edits}


def parses(source: str) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except SyntaxError:
        return False
    return True


def test_edits_differ_and_lie_in_the_body() -> None:
    kinds: Counter[str] = Counter()
    runs = 0
    for seed, source in enumerate(library_functions()):
        rng = random.Random(seed)
        parsed = parse(source, rng)
        assert parsed is not None
        text, node = parsed
        body = node.body[1:] if docstring_of(node) else node.body
        corruptor = Corruptor(text, node)
        for _ in range(12):
            edit = corruptor.draw(rng)
            if edit is None:
                continue
            start, end = Text(text).span(body[0])[0], Text(text).span(body[-1])[1]
            assert text[edit.start : edit.end] != edit.text
            assert edit.start >= start or not text[edit.start : start].strip(" \n")
            assert edit.start <= edit.end <= end
            broken, _ = apply(text, [edit])
            assert broken != text
            kinds[edit.kind] += 1
            runs += parses(broken)
    assert set(kinds) == set(WEIGHTS), "a kind that is never drawn"
    assert runs > 0.8 * sum(kinds.values())


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("name", "return x", "return y"),
        ("flip", "return min(x, y)", "return max(x, y)"),
        ("flip", "return x and y", "return x or y"),
        ("binary", "return x + y", "return x - y"),
        ("compare", "return x < y", "return x <= y"),
        ("augmented", "x += y; return x", "x -= y; return x"),
        ("number", "return x + 3", "return x + 4"),
        ("string", "return x + 'ab'", "return x + 'a'"),
        ("attribute", "return x.low + x.high", "return x.high + x.high"),
        ("unwrap", "return abs(x)", "return x"),
        ("wrap", "return x", "return len(x)"),
        ("drop-method", "return x.strip()", "return x"),
        ("add-method", "return x", "return x.strip()"),
        ("drop-operand", "return x + y", "return x"),
        ("add-operand", "return x", "return x + 1"),
        ("arguments", "return g(x, y)", "return g(y, x)"),
        ("arguments", "return g(x, y)", "return g(x)"),
        ("arguments", "return g()", "return g(x)"),
        ("swap-operands", "return x - y", "return y - x"),
        ("swap-operands", "return x < y", "return y < x"),
        ("not", "return not x", "return x"),
        ("not", "return x", "return not x"),
        ("drop-condition", "return x and y and 1", "return x and 1"),
        ("add-condition", "return x < y", "return x < y or x < 0"),
        ("slice", "return x[1:y]", "return x[1:]"),
        ("slice", "return x[y]", "return x[y + 1]"),
        ("slice", "return x[y]", "return x"),
        ("elements", "return (x, y)", "return (y, x)"),
        ("copy-expression", "return x + g(y)", "return x + g(x)"),
        ("ternary", "return x if y else 1", "return 1 if y else x"),
        ("drop-comprehension-if", "return [a for a in x if a > y]", "return [a for a in x]"),
        ("drop-statement", "x = 1\n    return x", "return x"),
        ("duplicate", "g(x)", "g(x)\n    g(x)"),
        ("drop-guard", "if x:\n        y = 1\n    return y", "y = 1\n    return y"),
        ("indent", "if x:\n        y = 1\n    return y", "if x:\n        y = 1\n        return y"),
        ("indent", "if x:\n        g()\n        h()", "if x:\n        g()\n    h()"),
        ("swap-statements", "x = 1\n    y = 2", "y = 2\n    x = 1"),
        ("drop-return", "return x", "x"),
    ],
)
def test_every_kind_of_bug(kind: str, before: str, after: str) -> None:
    frame = "def f(x, y):\n    {}\n"
    assert (kind, frame.format(after)) in every_edit(frame.format(before))


def test_a_function_that_offers_nothing() -> None:
    for source in ("def f():\n    'only a docstring'\n", "def f(): ...\n"):
        corruptor = Corruptor(source, functions(ast.parse(source))[0][1])
        rng = random.Random(0)
        assert all(corruptor.draw(rng) is None for _ in range(20))


def test_literals() -> None:
    rng = random.Random(0)
    for text in ("3", "0x10", "1_000", "2.5", "1e3"):
        made = {other_number(text, rng) for _ in range(50)}
        assert len(made) > 2
        assert all(ast.literal_eval(str(value)) is not None for value in made)
    assert other_number("3j", rng) is None
    for text in ("'ab'", '"a b"', "''"):
        made = {other_string(text, ["cd"], rng) for _ in range(80)} - {None}
        assert any("cd" in str(value) for value in made)
        assert all(isinstance(ast.literal_eval(str(value)), str) for value in made)
    for text in ("b'ab'", "'a\\nb'", "'" + "a" * 61 + "'"):
        assert other_string(text, [], rng) is None


def test_holes_of_broken_functions_map_back_to_what_was_there() -> None:
    """Put back what a hole's boundaries enclose in the original: the bugs inside the hole are
    mended, those outside stay, and nothing else changes."""
    mapped = mended = 0
    for seed, source in enumerate(library_functions() * 2):
        rng = random.Random(f"map/{seed}")
        parsed = parse(source, rng)
        assert parsed is not None
        text, node = parsed
        edits = _draw(text, node, rng)
        broken, places = apply(text, edits)
        reparsed = function(broken, node.name)
        if not edits or reparsed is None:
            continue
        for hole in holes(broken, reparsed):
            left = before_edits(hole.start, places, False)
            right = before_edits(hole.end, places, True)
            if left is None or right is None:
                inside = [(a, b) for a, b, _, _ in places if a < hole.start < b or a < hole.end < b]
                assert inside, "lost without reason"
                continue
            if left > right:
                continue
            mapped += 1
            outside = [
                edit
                for edit, (a, b, _, _) in zip(edits, places, strict=True)
                if not (hole.start <= a and b <= hole.end and (left <= edit.start <= right))
            ]
            result = splice(broken, hole, text[left:right])
            choices = {apply(text, outside)[0], apply(text, edits)[0]}
            assert result in choices, (edits, hole)
            mended += result != broken
    assert mapped > 5000
    assert mended > 500


def test_apply_puts_edits_where_they_belong() -> None:
    text = "abcdef"
    edits = [Edit(1, 2, "BBB", ""), Edit(3, 3, "+", ""), Edit(4, 6, "", "")]
    broken, places = apply(text, edits)
    assert broken == "aBBBc+d"
    assert [broken[a:b] for a, b, _, _ in places] == [edit.text for edit in edits]
    assert [text[c:d] for _, _, c, d in places] == ["b", "", "ef"]
