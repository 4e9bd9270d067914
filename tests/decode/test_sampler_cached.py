"""The shared context: where it is exact, and that it decodes like the exact way elsewhere."""

from __future__ import annotations

import pytest
import torch

from diffufix.decode import InlineDenoiser, infill
from diffufix.decode.cached import CachedDenoiser
from diffufix.decode.canvas import inline_canvas
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
    holes = [[mask] * length for length in (1, 4, 2, 4)]
    exact = InlineDenoiser(model, canvas).logits(holes)
    shared = CachedDenoiser(model, canvas).logits(holes)
    torch.testing.assert_close(shared, exact, rtol=1e-4, atol=1e-4)


def test_renewed_every_pass_it_is_exact_while_fills_agree(model, canvas):
    options = {"lengths": [5], "max_tokens": 9, "temperature": 0.0}
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
    shared = CachedDenoiser(model, canvas, refresh=0)
    shared.logits([[mask] * 4])
    exact = InlineDenoiser(model, canvas).logits([hole]).softmax(-1)
    assert (shared.logits([hole]).softmax(-1) - exact).abs().sum(-1).max() / 2 < 0.3


def test_options_work_together(model, canvas):
    fills = infill(model, canvas, 6, lengths=[3, 5], max_tokens=8, temperature=1.0, refresh=2,
                   tokens_per_step=2, generator=torch.Generator().manual_seed(0))  # fmt: skip
    assert len(fills) == 6
    assert not {i for fill in fills for i in fill.ids} & set(model.banned)
