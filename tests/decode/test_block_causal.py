"""Text by blocks: the cache against whole passes, samples against enumeration, where it ends."""

from __future__ import annotations

import collections
import itertools
from dataclasses import replace
from typing import Any

import pytest
import torch

from diffufix.decode import open_context
from diffufix.decode.block_causal import BlockContext, block_generate
from diffufix.errors import UsageError
from diffufix.model.experts import Experts, ExpertsConfig
from diffufix.model.family import Family
from diffufix.model.transformer import ModelConfig, Transformer, block_causal

FAMILY = Family("sdar", shift=False, layout="inline", chat="none", mask=1, block=3)
PROMPT = (5, 6, 7, 8)


def tiny(vocabulary: int = 12, **others: Any) -> Any:
    torch.manual_seed(0)
    model: Any = Transformer(ModelConfig(vocabulary, 16, 24, 2, 4, 2, **others))
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.4)
    model.family = FAMILY
    return model.eval().requires_grad_(False)


def whole(model: Any, ids: list[int], block: int = 3) -> torch.Tensor:
    places = torch.arange(len(ids))[None]
    return model.lm_head(model.hidden(torch.tensor([ids]), places, block_causal(places, block))[0])


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("length", [1, 3, 4])
def test_the_cache_is_exact(shift: bool, length: int) -> None:
    model = tiny()
    model.family = replace(FAMILY, shift=shift)
    prompt, first, second = PROMPT[: length - length % 3], [2, 3, 4], [9, 8, 7]
    context = BlockContext(model, prompt, 3, 0)
    one, other = context.extend([(0, first), (0, second)])
    (two,) = context.extend([(other, [4, 4, 4])])
    context.forget({one, two})
    for text, before in ((one, [*prompt, *first]), (two, [*prompt, *second, 4, 4, 4])):
        hole = (1, 5, 1)
        found = context.logits([(text, hole), (text, hole)])
        logits = whole(model, [*before, *hole])[0]
        places = [len(before) - shift, len(before) + 2 - shift]
        torch.testing.assert_close(found, logits[places * 2], rtol=1e-4, atol=1e-5)
    assert context.extend([(two, [2, 2, 2]), (two, [2, 2, 2])])[0] == len(context._own) - 1


def test_samples_follow_the_enumerated_distribution() -> None:
    """Random order, a block of two: the mean over both orders of the chain's probabilities."""
    model = tiny(vocabulary=5)
    model.family = replace(FAMILY, block=2)
    n, prompt = 3000, [3, 4]

    def probs(ids: list[int], place: int) -> torch.Tensor:
        logits = whole(model, ids, 2)[0, place]
        logits[1] = -torch.inf
        return logits.softmax(-1)

    expected = {}
    for a, b in itertools.product(range(5), repeat=2):
        if 1 in (a, b):
            continue
        forth = probs([*prompt, 1, 1], 2)[a] * probs([*prompt, a, 1], 3)[b]
        back = probs([*prompt, 1, 1], 3)[b] * probs([*prompt, 1, b], 2)[a]
        expected[a, b] = float(forth + back) / 2
    assert sum(expected.values()) == pytest.approx(1, abs=1e-4)
    fills = block_generate(
        model, prompt, n, max_new_tokens=2, temperature=1.0, alg="origin",
        generator=torch.Generator().manual_seed(1),
    )  # fmt: skip
    found = collections.Counter(fill.ids for fill in fills)
    for pair, p in expected.items():
        assert abs(found[pair] - n * p) <= 4 * (n * p * (1 - p)) ** 0.5 + 1, pair


def test_samples_are_each_their_own_text() -> None:
    """Several blocks at once at a temperature: what is told of a fill belongs together."""
    model = tiny()
    fills = block_generate(
        model, PROMPT, 6, max_new_tokens=8, temperature=1.5, ends=(2,),
        generator=torch.Generator().manual_seed(3),
    )  # fmt: skip
    assert len({fill.ids for fill in fills}) > 3
    for fill in fills:
        assert len(fill.ids) <= 8
        assert not {1, 2} & set(fill.ids)
        assert sorted(fill.order) == list(range(len(fill.ids)))
        state = [1] * (2 - len(PROMPT) % 3 + 9)
        for commit in fill.trace:  # each commit's probability, given what had been committed
            end = len(PROMPT) + commit.position
            end += -end % 3 or 3
            ids = [*PROMPT, *state][:end]
            logits = whole(model, ids)[0, len(PROMPT) + commit.position]
            logits[1] = -torch.inf
            logp = float(logits.log_softmax(-1)[commit.token])
            if all(t != 1 for t in state[: max(0, end - 3 - len(PROMPT))]) and 2 not in ids:
                assert commit.logp == pytest.approx(logp, abs=1e-3)
            state[commit.position] = commit.token
        assert fill.logp == pytest.approx(sum(fill.logps))


def test_it_ends_where_it_is_told_to() -> None:
    model, seen = tiny(), []
    (plain,) = block_generate(model, PROMPT, 1, max_new_tokens=8, hook=lambda *a: seen.append(a))
    assert len(plain.ids) == 8
    assert len(seen) == 8
    cut = next(i for i, token in enumerate(plain.ids) if i and token not in plain.ids[:i])
    (short,) = block_generate(model, PROMPT, 1, max_new_tokens=8, ends=(plain.ids[cut],))
    assert short.ids == plain.ids[:cut]
    assert short.steps <= plain.steps
    (two,) = block_generate(model, PROMPT, 1, max_new_tokens=8, over=lambda ids: len(ids) >= 2)
    assert two.ids == plain.ids[:2]
    (fast,) = block_generate(model, PROMPT, 1, max_new_tokens=8, threshold=0.0)
    assert fast.steps == 3  # one step a block: two places, three, three


def test_they_fill_no_holes() -> None:
    from diffufix.types import Canvas

    with pytest.raises(UsageError, match="cannot fill a hole"):
        open_context(tiny(), [Canvas((5,), (6,))])
    shifted = tiny()
    shifted.family = replace(FAMILY, shift=True)
    with pytest.raises(UsageError, match="prompt of one id"):
        block_generate(shifted, [], 1, max_new_tokens=3)


def test_experts() -> None:
    """Against a sum over every expert, one token at a time; in three products, too."""
    torch.manual_seed(1)
    config = ExpertsConfig(8, 3, 4, 2, 8, 0, 2.5, 0)
    layer = Experts(16, config, None)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    x = torch.randn(2, 5, 16)
    with torch.no_grad():
        found = layer(x)
        for token, made in zip(x.view(-1, 16), found.view(-1, 16), strict=True):
            scores = (layer.router @ token).sigmoid()
            wanted = (scores + layer.router_bias).view(4, 2)
            groups = wanted.sum(-1).topk(2).indices.tolist()
            chosen = sorted(
                (e for e in range(8) if e // 2 in groups), key=lambda e: -wanted.view(-1)[e]
            )[:3]
            total = torch.zeros(16)
            for e in chosen:
                inner = torch.nn.functional.silu(layer.gate_proj[e] @ token)
                total += scores[e] * (layer.down_proj[e] @ (inner * (layer.up_proj[e] @ token)))
            torch.testing.assert_close(made, 2.5 * total / scores[chosen].sum())
        flat, (chosen_NS, _) = x.view(-1, 16), layer.route(x.view(-1, 16))
        order = chosen_NS.reshape(-1).argsort(stable=True)
        counts = torch.bincount(chosen_NS.reshape(-1), minlength=8)
        if hasattr(torch.nn.functional, "grouped_mm"):
            sorted_x = flat[order // 3]
            torch.testing.assert_close(
                layer.grouped(sorted_x, counts), layer._computed(sorted_x, counts)
            )
