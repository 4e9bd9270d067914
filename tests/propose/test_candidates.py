"""From fills to candidates: what is dropped, what is kept, and how changes come together."""

from __future__ import annotations

import ast
import textwrap

import pytest

from diffufix.propose.candidates import Change, EditTarget, PatchSet
from diffufix.types import Hole, Kind, SuspiciousFunction

SOURCE = textwrap.dedent('''
    import math
    from os import path as where

    LIMIT = 10


    class Box:
        """A box."""

        def area(self, other=1):
            """Width times height."""
            total = self.width * other
            if total > LIMIT:
                return None
            return total


    def plain(a, b):
        return a + b
''')


def subject(qualname: str, source: str = SOURCE) -> EditTarget:
    return EditTarget(SuspiciousFunction("box.py", qualname, 1, 99, 1.0, {}), source)


def fill(made: EditTarget, old: str, new: str) -> str | None:
    """The file's text with `old` replaced, or None where the fill is no candidate."""
    start = made.source.index(old, made.start)
    change = made.change(Hole(start, start + len(old), Kind.EXPRESSION), new)
    if change is None:
        return None
    assert change == Change("box.py", start, start + len(old), new)
    files = PatchSet({"box.py": made.source}).files(change)
    assert files is not None
    return files["box.py"]


def test_a_change_is_the_file_with_the_fill() -> None:
    assert fill(subject("plain"), "a + b", "a - b") == SOURCE.replace("a + b", "a - b")
    expected = SOURCE.replace("self.width * other", "self.width + other")
    assert fill(subject("Box.area"), "self.width * other", "self.width + other") == expected


def test_what_was_seen_is_not_made_again() -> None:
    made = subject("plain")
    assert fill(made, "a + b", "a + b") is None
    assert fill(made, "a + b", "(a  +  b)  # the same") is None
    assert fill(made, "a + b", "a - b") is not None
    assert fill(made, "a + b", "(a - b)") is None
    assert fill(made, "+", "-") is None, "the same by another hole"
    assert fill(subject("plain"), "+", "-") is not None, "every subject has a memory of its own"


@pytest.mark.parametrize(
    "new",
    [
        "a +",  # does not parse
        "a)\nx = (1",
        "a\n\n\ndef other(): pass",  # something beside the function
        "a\nLIMIT = 3",
        "unknown + 1",  # a name that nothing defines
        "a if (b := c) else c",
        "\x00",
    ],
)
def test_fills_that_cannot_be(new: str) -> None:
    assert fill(subject("plain"), "a + b", new) is None


@pytest.mark.parametrize(
    "new",
    ["LIMIT", "math.inf", "where", "Box", "len(a)", "(c := a) + c", "[q for q in a]", "plain"],
)
def test_names_that_something_defines(new: str) -> None:
    assert fill(subject("plain"), "a + b", new) is not None


def test_names_after_a_star_import_are_believed() -> None:
    source = SOURCE.replace("import math", "from math import *")
    assert fill(subject("plain", source), "a + b", "unknown + 1") is not None


def test_a_function_stays_what_it_is_called() -> None:
    assert fill(subject("plain"), "plain", "other") is None
    assert fill(subject("plain"), "def plain", "async def plain") is None
    assert fill(subject("plain"), "def plain(a, b)", "class plain") is None


def test_methods_stay_inside_their_class() -> None:
    for new in ("return 1\n\n    def more(self): pass", "return 1\nx = 2", "return 1\n  return 2"):
        assert fill(subject("Box.area"), "return total", new) is None
    new = "if other:\n            return 2\n        return total"
    made = fill(subject("Box.area"), "return total", new)
    assert made is not None
    ast.parse(made)


def test_two_statements_more() -> None:
    made = subject("Box.area")
    at = SOURCE.index("total = self.width * other") + len("total = self.width * other")
    change = made.change(Hole(at, at, Kind.INSERTION), "\n        total += 1")
    assert change is not None
    files = PatchSet({"box.py": SOURCE}).files(change)
    assert files == {"box.py": SOURCE[:at] + "\n        total += 1" + SOURCE[at:]}


def test_a_whole_module() -> None:
    made = subject("<module>")
    assert (made.start, made.end) == (0, len(SOURCE))
    assert fill(made, "10", "11") == SOURCE.replace("10", "11")
    assert fill(made, "10", "undefined") is None


def test_crlf_tabs_and_other_letters() -> None:
    source = "class A:\r\n\tdef f(self):\r\n\t\té = 'ü'\r\n\t\treturn é + 'x'\r\n"
    made = subject("A.f", source)
    assert fill(made, "é + 'x'", "é * 2") == source.replace("é + 'x'", "é * 2")
    assert fill(made, "return é + 'x'", "é += 'y'\r\n\t\treturn é") is not None
    assert fill(made, "return é + 'x'", "é += 'y'\r\n\treturn é") is None


def test_a_file_that_does_not_parse() -> None:
    with pytest.raises(SyntaxError):
        subject("f", "def f(:\n")


def test_a_function_that_is_not_there() -> None:
    assert subject("gone").node is None


# -- assembly --------------------------------------------------------------------------------------


def test_changes_of_several_files_come_together() -> None:
    texts = {"a.py": "abcdef", "b.py": "xyz", "c.py": "untouched"}
    assembly = PatchSet(texts, [Change("a.py", 4, 5, "EEE"), Change("b.py", 0, 0, ">")])
    files = assembly.files(Change("a.py", 0, 2, ""), Change("a.py", 2, 2, "+"))
    assert files == {"a.py": "+cdEEEf", "b.py": ">xyz"}
    assert assembly.files() == {"a.py": "abcdEEEf", "b.py": ">xyz"}
    assert texts["a.py"] == "abcdef"


@pytest.mark.parametrize(
    ("one", "two", "overlap"),
    [
        ((1, 3), (2, 4), True), ((1, 3), (1, 3), True), ((1, 4), (2, 3), True),
        ((1, 3), (2, 2), True), ((1, 3), (3, 4), False), ((1, 3), (3, 3), False),
        ((1, 3), (1, 1), False), ((2, 2), (2, 2), False),
    ],
)  # fmt: skip
def test_changes_that_overlap_do_not(
    one: tuple[int, int], two: tuple[int, int], overlap: bool
) -> None:
    first, second = Change("a.py", *one, "1"), Change("a.py", *two, "2")
    assert first.overlaps(second) == second.overlaps(first) == overlap
    assert not first.overlaps(Change("b.py", *two, "2"))
    files = PatchSet({"a.py": "abcdef"}, [first]).files(second)
    assert (files is None) == overlap
