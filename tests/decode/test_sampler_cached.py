"""The shared context: where it is exact, and that it decodes like the exact way elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from diffufix.decode import infill, open_context
from diffufix.decode.canvas import inline_canvas
from diffufix.decode.context.kept import CachedHole, kept_rows, nearest, new_rows, renewed
from diffufix.model import load_model
from tests.support.checkpoints import make_dream_checkpoint


@pytest.fixture(scope="module", params=[False, True], ids=["fixed", "dreamon"])
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cached") / "checkpoint"
    make_dream_checkpoint(folder, expand_delete=request.param, layers=3)
    return load_model(folder, device="cpu")


@pytest.fixture
def canvas(model):
    return inline_canvas(model, "def f(a):\n    b = a\n    return ", "\n\nprint(f(2))\n")


def test_the_first_pass_is_exact(model, canvas):
    mask = model.family.mask
    holes = [(0, (mask,) * length) for length in (1, 4, 2, 4)]
    exact = open_context(model, [canvas]).logits(holes)
    shared = open_context(model, [canvas], refresh=8).logits(holes)
    torch.testing.assert_close(shared, exact, rtol=1e-4, atol=1e-4)


def test_renewed_every_pass_it_is_exact_while_fills_agree(model, canvas):
    options: dict[str, Any] = {"lengths": [5], "max_tokens": 9, "temperature": 0.0}
    exact = infill(model, canvas, 3, **options)
    shared = infill(model, canvas, 3, refresh=1, **options)
    for one, two in zip(exact, shared, strict=True):
        assert (one.ids, one.order) == (two.ids, two.order)
        assert one.logp == pytest.approx(two.logp, abs=1e-3)


def test_it_stays_close(model, canvas):
    """Even with the first context kept, a half-filled hole is predicted much the same."""
    mask = model.family.mask
    ids = model.tokenizer.encode(" a + b")
    hole = [ids[0], mask, ids[1], mask]
    shared = open_context(model, [canvas], refresh=0)
    shared.logits([(0, (mask,) * 4)])
    exact = open_context(model, [canvas]).logits([(0, hole)]).softmax(-1)
    assert (shared.logits([(0, hole)]).softmax(-1) - exact).abs().sum(-1).max() / 2 < 0.3


def test_options_work_together(model, canvas):
    fills = infill(model, canvas, 6, lengths=[3, 5], max_tokens=8, temperature=1.0, refresh=2,
                   tokens_per_step=2, generator=torch.Generator().manual_seed(0))  # fmt: skip
    assert len(fills) == 6
    assert not {i for fill in fills for i in fill.ids} & set(model.banned)


def test_many_prompts_and_lengths_share_a_pass(model, canvas):
    """Holes of several prompts and lengths, some of them half filled, each beside its own sides."""
    mask = model.family.mask
    other = inline_canvas(model, "x = 1\ny = ", "\nprint(x, y)\n")
    ids = model.tokenizer.encode(" a + b")
    holes = [(0, (mask,) * 3), (1, (mask,) * 2), (0, (mask,) * 3), (1, (ids[0], mask))]
    exact = open_context(model, [canvas, other])
    shared = open_context(model, [canvas, other], refresh=0)
    torch.testing.assert_close(
        shared.logits(holes[:3]), exact.logits(holes[:3]), rtol=1e-4, atol=1e-4
    )
    assert shared.logits(holes).shape == exact.logits(holes).shape
    # around what was encoded it is exact however the holes are ordered
    again = torch.cat([shared.logits([hole]) for hole in (holes[1], holes[0])])
    expected = torch.cat([exact.logits([hole]) for hole in (holes[1], holes[0])])
    torch.testing.assert_close(again, expected, rtol=1e-4, atol=1e-4)


def test_a_pass_is_cut_where_it_would_be_too_large(model, canvas, monkeypatch):
    holes = [(0, (model.family.mask,) * (1 + i % 5)) for i in range(23)]
    context = open_context(model, [canvas])
    whole = context.logits(holes)
    rows = []
    hidden = model.hidden

    def counted(ids, *rest):
        rows.append(ids.numel())
        return hidden(ids, *rest)

    monkeypatch.setattr(model, "hidden", counted)
    monkeypatch.setattr("diffufix.decode.context.in_place.TOKENS", 100)
    torch.testing.assert_close(context.logits(holes), whole, rtol=1e-4, atol=1e-4)
    assert max(rows) <= 100
    assert len(rows) > 1


@pytest.mark.parametrize("expands", [False, True], ids=["fixed", "dreamon"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_of_one_layer_it_is_exact(tmp_path, expands, temperature):
    """There a token's keys and values depend on the token alone: nothing that is kept grows old."""
    folder = make_dream_checkpoint(tmp_path / "one", expand_delete=expands, layers=1)
    model = load_model(folder, device="cpu")
    canvas = inline_canvas(model, "def f(a):\n    b = a\n    return ", "\n\nprint(f(2))\n")
    options: dict[str, Any] = {
        "lengths": [7, 4],
        "max_tokens": 12,
        "temperature": temperature,
        "top_p": 0.9,
    }
    exact, shared = (
        infill(
            model, canvas, 6, refresh=refresh, generator=torch.Generator().manual_seed(3), **options
        )
        for refresh in (None, 0)
    )
    for one, two in zip(exact, shared, strict=True):
        assert (one.ids, one.order) == (two.ids, two.order)
        assert one.logp == pytest.approx(two.logp, abs=1e-3)


MASK = 0


def kept(*ids: int) -> CachedHole:
    return CachedHole(ids, torch.zeros(len(ids) + 1, 1, 2, 1, 1))


def test_a_hole_goes_on_from_the_one_it_came_from():
    before = [kept(0, 0, 0), kept(5, 0, 0), kept(5, 0, 7), kept(6, 0, 0)]
    assert nearest((5, 8, 7), before, MASK) is before[2]
    assert nearest((5, 8, 0), before, MASK) is before[1]
    assert nearest((9, 0, 0), before, MASK) is before[0]
    assert nearest((9, 0, 0), before[1:], MASK) is None
    assert new_rows((5, 0, 7), before[1], MASK, 1) == [1, 3]  # predicts the mask; changed
    assert new_rows((5, 0, 7), before[1], MASK, 0) == [1, 2]
    assert new_rows((5, 0, 7), None, MASK, 1) == [0, 1, 2, 3]


def test_rows_that_are_kept_stay_as_they_were():
    before = kept(0, 0, 0)
    own = torch.ones(2, 1, 2, 1, 1)
    after = renewed((5, 0, 0), before, [1, 2], own)
    assert after.ids == (5, 0, 0)
    assert after.rows[:, 0, 0, 0, 0].tolist() == [0, 1, 1, 0]
    assert before.rows.sum() == 0
    assert kept_rows(after, [0, 3])[:, 0, 0, 0, 0].tolist() == [1, 1]
