"""coupled-GRPO and its relatives: what an update does to the weights."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from diffufix.decode.likelihood import noised_logps
from diffufix.model.transformer import Transformer
from diffufix.train.optim import Average
from diffufix.train.pretrain.fresh import mini_family
from diffufix.train.rl.methods import PolicyGradient, Tuning
from diffufix.train.rl.objectives.advantages import leave_one_out
from diffufix.train.rl.objectives.coupled_grpo import Learner, objective
from diffufix.train.rl.objectives.estimators import ESTIMATORS
from diffufix.train.rl.objectives.group_batch import GRPOSettings, usable
from diffufix.types import Group, Prompt
from tests.support.groups import make_groups, prompts
from tests.support.mini import tiny_model

FAMILY = mini_family()
VOCABULARY = 40


def fresh(seed: int = 0) -> Transformer:
    model = tiny_model(VOCABULARY, seed)
    model.family = FAMILY  # type: ignore[assignment]
    return model.requires_grad_(True)


def wanted(prompt: Prompt, ids: tuple[int, ...]) -> float:
    """The share of even ids."""
    return sum(token % 2 == 0 for token in ids) / len(ids)


def sgd(model: Transformer, lr: float = 1.0) -> list[torch.optim.Optimizer]:
    return [torch.optim.SGD(model.parameters(), lr=lr)]


def learner(model: Transformer, settings: GRPOSettings, lr: float = 1.0) -> Learner:
    return Learner(model, lambda m: sgd(m, lr), settings)


@pytest.fixture(scope="module")
def groups() -> list[Group]:
    return make_groups(fresh(), prompts(5), wanted)


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_ratio_is_one_at_the_first_step(name: str) -> None:
    model = fresh()
    groups = make_groups(model, prompts(3), wanted, estimator=name, temperature=0.8)
    one = learner(model, GRPOSettings.of(name, beta=0.1))
    (batch,) = one._batches(groups, 0)
    l_NC = one.scorer(batch)
    torch.testing.assert_close(l_NC, batch.old, atol=2e-5, rtol=1e-5)
    _, sums = objective(l_NC, one._references([batch])[0], batch, one.settings)
    assert float(sums["ratio"]) == pytest.approx(1, abs=1e-4)
    assert float(sums["kl"]) == pytest.approx(0, abs=1e-6)
    assert float(sums["clipped"]) == 0


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_the_first_gradient_is_reinforce_with_the_leave_one_out_baseline(name: str) -> None:
    model = fresh()
    groups = make_groups(model, prompts(3), wanted, estimator=name, seed=3)
    one = learner(model, GRPOSettings.of(name, max_norm=1e9, together=2))
    batches = one._batches(groups, 1)
    losses = [objective(one.scorer(b), None, b, one.settings)[0] for b in batches]
    torch.stack(losses).sum().backward()
    found = [p.grad.clone() for p in model.parameters() if p.grad is not None]

    other = fresh()
    total = torch.zeros(())
    count = sum(len(g.completions) for g in groups)
    places = sum(len(c.ids) for g in groups for c in g.completions)
    for group in groups:
        for completion, advantage in zip(
            group.completions, leave_one_out(group.rewards or ()), strict=True
        ):
            l_C = noised_logps(other, [(group.prompt, completion.ids)], [completion.noise[1]])[0]
            share = count * len(completion.ids) if name == "count" else places
            total = total - advantage * l_C.sum() / share
    total.backward()
    for a, b in zip(found, [p.grad for p in other.parameters()], strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=2e-3)


def test_parts_of_an_update_add_up_to_the_whole(groups: list[Group]) -> None:
    states = []
    for together in (1, 2, 8):
        model = fresh()
        metrics = learner(model, GRPOSettings(together=together)).update(groups)
        states.append((metrics, model.state_dict()))
    for metrics, state in states[1:]:
        assert metrics == pytest.approx(states[0][0], rel=1e-3, abs=1e-5)
        for name, value in state.items():
            torch.testing.assert_close(value, states[0][1][name], atol=1e-5, rtol=1e-4)


def test_padding_around_a_completion_changes_nothing() -> None:
    model = fresh()
    narrow = make_groups(model, prompts(2, width=3), wanted)
    wide = make_groups(model, prompts(2, width=7), wanted, seed=1)
    one = learner(model, GRPOSettings())
    alone, beside = one._batches(narrow, 0)[0], one._batches([*narrow, *wide], 0)[0]
    scale = beside.weights[0] / alone.weights[0]
    first = objective(one.scorer(alone), None, alone, one.settings)[0] * scale
    rest = one._batches(wide, 0)[0]
    second = objective(one.scorer(rest), None, rest, one.settings)[0] * (
        beside.weights[0] / rest.weights[0]
    )
    whole = objective(one.scorer(beside), None, beside, one.settings)[0]
    torch.testing.assert_close(whole, first + second, atol=1e-5, rtol=1e-5)


def test_every_inner_step_has_its_own_masks(groups: list[Group]) -> None:
    different = [c.noise[0] != c.noise[1] for g in groups for c in g.completions]
    assert sum(different) > len(different) // 2
    metrics = learner(fresh(), GRPOSettings(inner=2)).update(groups)
    assert metrics["steps"] == 2


def test_groups_that_do_not_teach_are_counted_and_left_out(groups: list[Group]) -> None:
    def with_rewards(group: Group, rewards: list[float | None]) -> Group:
        rows = zip(group.completions, rewards, strict=True)
        return replace(group, completions=tuple(replace(c, reward=r) for c, r in rows))

    flat = with_rewards(groups[0], [1.0] * 6)
    broken = with_rewards(groups[0], [1.0] * 5 + [None])
    old = replace(groups[0], model="before")
    bare = replace(groups[0], estimator="full")
    kept, counts = usable([flat, broken, old, bare, groups[1]], GRPOSettings(), {"v0": 1})
    assert kept == [groups[1]]
    assert counts == {"flat": 1, "infra": 1, "stale": 1, "unscored": 1}
    assert usable([old], GRPOSettings(), {"before": 3})[1]["stale"] == 1
    assert usable([old], GRPOSettings(), {"before": 2})[0] == [old]
    model = fresh()
    before = copy.deepcopy(model.state_dict())
    metrics = learner(model, GRPOSettings()).update([flat, broken])
    assert metrics["steps"] == metrics["used"] == 0
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_gradient_that_is_not_finite_moves_nothing(groups: list[Group]) -> None:
    model = fresh()
    bad = replace(
        groups[0],
        completions=tuple(
            replace(c, behaviour=((float("nan"),) * 4,) * 2) for c in groups[0].completions
        ),
    )
    metrics = learner(model, GRPOSettings()).update([bad])
    assert (metrics["steps"], metrics["skipped"]) == (0, 2)
    assert all(bool(p.isfinite().all()) for p in model.parameters())


def test_the_reference_follows_after_sync_every_steps(groups: list[Group]) -> None:
    model = fresh()
    one = learner(model, GRPOSettings(sync_every=3, inner=2, beta=0.1))
    before = [value.clone() for value in one.reference.values]
    one.update(groups)
    assert all(torch.equal(a, b) for a, b in zip(before, one.reference.values, strict=True))
    one.update(groups)
    assert not all(torch.equal(a, b) for a, b in zip(before, one.reference.values, strict=True))
    assert one.steps == 4


@pytest.mark.parametrize("level", ["token", "sequence"])
def test_clipping_holds_the_ratio(level: str, groups: list[Group]) -> None:
    one = learner(fresh(), GRPOSettings(level=level))
    (batch,) = one._batches(groups, 0)
    l_NC = (batch.old + 3.0 * batch.keep).requires_grad_()
    loss, sums = objective(l_NC, None, batch, one.settings)
    loss.backward()
    assert l_NC.grad is not None
    free = l_NC.grad.abs().sum(-1) > 0
    still = (batch.weights[:, None] * batch.keep)[~free & (batch.advantages != 0)].sum()
    if level == "token":  # where the ratio is beyond the range and may still come back: not clipped
        assert 0 < float(still) < 1
        assert float(sums["clipped"]) == pytest.approx(float(still))
    else:
        assert float(sums["clipped"]) == pytest.approx(1)
    # a ratio above the range: the paper's clip stops only what gains by going on; the other all
    assert not bool((free & (batch.advantages > 0)).any())
    assert bool(free[batch.advantages < 0].all()) == (level == "token")


@pytest.mark.parametrize("name", list(ESTIMATORS))
def test_a_policy_learns_what_is_rewarded(name: str) -> None:
    model = fresh(1)
    settings = GRPOSettings.of(name, inner=2, max_norm=1.0)
    one = Learner(model, lambda m: [torch.optim.Adam(m.parameters(), lr=5e-3)], settings)
    rewards = []
    for step in range(14):
        made = make_groups(model, prompts(4), wanted, estimator=name, seed=step)
        rewards.append(one.update(made)["reward"])
    assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.15


def test_what_is_saved_goes_on_bit_for_bit(groups: list[Group]) -> None:
    def new() -> Learner:
        settings = GRPOSettings(sync_every=3, beta=0.1)
        return Learner(fresh(), lambda m: [torch.optim.Adam(m.parameters(), lr=1e-3)], settings)

    whole, first, second = new(), new(), new()
    for _ in range(3):
        whole.update(groups)
    first.update(groups)
    second.model.load_state_dict(copy.deepcopy(first.model.state_dict()))
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for _ in range(2):
        second.update(groups)
    for a, b in zip(whole.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_what_counts_as_clipped_is_what_has_no_gradient(groups: list[Group]) -> None:
    one = learner(fresh(), GRPOSettings(beta=0.0))
    (batch,) = one._batches(groups, 0)
    apart = torch.linspace(-2, 2, batch.old.numel()).view_as(batch.old)
    l_NC = (batch.old + apart).requires_grad_(True)
    loss, sums = objective(l_NC, None, batch, one.settings)
    loss.backward()
    weights = batch.weights[:, None] * batch.keep
    silent = (l_NC.grad == 0) & (batch.keep > 0) & (batch.advantages[:, None] != 0)
    assert float(sums["clipped"]) == pytest.approx(float((silent * weights).sum()), abs=1e-6)
    outside = ((apart.exp() - 1).abs() > 0.5) & (batch.keep > 0)
    assert float(sums["clipped"]) < float((outside * weights).sum())


@pytest.mark.parametrize("tokens", [1, 60, 10**6])
def test_passes_of_any_size_make_the_same_step(groups: list[Group], tokens: int) -> None:
    model, whole = fresh(), fresh()
    learner(model, GRPOSettings(tokens=tokens)).update(groups)
    learner(whole, GRPOSettings()).update(groups)
    for a, b in zip(model.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(a, b, atol=2e-5, rtol=1e-4)
    sizes = [len(b.completions) for b in learner(fresh(), GRPOSettings(tokens=tokens))._batches(
        groups, 0)]  # fmt: skip
    assert sum(sizes) == sum(len(g.completions) for g in groups)
    assert (max(sizes) == 1) == (tokens == 1)


def test_the_reference_moves_a_part_of_the_way() -> None:
    model = fresh()
    average = Average(model, 0.0)
    before = [value.clone() for value in average.values]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1.0)
    average.mix(0.6)
    for was, now in zip(before, average.values, strict=True):
        torch.testing.assert_close(now, was + 0.6)


def test_a_session_leaves_out_what_older_weights_sampled(groups: list[Group]) -> None:
    model = fresh()
    policy = PolicyGradient(Tuning(lr=1e-4, max_age=1), model, None)  # type: ignore[arg-type]
    assert policy.update(groups, 0)["stale"] == 0  # nobody said who sampled
    policy.named("v1")
    fresh_ones = [replace(group, model="v1") for group in groups]
    assert policy.update(fresh_ones, 1)["stale"] == 0
    policy.named("v2")
    assert policy.update(fresh_ones, 2)["stale"] == 0  # one update ago
    policy.named("v3")
    assert policy.update(fresh_ones, 3)["stale"] == len(groups)
    other = PolicyGradient(Tuning(lr=1e-4, max_age=1), fresh(), None)  # type: ignore[arg-type]
    other.restore(policy.state())
    assert other.update(fresh_ones, 4)["stale"] == len(groups)
