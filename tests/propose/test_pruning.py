"""What the search gives up early: nothing that could still become a candidate."""

from __future__ import annotations

import ast
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffufix.propose.candidates import EditTarget
from diffufix.propose.pruning import Pruner, balanced
from diffufix.types import Hole, Kind, SuspiciousFunction

SOURCE = textwrap.dedent("""
    import math

    def f(numbers, threshold):
        best = max(numbers)
        return best - threshold
""")
SUBJECT = EditTarget(SuspiciousFunction("a.py", "f", 4, 6, 1.0, {}), SOURCE)
MASK = 0


def pruner(old: str = "best - threshold", kind: Kind = Kind.EXPRESSION) -> Pruner:
    start = SOURCE.rindex(old)
    hole = Hole(start, start + len(old), kind)
    return Pruner(lambda ids: "".join(map(chr, ids)), MASK, [(SUBJECT, hole)])


def state(text: str) -> list[int]:
    """`_` is a mask."""
    return [MASK if char == "~" else ord(char) for char in text]


@pytest.mark.parametrize(
    "text",
    [
        "best + threshold", "best", "abs(best)", "math.floor(best)", "len(numbers) if best else 0",
        "best if ~ else threshold", "abs(~", "~)", "[~]", "(~) + ~", "be~", "~st - thre~",
        "~.anything",
        "[new ~~~~ in numbers]", "[n for n in ~]", "lambda q: q", "sorted(numbers, key=~)",
        "sorted(key=abs)", "'unknown ) name'", "not best", "best is not None", "-best", "best[:-1]",
        "best[~", "f(numbers, *~)", "lambda *, ke~", "1 ~ best", "~ best", "x~", "~mes",
    ],
)  # fmt: skip
def test_what_may_become_a_candidate_goes_on(text: str) -> None:
    assert pruner()(0, state(text))


@pytest.mark.parametrize(
    "text",
    [
        "best - threshold", "nobody", "nobody - ~", "nobody(~)", "best)", "(best", "[best)", "~[)",
        "best threshold", "best 1 ~", "(, best)", "best -)", "~ 1 2 ~", "f(best,, ~)",
    ],
)  # fmt: skip
def test_what_cannot_is_given_up(text: str) -> None:
    assert not pruner()(0, state(text))


def test_the_same_function_is_proposed_once_whatever_the_hole() -> None:
    start = SOURCE.rindex("best")
    wide = Hole(start, start + len("best - threshold"), Kind.EXPRESSION)
    narrow = Hole(start, start + len("best"), Kind.EXPRESSION)
    one = Pruner(lambda ids: "".join(map(chr, ids)), MASK, [(SUBJECT, wide), (SUBJECT, narrow)])
    assert one(0, state("max(numbers) - threshold"))
    assert not one(1, state("max(numbers)"))


def test_statements_may_bring_new_names() -> None:
    assert pruner("return best - threshold", Kind.STATEMENT)(0, state("new = 1\n    return new"))


EXPRESSIONS = st.recursive(
    st.sampled_from(["best", "numbers", "0", "threshold", "-1", "None"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from([" + ", " and ", " not in ", "//"]), inner).map("".join),
        inner.map("({})".format), inner.map("abs({})".format), inner.map("[{}]".format),
        st.tuples(inner, inner).map("max({0[0]}, {0[1]})".format),
        inner.map("numbers[:{}]".format),
        st.tuples(inner, inner, inner).map("({0[0]} if {0[1]} else {0[2]})".format),
        inner.map("[v for v in {}]".format), inner.map("sorted(numbers, key=lambda a: {})".format),
    ),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(EXPRESSIONS, st.data())
def test_no_way_to_a_right_fill_is_closed(text: str, data: st.DataObject) -> None:
    """Whatever part of a fill that parses and uses known names is still masked, it is kept."""
    ast.parse(f"({text})")
    hidden = data.draw(st.sets(st.integers(0, len(text) - 1), max_size=len(text)))
    shown = "".join("~" if i in hidden else char for i, char in enumerate(text))
    if text == "best - threshold" or ("v" in text.replace("v for v", "") and len(hidden) < 3):
        return
    new = "v for v" in text or "lambda a" in text
    assert pruner()(0, state(shown)) or (new and len(hidden) < 12)


@given(st.text("([{}])ab", max_size=12))
def test_whole_texts_balance_as_a_stack_says(text: str) -> None:
    stack: list[str] = []
    right = True
    for char in text:
        if char in "([{":
            stack.append(char)
        elif char in ")]}":
            right = right and bool(stack) and stack.pop() + char in ("()", "[]", "{}")
    assert balanced([text]) == (right and not stack)
