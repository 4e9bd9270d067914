"""What a failing test said, as a small model is shown it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from diffufix.decode.aside import AsideContext, HoleSpan
from diffufix.decode.layout import context_ids
from diffufix.model.checkpoint import LoadedModel, load_model
from diffufix.propose.candidates import EditTarget
from diffufix.propose.failure import MAX_FAILURE, MAX_MESSAGE, calls, encode, failure_text
from diffufix.propose.proposals import FailureContext
from diffufix.propose.propose import propose
from diffufix.types import SuspiciousFunction

TESTS = """\
import shop

def helper():
    return shop.price(1)

class TestPrice:
    @shop.mark
    def test_price(self):
        prices = shop.prices()
        assert shop.price(3) == 4
        assert prices

def test_other(x):
    assert shop.price(x)
"""


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model("mini", device="cpu", dtype="float32")


def test_the_calls_are_the_tests_own_lines_with_the_functions_name() -> None:
    assert calls("t.py::TestPrice::test_price", TESTS, "Shop.price") == [
        "assert shop.price(3) == 4"
    ]
    assert calls("t.py::test_other[1::2]", TESTS, "price") == ["assert shop.price(x)"]


@pytest.mark.parametrize(
    ("test", "source"), [("t.py::test_gone", TESTS), ("t.py", TESTS), ("t.py::test_x", "def (")]
)
def test_a_test_that_is_not_found_has_no_calls(test: str, source: str) -> None:
    assert calls(test, source, "price") == []


def test_the_message_is_one_line_and_the_calls_stand_below() -> None:
    text = failure_text("E:  a\n  b", "t.py::TestPrice::test_price", TESTS, "price")
    assert text == "E: a b\nassert shop.price(3) == 4"


def test_addresses_are_left_out() -> None:
    said = "TypeError: <shop.Shelf object at 0x7F91a0> is full"
    assert failure_text(said, "t.py::x", "", "price") == "TypeError: <shop.Shelf object> is full"


def test_a_long_message_leaves_room_for_the_calls(model: LoadedModel) -> None:
    tokenizer = model.tokenizer
    ids = encode(tokenizer, "ValueError: " + "x9 " * 500 + "\nassert price(3) == 4")
    assert len(ids) <= MAX_FAILURE
    assert tokenizer.decode(ids[MAX_MESSAGE:]) == "\nassert price(3) == 4"
    assert len(encode(tokenizer, "m\n" + "price(1) " * 500)) == MAX_FAILURE
    assert encode(tokenizer, "") == ()


def test_the_failure_stands_behind_the_context_and_moves_nothing(model: LoadedModel) -> None:
    family = model.family
    plain, told = context_ids(family, [20, 21]), context_ids(family, [20, 21], [30, 31])
    assert told[: len(plain)] == plain
    assert told[len(plain) :] == [30, 31, family.eos]


def test_what_the_test_said_changes_the_prediction(model: LoadedModel) -> None:
    ids = model.tokenizer.encode("def price(n):\n    return n\n")
    place = HoleSpan(3, 4, (ids[2],))
    hole = [(model.family.mask,)]
    said = encode(model.tokenizer, "NameError: name 'amount' is not defined")
    plain = AsideContext(model, ids).logits([place], hole)
    assert torch.equal(plain, AsideContext(model, ids, failure=()).logits([place], hole))
    assert not torch.allclose(plain, AsideContext(model, ids, failure=said).logits([place], hole))


@pytest.mark.parametrize("reads", [True, None])
def test_only_a_model_that_reads_failures_is_shown_them(
    model: LoadedModel, monkeypatch: pytest.MonkeyPatch, reads: bool | None
) -> None:
    monkeypatch.setattr(model, "family", replace(model.family, failure=reads))
    source = "def price(n):\n    return n - 1\n"
    subject = EditTarget(SuspiciousFunction("shop.py", "price", 1, 2, 1.0, {}), source)
    story = FailureContext("t.py::test_price", "def test_price():\n    assert price(3) == 4\n",
                  message="AssertionError: assert 2 == 4")  # fmt: skip

    def first(story: FailureContext) -> list[tuple[str, float]]:
        found = propose(model, [subject], story)
        return [(p.text, round(p.score, 4)) for p, _ in zip(found, range(5), strict=False)]

    assert (first(story) != first(FailureContext(""))) == bool(reads)
    made = "AssertionError: assert 2 == 4\nassert price(3) == 4"
    assert first(story) == first(FailureContext("", told=made if reads else ""))
