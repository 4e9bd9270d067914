"""The nucleus without sorting the vocabulary, and draws wherever the probabilities are."""

from __future__ import annotations

import pytest
import torch

from diffufix.decode import tokens
from diffufix.decode.tokens import ALGORITHMS, Shortlist, choose, draw, keep_top_p, nucleus


def logits(rows: int, vocabulary: int, scale: float, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, vocabulary, generator=torch.Generator().manual_seed(seed)) * scale


@pytest.mark.parametrize("top_p", [0.01, 0.3, 0.9, 0.95, 0.9999])
@pytest.mark.parametrize("scale", [0.1, 1.0, 4.0, 30.0])
@pytest.mark.parametrize("widths", [(4, 16), (512, 8192)])
def test_the_nucleus_is_that_of_a_sort(monkeypatch, top_p, scale, widths):
    """Flat rows need the whole vocabulary, sharp ones a single id; both in one batch."""
    monkeypatch.setattr(tokens, "NUCLEUS", widths)
    given = torch.cat([logits(3, 200, scale), logits(3, 200, 10 * scale), torch.zeros(1, 200)])
    kept, ids = nucleus(given, top_p)
    whole = torch.zeros_like(given).scatter_add_(-1, ids, kept.softmax(-1))
    expected = keep_top_p(given, top_p).softmax(-1)
    torch.testing.assert_close(whole[:-1], expected[:-1], rtol=1e-4, atol=1e-6)
    assert (kept[-1] > -torch.inf).sum() == (expected[-1] > 0).sum()  # of equals, as many


@pytest.mark.parametrize("alg", ALGORITHMS)
@pytest.mark.parametrize("top_p", [None, 0.8])
@pytest.mark.parametrize("top_k", [None, 3])
def test_confidences_are_those_of_the_whole_vocabulary(alg, top_p, top_k):
    given = logits(6, 50, 3.0)
    found = choose(given.clone(), top_p=top_p, top_k=top_k, alg=alg)
    expected = choose(given.clone(), top_p=top_p, top_k=top_k, alg=alg, precision="model")
    assert torch.equal(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1], rtol=1e-4, atol=1e-5)


def test_confidences_in_the_models_own_numbers():
    given = logits(64, 500, 3.0).bfloat16()
    _, own = choose(given, alg="entropy", precision="model")
    _, wide = choose(given, alg="entropy")
    assert (own.dtype, wide.dtype) == (torch.bfloat16, torch.float32)
    assert len(own.unique()) < len(wide.unique())  # they round, and so they tie


def test_the_shortlist_draws_what_it_says():
    given = logits(2, 30, 2.0)
    short = Shortlist(given, temperature=0.7, top_p=0.9)
    rows = [0] * 20_000 + [1] * 20_000
    ids, own = short.draw(rows, torch.Generator().manual_seed(1))
    expected = keep_top_p(given / 0.7, 0.9).softmax(-1)
    for row, part in enumerate(ids.split(20_000)):
        seen = part.bincount(minlength=30) / 20_000
        assert (seen - expected[row]).abs().sum() / 2 < 0.02
    torch.testing.assert_close(own, expected[torch.tensor(rows), ids], rtol=1e-4, atol=1e-6)


class Elsewhere:
    """A generator that says it lives on another device."""

    device = torch.device("meta")


def test_draws_need_one_number_a_row_from_another_device(monkeypatch):
    probs = logits(1, 40, 2.0).softmax(-1)
    probs[:, :3] = 0
    probs[:, -2:] = 0
    lots = torch.rand(50_000, generator=torch.Generator().manual_seed(2))
    asked = []

    def uniform(count, *_):
        asked.append(count)
        return torch.cat([torch.tensor([0.0, 1 - 2**-24]), lots])[:count]

    monkeypatch.setattr(tokens, "uniform", uniform)
    ids = draw(probs.expand(50_000, -1), Elsewhere())  # type: ignore[arg-type]
    assert asked == [50_000]
    assert bool((probs[0, ids] > 0).all())
    seen = ids.bincount(minlength=40) / 50_000
    assert (seen - probs[0] / probs.sum()).abs().sum() / 2 < 0.02
