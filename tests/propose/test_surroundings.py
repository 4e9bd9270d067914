"""What a small model is shown around a function."""

from __future__ import annotations

import ast

import pytest

from diffufix.model.tokenizer import Tokenizer, load_tokenizer
from diffufix.propose.holes import inside_strings
from diffufix.propose.surroundings import FileOutline, Survey, beside, chosen, shown
from diffufix.source.functions import FunctionNode, functions
from diffufix.train.pretrain.fresh import mini_family
from tests.support.mini import write_tokenizer

SOURCE = """\
import os
import json as js
from typing import Any, cast

LIMIT = 10
TABLE = {"a": 1}


def helper(value: int, *, deep: bool = False) -> int:
    hidden_local = value
    return hidden_local


class Other(Base):
    size = 3

    def unrelated(self): ...


class Store(Base):
    kind: str = "plain"

    def __init__(self, path):
        self.path = path
        self.items = []

    def load(self, name):
        if os.path.exists(self.path):
            return helper(name, deep=LIMIT > 3)
        return None

    def save(self):
        js.dump(self.items, zebra_stream)
"""


def around(qualname: str) -> tuple[FileOutline, str]:
    tree = ast.parse(SOURCE)
    node = next(node for name, node in functions(tree) if name == qualname)
    text = ast.get_source_segment(SOURCE, node) or ""
    return Survey(SOURCE, tree).around(node, text), text


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return load_tokenizer(write_tokenizer(tmp_path_factory.mktemp("tokenizer")))


def test_the_outline_has_what_a_function_refers_to_and_its_own_class() -> None:
    found, text = around("Store.load")
    lines = found.outline.split("\n")
    assert "import os" in lines
    assert "LIMIT = 10" in lines
    assert "def helper(value: int, *, deep: bool=False) -> int: ..." in lines
    assert "class Store(Base):" in lines
    assert "    # self: path, items" in lines
    assert "    kind = 'plain'" in lines
    assert "    def save(self): ..." in lines
    assert not any("def load" in line for line in lines)  # what is shown anyway
    assert "    size = 3" not in lines  # another class's
    few = chosen(found.outline, text, room=120)
    assert {"import os", "class Store(Base):"} <= set(few)
    assert "    def unrelated(self): ..." not in few
    assert few == [line for line in lines if line in few]


def test_names_are_those_of_the_file_that_are_said_nowhere_else() -> None:
    found, text = around("Store.load")
    assert "zebra_stream" in found.names
    assert "hidden_local" in found.names
    for name in found.names:
        assert name not in text
        assert name not in found.outline


def test_a_family_reads_as_much_as_it_says(tokenizer: Tokenizer) -> None:
    family = mini_family(failure=True)
    node = next(n for name, n in functions(ast.parse(SOURCE)) if name == "Store.load")
    assert isinstance(node, FunctionNode)
    ids = beside(tokenizer, family, SOURCE, node, "boom\nStore('x').load(1)")
    assert family.outline in ids
    assert family.names in ids
    failure = tokenizer.decode(ids[: ids.index(family.outline)])
    assert failure == "boom\nStore('x').load(1)"
    outline = tokenizer.decode(ids[ids.index(family.outline) + 1 : ids.index(family.names)])
    assert "LIMIT = 10" in outline
    from dataclasses import replace

    poor = replace(family, outline=None, names=None)
    assert beside(tokenizer, poor, SOURCE, node, "boom") == tuple(tokenizer.encode("boom"))
    silent = replace(poor, failure=None)
    assert beside(tokenizer, silent, SOURCE, node, "boom") == ()
    assert shown(tokenizer, family, "x", FileOutline()) == ()


def test_holes_inside_of_strings_are_words_escapes_and_marks() -> None:
    source = 'def f(a):\n    """Doc "x"."""\n    b = "two words\\n%s" + r"\\d+" + f"{a!r} end"\n'
    (_, node), *_ = functions(ast.parse(source))
    found = [source[hole.start : hole.end] for hole in inside_strings(source, node)]
    assert {"two", "words", "\\n", "%", "s", "\\d", "+", "\\d+", "two words\\n%s"} <= set(found)
    assert "Doc" not in found
    assert "end" in found
