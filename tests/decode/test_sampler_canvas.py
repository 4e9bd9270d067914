"""Text to canvas to fills to text, with checkpoints in the layout of the hub."""

from __future__ import annotations

import pytest
import torch

from diffufix.decode import infill
from diffufix.decode.canvas import fill_text, inline_canvas
from diffufix.model import load_model
from tests.support.checkpoints import make_dream_checkpoint

LEFT, RIGHT = "def mid(a, b):\n    return ", "\n\nprint(mid(1, 2))\n"


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    folder = make_dream_checkpoint(tmp_path_factory.mktemp("m") / "DiffuCoder-7B-cpGRPO")
    return load_model(folder, device="cpu")


@pytest.fixture(scope="module")
def dreamon(tmp_path_factory):
    folder = make_dream_checkpoint(tmp_path_factory.mktemp("m") / "DreamOn", expand_delete=True)
    return load_model(folder, device="cpu")


def test_canvas_spells_the_texts(chat):
    canvas = inline_canvas(chat, LEFT, RIGHT, "a + b")
    decode = chat.tokenizer.decode
    assert decode(canvas.left) + canvas.lead == LEFT
    assert canvas.lead == " "
    assert decode(canvas.original) == " a + b"
    assert decode(canvas.right) == RIGHT


def test_chat_marks_are_tokens_for_chat_models_only(chat, dreamon):
    text = "<|im_start|>user\n"
    assert chat.tokenizer.id("<|im_start|>") in inline_canvas(chat, text, "").left
    assert dreamon.tokenizer.id("<|im_start|>") not in inline_canvas(dreamon, text, "").left


def test_expanding_models_get_a_frame(dreamon):
    canvas = inline_canvas(dreamon, "", "")
    assert canvas.left == (dreamon.family.bos,)
    assert canvas.right == (dreamon.family.eos,)


def test_long_contexts_keep_what_is_near(chat):
    canvas = inline_canvas(chat, "a = 1\n" * 3000 + LEFT, RIGHT + "b = 2\n" * 3000)
    assert len(canvas.left) + len(canvas.right) + 64 <= chat.max_context
    assert (chat.tokenizer.decode(canvas.left) + " ").endswith(LEFT)
    assert chat.tokenizer.decode(canvas.right).startswith(RIGHT)


@pytest.mark.parametrize("name", ["chat", "dreamon"])
def test_fills_are_text(name, request):
    model = request.getfixturevalue(name)
    canvas = inline_canvas(model, LEFT, RIGHT, "a + b")
    fills = infill(
        model, canvas, 6, max_tokens=12, temperature=1.0, generator=torch.Generator().manual_seed(0)
    )
    assert len(fills) == 6
    for fill in fills:
        assert not set(fill.ids) & {*model.banned, model.family.expand, model.family.delete}
        assert len(fill.ids) <= 12
        assert isinstance(fill_text(model, canvas, fill), str)


def test_the_lead_is_not_doubled(chat):
    canvas = inline_canvas(chat, LEFT, RIGHT, "a + b")
    (fill,) = infill(chat, canvas, 1, lengths=[1])
    ids = tuple(chat.tokenizer.encode(" a"))
    same = type(fill)(ids, (0.0,) * len(ids), tuple(range(len(ids))), 0.0, 1)
    assert fill_text(chat, canvas, same) == "a"
