"""Preference pairs: which are made, what their loss is, what learning from them does."""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch

from diffufix.decode.likelihood import scored, token_logps
from diffufix.errors import UsageError
from diffufix.model import load_model
from diffufix.model.transformer import Transformer
from diffufix.train.optim import Average
from diffufix.train.pretrain.fresh import mini_family
from diffufix.train.rl.config import TrainConfig
from diffufix.train.rl.methods import Preference, Tuning
from diffufix.train.rl.objectives.preference import (
    PER_GROUP,
    PER_TASK,
    Pairs,
    PreferencePair,
    bounds,
    masks,
    measured,
    pairs_of,
    preference,
    referred,
)
from diffufix.train.rl.replay import learnable, replay
from diffufix.types import Completion, Group, Noise, Prompt
from tests.support.checkpoints import make_dream_checkpoint
from tests.support.groups import make_groups, prompts, task
from tests.support.mini import tiny_model

FAMILY = mini_family()
SILENT = cast("int", FAMILY.delete)


def fresh(seed: int = 0) -> Transformer:
    model = tiny_model(40, seed)
    model.family = FAMILY  # type: ignore[assignment]
    return model.requires_grad_(True)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def even(prompt: Prompt, ids: tuple[int, ...]) -> float:
    return sum(token % 2 == 0 for token in ids) / len(ids)


def groups_of(model: Transformer, count: int = 4, seed: int = 0, **options: Any) -> list[Group]:
    """Groups with texts: each of its own ids."""
    return [
        replace(
            group,
            completions=tuple(replace(one, text=str(one.ids)) for one in group.completions),
        )
        for group in make_groups(
            model, options.pop("prompts", prompts(count)), even, seed=seed, **options
        )
    ]


def some_pairs() -> list[PreferencePair]:
    """With a deleted place, an insertion, and other temperatures."""
    asked = prompts(4, width=3)
    return [
        PreferencePair(asked[0], (24, 25, 26), (24, 26, SILENT)),
        PreferencePair(asked[2], (27, 28, 29), (27, 28, 30), 0.7),
        PreferencePair(asked[3], (20, SILENT, SILENT), (21, 22, 23), 1.3),
    ]


# -- the loss --------------------------------------------------------------------------------------


def every_draw(width: int) -> list[Noise]:
    """All that `count` can draw for so many places, each as often as the others are likely."""
    sizes = [list(itertools.combinations(range(width), k)) for k in range(width + 1)]
    most = math.lcm(*map(len, sizes))
    found = []
    for k, sets in enumerate(sizes):
        for chosen in sets * (most // len(sets)):
            inside = tuple(i in chosen for i in range(width))
            outside = tuple(not one for one in inside)
            first = (width + 1) / (2 * k) if k else 0.0
            second = (width + 1) / (2 * (width - k)) if k < width else 0.0
            weights = (tuple(first * m for m in inside), tuple(second * m for m in outside))
            found.append(Noise((inside, outside), weights))
    return found


@torch.no_grad()
def in_all_orders(model: Transformer, pair: PreferencePair, ids: tuple[int, ...]) -> float:
    """The evidence lower bound: the mean over all orders of revealing one place after another."""
    orders = list(itertools.permutations(range(len(ids))))
    total = 0.0
    for order in orders:
        for at, place in enumerate(order):
            mask = [i in order[at:] for i in range(len(ids))]
            logps = token_logps(model, [(pair.prompt, ids)], [mask], pair.temperature)
            total += float(logps[0, place])
    return total / len(orders)


def test_the_loss_is_its_formula_with_bounds_by_enumeration() -> None:
    policy, reference = fresh(0), fresh(1)
    pairs = some_pairs()
    noises = [every_draw(3)] * (2 * len(pairs))
    ours, theirs = (bounds(model, pairs, noises).detach() for model in (policy, reference))
    for pair, own, other, loss in zip(
        pairs, ours.tolist(), theirs.tolist(), preference(ours, theirs, 0.3).tolist(), strict=True
    ):
        exact = [
            [in_all_orders(model, pair, ids) for ids in pair.sides] for model in (policy, reference)
        ]
        assert own == pytest.approx(exact[0], abs=2e-4)
        assert other == pytest.approx(exact[1], abs=2e-4)
        apart = (exact[0][0] - exact[1][0]) - (exact[0][1] - exact[1][1])
        assert loss == pytest.approx(-math.log(1 / (1 + math.exp(-0.3 * apart))), abs=1e-3)
    drawn = bounds(policy, pairs, masks(FAMILY, pairs, generator(), draws=400)).detach()
    torch.testing.assert_close(drawn, ours, atol=0.8, rtol=0.1)  # what is drawn has that mean


def test_policy_and_reference_are_asked_under_the_same_masks() -> None:
    """So they agree to the bit where they are the same, however noisy each bound is; log 2."""
    model = fresh()
    reference = Average(model, 0.0)
    pairs = some_pairs()
    ours, theirs = referred(model, reference, pairs, masks(FAMILY, pairs, generator(1)))
    assert torch.equal(ours, theirs)
    other, _ = referred(model, reference, pairs, masks(FAMILY, pairs, generator(2)))
    assert not torch.allclose(ours, other, atol=0.1)
    loss = preference(ours, theirs, 0.2)
    torch.testing.assert_close(loss, torch.full_like(loss, math.log(2)))
    assert measured(ours, theirs) == {"better": 0, "worse": 0, "margin": 0, "agreed": 0}


def test_the_first_gradient_raises_the_better_against_the_worse() -> None:
    model, other, beta = fresh(), fresh(), 0.4
    pairs = some_pairs()
    noises = masks(FAMILY, pairs, generator())
    ours, theirs = referred(model, Average(model, 0.0), pairs, noises)
    preference(ours, theirs, beta).sum().backward()
    plain = bounds(other, pairs, noises)
    (beta / 2 * (plain[:, 1] - plain[:, 0])).sum().backward()
    for mine, plainly in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, plainly.grad, atol=1e-4, rtol=1e-3)
    with torch.no_grad():
        for p in model.parameters():
            p.sub_(1e-4 * cast("torch.Tensor", p.grad))
    after = bounds(model, pairs, noises).detach()
    moved = measured(after, theirs)
    assert moved["margin"] == pytest.approx(moved["better"] - moved["worse"], abs=1e-4)
    assert moved["margin"] > 0
    assert float(preference(after, theirs, beta).sum()) < len(pairs) * math.log(2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_dream_checkpoint(tmp_path_factory.mktemp("base"), hidden=32, scale=0.2)


def test_padding_is_never_scored(folder: Path) -> None:
    model = load_model(folder, device="cpu")
    pad = cast("int", model.family.pad)
    prompt = replace(prompts(1, width=3, first=20, top=200)[0], original=())
    pair = PreferencePair(prompt, (30, 31, 32), (33, pad, pad))
    noises = masks(model.family, [pair], generator())
    assert all(not any(mask[1:]) for noise in noises[1] for mask in noise.masks)
    short = PreferencePair(prompt, (30, 31, 32), (33,))
    cut = [Noise(tuple(m[:1] for m in n.masks), tuple(w[:1] for w in n.weights)) for n in noises[1]]
    torch.testing.assert_close(
        bounds(model, [pair], noises), bounds(model, [short], [noises[0], cut])
    )
    assert sum(scored(model.family, pair.worse)) == 1


# -- the pairs -------------------------------------------------------------------------------------


def group(rewards: Sequence[float | None], texts: str = "", key: str = "t") -> Group:
    completions = tuple(
        Completion((i,), texts[i] if texts else str(i), "pass" if reward else "fail", reward)
        for i, reward in enumerate(rewards)
    )
    return Group(task(key), Prompt((1,), (2,), (), 1), completions, "m", "")


def ids_of(group: Group, most: int = PER_GROUP) -> list[tuple[int, int]]:
    return [(pair.better[0], pair.worse[0]) for pair in pairs_of(group, most).values()]


def test_pairs_are_of_what_differs_most_and_use_every_completion() -> None:
    assert ids_of(group([0, 1, 0, 1])) == [(1, 2), (3, 0), (1, 0), (3, 2)]
    assert ids_of(group([0.5, 0, 1]), 2) == [(2, 1), (2, 0)]
    assert ids_of(group([1] + [0] * 7)) == [(0, worse) for worse in (7, 6, 5, 4)]
    assert ids_of(group([1, 0.98, 0.97])) == []  # as good
    assert ids_of(group([1, 1])) == ids_of(group([1, 0, None])) == []
    assert ids_of(group([1, 0, 0, 1], "abba")) == [(0, 1)]  # each text once
    heated = replace(group([1, 0]), sampling={"temperature": 0.5})
    assert [pair.temperature for pair in pairs_of(heated).values()] == [0.5]


def test_pairs_are_kept_once_and_a_few_of_each_task() -> None:
    pairs = Pairs()
    assert pairs.add([group([1, 0]), group([1, 0])]) == 1
    assert pairs.add([group([0, 0]), group([1, 0], key="other")]) == 1
    for number in range(2 * PER_TASK):
        pairs.add([group([1, 0], chr(65 + number) + "z")])
    assert len(pairs.all()) == PER_TASK + 1
    other = Pairs()
    other.restore(json.loads(json.dumps(pairs.state())))
    assert other.all() == pairs.all()
    assert other.add([group([1, 0], key="other")]) == 0


# -- learning --------------------------------------------------------------------------------------


def method(model: Transformer, **changes: Any) -> Preference:
    tuning = Tuning(**{"method": "preference", "lr": 5e-3, **changes})
    return Preference(tuning, cast("Any", model))


def test_a_policy_learns_what_is_preferred() -> None:
    model = fresh(1)
    one = method(model)
    rewards, rows = [], []
    for step in range(10):
        made = groups_of(model, seed=step)
        every = [reward for group in made for reward in group.rewards or ()]
        rewards.append(sum(every) / len(every))
        rows.append(one.update(made, step))
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.15
    assert rows[0]["steps"] == 2
    assert rows[0]["pairs"] > 8
    assert rows[-1]["margin"] > 1
    assert rows[-1]["agreed"] > 0.8
    assert rows[-1]["loss"] < 0.5


def test_without_pairs_nothing_moves() -> None:
    model = fresh()
    before = copy.deepcopy(model.state_dict())
    flat = [group([1, 1, 1])]
    assert method(model).update(flat, 0) == {"steps": 0, "fresh": 0, "pairs": 0}
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    with pytest.raises(UsageError, match="beta of 0"):
        method(model, beta=0.0)


def test_what_is_saved_goes_on_bit_for_bit() -> None:
    groups = groups_of(fresh())
    whole, first, second = (method(fresh()) for _ in range(3))
    rows = [whole.update(groups if step == 0 else (), step) for step in range(3)]
    first.update(groups, 0)
    second.model.load_state_dict(copy.deepcopy(first.model.state_dict()))
    second.restore(copy.deepcopy(first.state()))
    assert [second.update((), step) for step in (1, 2)] == rows[1:]
    for a, b in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("lora", [False, True])
def test_the_log_of_older_weights_is_learned_from(
    folder: Path, tmp_path: Path, lora: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("diffufix.train.rl.replay.reads_alike", lambda model, group: True)
    if lora:
        pytest.importorskip("peft")
    model = load_model(folder, device="cpu")
    asked = prompts(3, width=3, first=20, top=200)
    groups = groups_of(model, prompts=asked, estimator="full", version="long ago")
    practice = cast("Any", SimpleNamespace(kept=[]))
    plan = TrainConfig("preference", minutes=0, steps=3, lr=5e-3, lora=lora, rank=4)
    groups = learnable([group([1, 1]), *groups], practice, "preference", "", model)
    assert groups
    assert all(len({*(one.rewards or ())}) > 1 for one in groups)
    result = replay(model, practice, plan, tmp_path, groups)
    assert result.steps == 3
    assert result.rows[0]["pairs"] == result.rows[-1]["pairs"] > 3
    assert result.rows[-1]["loss"] < math.log(2)
    assert result.rows[-1]["margin"] > 0
    assert (result.model / "adapter_config.json").is_file() == lora
