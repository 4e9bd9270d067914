"""What stands in a body's scope, what is sketched with it, and what is refused or put off."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import torch

from diffufix.config import Settings
from diffufix.decode.leaning import leaned
from diffufix.generate.body import Body, required, returns_its_type
from diffufix.generate.choose import choose
from diffufix.generate.job import GenerateJob
from diffufix.generate.scope import COMPLETED, BodyNames, attributes
from diffufix.source.functions import FunctionNode

SOURCE = '''class Shelf:
    room: int
    LIMIT: ClassVar[int] = 3

    def __init__(self, books):
        self.books = books

    @property
    def full(self) -> bool:
        return len(self.books) >= self.room

    def wanted(self, titles: list[str], most: int, _unused=None) -> int:
        """How many of them are missing here."""
        raise NotImplementedError


def plain(one, two):
    """Together."""
    raise NotImplementedError
'''
MASK = 0


class Words:
    """A tokenizer of pieces: at most three letters, a blank belongs to what follows it."""

    def __init__(self) -> None:
        self.pieces = ["<mask>"]

    def encode(self, text: str) -> list[int]:
        found = re.findall(r" ?[A-Za-z_]{1,3}|[A-Za-z_]{1,3}| ?//|\s?[^\w\s]|\d|\s", text)
        self.pieces += [piece for piece in dict.fromkeys(found) if piece not in self.pieces]
        return [self.pieces.index(piece) for piece in found]

    def decode(self, ids) -> str:
        return "".join(self.pieces[i] for i in ids)


@pytest.fixture
def bodies(tmp_path: Path) -> dict[str, Body]:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "shelf.py").write_text(SOURCE)
    job = GenerateJob(Settings(tmp_path), choose(tmp_path, tmp_path, ["shelf.py"], True))
    return {task.function.qualname: task.body for task in job.tasks}


@pytest.fixture
def words() -> Words:
    return Words()


def scope_of(body: Body, words: Words) -> BodyNames:
    return BodyNames(body, words.encode, words.decode, MASK)


def test_the_attributes_of_a_class() -> None:
    assert attributes(SOURCE, "Shelf.wanted") == (["room", "books"], ["full"])
    assert attributes(SOURCE, "plain") == ([], [])
    assert attributes(SOURCE, "Nowhere.f") == ([], [])


def test_what_a_body_computes_with(bodies: dict[str, Body], words: Words) -> None:
    scope = scope_of(bodies["Shelf.wanted"], words)
    assert scope.operands() == ["titles", "most", "self.room", "self.books"]
    assert scope_of(bodies["plain"], words).operands() == ["one", "two"]


def test_sketches_name_what_is_in_scope(bodies: dict[str, Body], words: Words) -> None:
    sketches = set(scope_of(bodies["plain"], words).sketches())
    assert (" one", 1, " two") in sketches
    assert (" two", 1, " one") in sketches
    assert all("one" in str(sketch) or "two" in str(sketch) for sketch in sketches)
    texts = ["".join("m" if isinstance(p, int) else p for p in sketch) for sketch in sketches]
    assert "m(xm for x in one)" in texts


def hint_of(scope: BodyNames, words: Words, *parts: str | int) -> dict[str, float]:
    """The hint for the only place that is a mask by itself (`1`), others are numbers of masks."""
    ids = [i for part in parts for i in (words.encode(part) if isinstance(part, str) else [MASK])]
    return {words.decode([token]): share for token, share in scope.hints(ids)[0]}


def test_places_lean_by_their_neighbours(bodies: dict[str, Body], words: Words) -> None:
    scope = scope_of(bodies["Shelf.wanted"], words)
    operand = hint_of(scope, words, "return", 1, " +")
    assert operand[" tit"] == operand[" mos"] > operand[" sel"] > operand[" len"]
    said = hint_of(scope, words, "return most +", 1)
    assert said[" tit"] > said[" mos"]
    assert {" +", ".", "("} <= set(hint_of(scope, words, "return most", 1))
    assert " tit" not in hint_of(scope, words, "return most", 1)
    assert set(hint_of(scope, words, "return self.", 1)) == {"roo", "boo", "ful"}
    assert hint_of(scope, words, "return 'a'.", 1) == {}


def test_parts_of_a_name_become_the_name(bodies: dict[str, Body], words: Words) -> None:
    scope = scope_of(bodies["Shelf.wanted"], words)
    assert hint_of(scope, words, "return tit", 1) == {"les": COMPLETED}
    before = hint_of(scope, words, "return(", 1, "les", ")")
    assert set(before) == {"tit", " tit"}
    assert "les" not in hint_of(scope, words, "return titles", 1)


def test_leaned_rows_are_distributions() -> None:
    logps = torch.randn(3, 9).log_softmax(-1)
    mixed = leaned(logps, [[(2, 0.5), (4, 0.25)], [], [(8, 0.1)]])
    assert torch.allclose(mixed.exp().sum(-1), torch.ones(3), atol=1e-5)
    assert torch.allclose(mixed[1], logps[1])
    expected = 0.25 * float(logps[0, 2].exp()) + 0.5
    assert float(mixed[0, 2].exp()) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("hint", "value", "fits"),
    [
        ("float", "a, 1", False), ("float", "a + 1", True), ("float", "len(a)", True),
        ("int", "not a", True), ("str", "not a", False), ("float", "a < 1", False),
        ("str", "sorted(a)", False),
        ("list[int]", "(x for x in a)", False), ("list[int]", "[x for x in a]", True),
        ("int | None", "None", True), ("bool", "0", False), ("Thing", "(1, 2)", True),
        ("int", "float(a)", False), ("'str'", "f'{a}'", True), ("dict[str, int]", "{}", True),
        ("int", "str(a)", True),
    ],
)  # fmt: skip
def test_a_value_plainly_of_another_type(hint: str, value: str, fits: bool) -> None:
    shadow = ", str" if value == "str(a)" else ""
    node = ast.parse(f"def f(a{shadow}) -> {hint}:\n    return {value}").body[0]
    assert isinstance(node, FunctionNode)
    assert returns_its_type(node) is fits


def test_a_change_of_the_wrong_type_is_none(bodies: dict[str, Body]) -> None:
    body = bodies["Shelf.wanted"]
    assert body.change(body.hole, "return titles, most") is None
    assert body.change(body.hole, "return len(titles) - most") is not None


def test_bodies_that_leave_a_parameter_out(bodies: dict[str, Body], words: Words) -> None:
    body = bodies["Shelf.wanted"]
    assert required(body.function.node) == ["titles", "most"]
    assert body.change(body.hole, "return len(titles)") is not None
    body.strict = True
    assert body.change(body.hole, "return len(titles) + 1") is None
    assert body.change(body.hole, "return len(titles) + most") is not None
    scope = scope_of(body, words)
    begun = words.encode("return ")
    assert not scope.may_use_all([*begun, MASK])
    assert scope.may_use_all([*begun, MASK, MASK])
    assert scope.may_use_all([*begun, MASK, *words.encode(" + most")])
    assert scope.may_use_all(begun)
