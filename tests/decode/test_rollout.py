"""`rollout`: groups of many prompts at once, against enumeration and the plain denoisers."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from diffufix.decode.context import open_context
from diffufix.decode.context.views import never
from diffufix.decode.rollout import Sampling, rollout
from diffufix.decode.tokens import ALGORITHMS
from diffufix.errors import UsageError
from diffufix.model.family import Family
from diffufix.types import Prompt
from tests.support.families import ASIDE, FAMILIES, FIXED, FREE, MODEL, NAMES, PROMPTS, alone


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
def test_many_prompts_are_answered_as_each_alone(family: Family) -> None:
    asked = [(2, (0, 9)), (0, (0, 0, 0)), (0, (10, 0)), (3, (0, 9, 0, 10)), (1, (0,)), (0, (0,))]
    context = open_context(MODEL, PROMPTS, family=family)
    for part in (asked, asked[:1], asked[1:3]):
        found = context.logits(part)
        whole = torch.cat([alone(family, PROMPTS[prompt], hole) for prompt, hole in part])
        torch.testing.assert_close(found, whole, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES, ids=NAMES)
@given(data=st.data())
@settings(max_examples=12, deadline=None)
def test_completions_fill_their_canvas_exactly(family: Family, data: st.DataObject) -> None:
    step = data.draw(st.integers(1, 3))
    rule = Sampling(
        data.draw(st.sampled_from([0.0, 0.7, 1.5])),
        data.draw(st.sampled_from([None, 0.9])),
        data.draw(st.sampled_from(ALGORITHMS)),
        step,
    )
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 99)))
    found = rollout(MODEL, PROMPTS, 3, rule, generator, family=family)
    assert [len(group) for group in found] == [3] * len(PROMPTS)
    for prompt, group in zip(PROMPTS, found, strict=True):
        for one in group:
            assert len(one.ids) == len(one.order) == prompt.width
            assert not set(one.ids) & (family.specials - {family.delete} | {family.expand})
            kept = [token != family.delete for token in one.ids]
            assert kept == sorted(kept, reverse=True), "deleted places stand behind the others"
            assert one.steps <= math.ceil(prompt.width / step)
            if not family.delete_reaches_right:
                assert sorted(one.order) == list(range(prompt.width))


def exact(family: Family, prompt: Prompt, temperature: float) -> dict[tuple[int, ...], float]:
    """The distribution of completions when one mask a step is committed, the surest first."""
    forbidden = never(MODEL, family)

    def go(ids: tuple[int, ...], chance: float, found: dict[tuple[int, ...], float]) -> None:
        masks = [i for i, token in enumerate(ids) if token == family.mask]
        if not masks:
            kept = tuple(t for t in ids if t != family.delete)
            filled = kept + (family.delete or 0,) * (len(ids) - len(kept))
            found[filled] += chance
            return
        hole = tuple(t for t in ids if t != family.delete)
        probs = ((alone(family, prompt, hole) + forbidden) / temperature).softmax(-1)
        sure = (probs * (probs + 1e-30).log()).sum(-1)
        row = int(sure.argmax())
        for token, p in enumerate(probs[row].tolist()):
            if p > 1e-12:
                at = masks[row]
                go((*ids[:at], token, *ids[at + 1 :]), chance * p, found)

    found: dict[tuple[int, ...], float] = defaultdict(float)
    go((family.mask,) * prompt.width, 1.0, found)
    return dict(found)


@pytest.mark.parametrize("family", [FIXED, FREE, ASIDE], ids=["dream", "free", "mini"])
def test_samples_follow_the_exact_distribution(family: Family) -> None:
    prompt = replace(PROMPTS[0], width=2)
    n = 4000
    rule = Sampling(temperature=0.9)
    generator = torch.Generator().manual_seed(5)
    found = rollout(MODEL, [prompt, PROMPTS[1]], n, rule, generator, family=family)[0]
    seen = Counter(one.ids for one in found)
    chances = exact(family, prompt, 0.9)
    assert sum(chances.values()) == pytest.approx(1, abs=1e-5)
    apart = sum(abs(seen[ids] / n - p) for ids, p in chances.items()) / 2
    assert apart < 0.5 * math.sqrt(len(chances) / n)


def test_the_same_seed_gives_the_same_and_another_does_not() -> None:
    def made(seed: int) -> list[list[tuple[int, ...]]]:
        generator = torch.Generator().manual_seed(seed)
        found = rollout(MODEL, PROMPTS, 6, Sampling(1.5), generator, family=ASIDE)
        return [[one.ids for one in group] for group in found]

    assert made(1) == made(1)
    assert made(1) != made(2)


def test_greedy_completions_do_not_depend_on_the_batch() -> None:
    for family, alg in itertools.product(FAMILIES, ("entropy", "maskgit_plus", "topk_margin")):
        rule = Sampling(temperature=0, alg=alg)
        together = rollout(MODEL, PROMPTS, 2, rule, family=family)
        apart = [rollout(MODEL, [prompt], 1, rule, family=family)[0] for prompt in PROMPTS]
        assert [group[0] for group in together] == [group[0] for group in apart]
        assert [group[1] for group in together] == [group[0] for group in apart]


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(UsageError):
        rollout(MODEL, PROMPTS, 0, family=ASIDE)
    with pytest.raises(UsageError):
        rollout(MODEL, PROMPTS, 1, Sampling(alg="best"), family=ASIDE)
    with pytest.raises(UsageError, match="left"):
        rollout(MODEL, [Prompt((), (9,), (), 2)], 1, family=FIXED)
    assert rollout(MODEL, [], 1, family=ASIDE) == []
