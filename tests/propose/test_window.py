"""The model's view of a function: which tokens it sees, and where holes are in it."""

from __future__ import annotations

import ast

import pytest

from diffufix.model.tokenizer import Tokenizer, load_tokenizer
from diffufix.propose.holes import holes
from diffufix.propose.window import MAX_DOCSTRING, Window, window
from diffufix.source.functions import FunctionNode, functions
from diffufix.types import Kind
from tests.support.mini import library_functions, write_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return load_tokenizer(write_tokenizer(tmp_path_factory.mktemp("tokenizer")))


def first(source: str) -> FunctionNode:
    return functions(ast.parse(source))[0][1]


def shown(source: str, view: Window) -> str:
    return "".join(source[start:end] for start, end in view.spans)


def long_function(lines: int, docstring: str = "") -> str:
    body = [f"    value_{i} = first + {i}\n" for i in range(lines)]
    head = "def long(first, second=10):\n" + (f'    """{docstring}"""\n' if docstring else "")
    return head + "".join(body) + "    return first\n"


def test_a_short_function_is_shown_whole_and_alone(tokenizer: Tokenizer) -> None:
    function = "    def short(self):\n        '''Doc.'''\n        return self.x"
    source = f"import os\n\n\nclass A:\n{function}\n\n    y = 1\n"
    view = window(source, first(source), tokenizer)
    assert shown(source, view) == function
    assert list(view.ids) == tokenizer.encode(function)


def test_module(tokenizer: Tokenizer) -> None:
    source = "LIMIT = 10\n\n\ndef f():\n    return LIMIT\n"
    assert shown(source, window(source, ast.parse(source), tokenizer)) == source


def test_every_hole_is_covered_by_as_few_tokens_as_possible(tokenizer: Tokenizer) -> None:
    found = 0
    for piece in library_functions()[:50]:
        source = "class A:\n" + piece if piece[0] == " " else piece
        node = first(source)
        view = window(source, node, tokenizer, budget=10**6)
        for hole in holes(source, node):
            located = view.locate(hole.start, hole.end)
            assert located is not None, source[hole.start - 20 : hole.end]
            start, end = located
            if hole.kind is Kind.INSERTION:
                assert start == end
                ends, starts = view.spans[start - 1][1], view.spans[start : start + 1]
                assert hole.start == ends or hole.start == starts[0][0]
                continue
            spans = view.spans[start:end]
            assert spans[0][0] <= hole.start < spans[0][1]
            assert spans[-1][0] < hole.end <= spans[-1][1]
            found += 1
    assert found > 1000


def test_locate_between_inside_and_outside_of_tokens() -> None:
    view = Window((1, 2, 3), ((4, 6), (6, 9), (12, 15)))
    for span, expected in [
        ((4, 6), (0, 1)), ((5, 6), (0, 1)), ((5, 7), (0, 2)), ((12, 13), (2, 3)),  # inside
        ((6, 6), (1, 1)), ((4, 4), (0, 0)), ((9, 9), (2, 2)), ((15, 15), (3, 3)),  # insertions
        ((12, 12), (2, 2)), ((7, 7), None), ((10, 10), None), ((2, 2), None), ((16, 16), None),
        ((8, 13), None), ((9, 12), None), ((3, 5), None), ((13, 16), None),  # gaps and beyond
    ]:  # fmt: skip
        assert view.locate(*span) == expected, span


def test_a_long_docstring_is_left_out(tokenizer: Tokenizer) -> None:
    for words, kept in [(3, True), (3 * MAX_DOCSTRING, False)]:
        source = long_function(3, "word " * words)
        view = window(source, first(source), tokenizer)
        assert ("word" in shown(source, view)) == kept
        assert shown(source, view).startswith("def long(first, second=10):\n")
        for hole in holes(source, first(source)):
            assert view.locate(hole.start, hole.end) is not None
        at = source.index("word")
        assert (view.locate(at, at + 4) is not None) == kept


def test_a_docstring_that_is_everything_stays(tokenizer: Tokenizer) -> None:
    source = long_function(0, "word " * 200).replace("    return first\n", "")
    assert "word" in shown(source, window(source, first(source), tokenizer))


@pytest.mark.parametrize("line", [0, 7, 100, 198, 199])
@pytest.mark.parametrize("docstring", ["", "word " * 100])
def test_a_cut_keeps_the_signature_the_focus_and_whole_lines(
    tokenizer: Tokenizer, line: int, docstring: str
) -> None:
    source = long_function(200, docstring)
    text = f"value_{line} = first + {line}\n"
    start = source.index(text)
    focus = start, start + len(text) - 1
    view = window(source, first(source), tokenizer, focus, budget=160)
    assert len(view.ids) <= 160
    assert len(view.ids) > 100
    assert view.locate(*focus) is not None
    assert view.spans == tuple(sorted(view.spans))
    pieces = shown(source, view).split("\n")
    assert pieces[0] == "def long(first, second=10):"
    assert {piece.strip() for piece in pieces} <= {piece.strip() for piece in source.split("\n")}
    assert text.strip() in [piece.strip() for piece in pieces]
    assert tokenizer.decode(view.ids) == shown(source, view)


def test_a_hole_across_a_cut_is_not_located(tokenizer: Tokenizer) -> None:
    source = long_function(200)
    view = window(source, first(source), tokenizer, None, budget=100)
    body = next(h for h in holes(source, first(source)) if h.kind is Kind.BODY)
    assert view.locate(body.start, body.end) is None
    assert view.locate(source.index("value_150"), source.index("value_150") + 5) is None


def test_crlf_and_blank_lines(tokenizer: Tokenizer) -> None:
    source = "def f(x):\r\n\r\n    # comment\r\n    return x + 1\r\n"
    view = window(source, first(source), tokenizer)
    assert shown(source, view) == source.rstrip("\r\n")
    at = source.index("x + 1")
    found = view.locate(at, at + 5)
    assert found is not None
    assert tokenizer.decode(view.ids[slice(*found)]).strip() == "x + 1"
