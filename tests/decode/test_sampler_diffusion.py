"""`diffusion_generate` beyond the golden cases: padding, schedules, sampling, hooks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffufix.decode import diffusion_generate
from diffufix.decode.tokens import ALGORITHMS, choose, keep_top_k, keep_top_p
from diffufix.errors import UsageError
from diffufix.model import load_model
from tests.support.checkpoints import make_dream_checkpoint


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = make_dream_checkpoint(tmp_path_factory.mktemp("diffusion"), pieces=300)
    return load_model(folder, device="cpu")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


PROMPT = torch.tensor([[5, 6, 7, 8]])


@settings(max_examples=40, deadline=None)
@given(
    alg=st.sampled_from(ALGORITHMS),
    steps=st.integers(1, 20),
    new=st.integers(0, 12),
    temperature=st.sampled_from([0.0, 1.0]),
    alg_temp=st.sampled_from([None, 0.1]),
)
def test_schedule(model, alg, steps, new, temperature, alg_temp):
    """Masks only go away, as many a step as the schedule says, none is left at the end."""
    result = diffusion_generate(
        model,
        PROMPT,
        max_new_tokens=new,
        steps=steps,
        alg=alg,
        temperature=temperature,
        alg_temp=alg_temp,
        output_history=True,
        generator=seeded(),
    )
    assert result.history is not None
    assert len(result.history) == steps
    assert torch.equal(result.history[-1], result.sequences)
    times = torch.linspace(1, 1e-3, steps + 1)
    before, left = None, new
    for step, canvas in enumerate(result.history):
        assert torch.equal(canvas[:, :4], PROMPT)
        masked = canvas == model.family.mask
        if before is not None:
            done = before != model.family.mask
            assert torch.equal(canvas[done], before[done])
        if alg != "origin":
            share = 1 - times[step + 1] / times[step] if step < steps - 1 else 1
            left -= int(left * share)
            assert masked.sum() == left
        before = canvas
    assert not (result.sequences == model.family.mask).any()
    assert result.sequences.shape == (1, 4 + new)


def test_origin_reveals_each_mask_with_its_chance(model):
    """1 - s/t on the way from t to s; with equal steps from 1 that leaves a share of t."""
    result = diffusion_generate(
        model,
        PROMPT,
        max_new_tokens=100,
        steps=5,
        alg="origin",
        num_return_sequences=20,
        output_history=True,
        generator=seeded(),
    )
    assert result.history is not None
    left = [(canvas == model.family.mask).float().mean() * 104 / 100 for canvas in result.history]
    for share, expected in zip(left, [0.8, 0.6, 0.4, 0.2, 0.0], strict=True):
        assert share == pytest.approx(expected, abs=0.04)


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_left_padding_changes_nothing(model, alg):
    options: dict[str, Any] = {"max_new_tokens": 6, "steps": 6, "alg": alg}
    alone = diffusion_generate(model, PROMPT, generator=seeded(), **options)
    padded = torch.tensor([[0, 0, 5, 6, 7, 8], [9, 10, 11, 12, 13, 14]])
    keep = torch.tensor([[0, 0, 1, 1, 1, 1], [1] * 6])
    both = diffusion_generate(model, padded, keep, generator=seeded(), **options)
    if alg != "origin":  # the order is drawn there
        assert torch.equal(both.sequences[:1, 2:], alone.sequences)
    assert torch.equal(both.sequences[:, :6], padded)


def test_samples_differ_and_repeat(model):
    options: dict[str, Any] = {
        "max_new_tokens": 6,
        "steps": 6,
        "alg": "entropy",
        "temperature": 6.0,
    }
    one, two = (
        diffusion_generate(model, PROMPT, num_return_sequences=4, generator=seeded(3), **options)
        for _ in range(2)
    )
    assert one.history is None
    assert torch.equal(one.sequences, two.sequences)
    assert len({tuple(row) for row in one.sequences.tolist()}) == 4


def test_truncation_to_the_best_is_greedy():
    for alone in ({"top_k": 1}, {"top_p": 1e-6}):
        logits = torch.randn(50, 30, generator=seeded())
        ids, confidence = choose(logits, temperature=5.0, generator=seeded(), **alone)
        assert torch.equal(ids, logits.argmax(-1))
        assert torch.equal(confidence, torch.ones(50))


def test_truncations():
    logits = torch.tensor([[0.5, 0.2, 0.2, 0.1]]).log()
    low = torch.finfo(logits.dtype).min
    kept = (keep_top_p(logits, 0.6) > low)[0].tolist()
    assert (kept[0], sum(kept), kept[3]) == (True, 2, False)  # one of the two that tie
    assert (keep_top_p(logits, 0.95) > low).all()
    assert (keep_top_k(logits, 1) > low).tolist() == [[True, False, False, False]]
    assert (keep_top_k(logits, 2) > low).sum() == 3  # what ties stays
    assert (keep_top_k(logits, 99) > low).all()


def test_hooks(model):
    """Logits hooks steer, token hooks edit, and both see every step."""
    seen = []

    def force(step, x, logits):
        logits = logits.clone()
        logits[..., 42] = 99.0
        return logits

    def edit(step, x, logits):
        seen.append((step, None if logits is None else tuple(logits.shape)))
        if step == 0:
            x = x.clone()
            x[:, -1] = 17
        return x

    result = diffusion_generate(
        model,
        PROMPT,
        max_new_tokens=3,
        steps=5,
        alg="entropy",
        generation_tokens_hook_func=edit,
        generation_logits_hook_func=force,
    )
    assert result.sequences.tolist() == [[5, 6, 7, 8, 42, 42, 17]]
    shape = (1, 7, model.config.vocab_size)
    assert seen == [(None, None), *((step, shape) for step in range(5))]


def test_ids_without_text_are_never_chosen(model):
    size = model.config.vocab_size
    assert model.textless == tuple(range(len(model.tokenizer), size))
    options: dict[str, Any] = {
        "max_new_tokens": 40,
        "steps": 2,
        "temperature": 1e4,
        "num_return_sequences": 20,
    }
    result = diffusion_generate(model, PROMPT, generator=seeded(), **options)
    assert result.sequences.max() < len(model.tokenizer)


def test_wrong_arguments(model):
    with pytest.raises(UsageError, match="alg"):
        diffusion_generate(model, PROMPT, max_new_tokens=2, alg="best")
    with pytest.raises(UsageError, match="first position"):
        diffusion_generate(model, torch.tensor([[model.family.mask]]), max_new_tokens=2)
    with pytest.raises(UsageError, match="both alike"):
        diffusion_generate(model, PROMPT, torch.ones(1, 3), max_new_tokens=2)
